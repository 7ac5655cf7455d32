"""The instances of a video whose pixels were labelled: their masks, and what is known only at its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from maskprop.ops.masks import encode_mask
from maskprop.structures import FrameResult
from maskprop.tracking.video_instances import VideoInstances


@dataclass
class _Sums:
    """Of a label so far."""

    first: int
    last: int
    points: int
    logits: Tensor  # (K,) float64 on the CPU


class LabelInstances(VideoInstances):
    """Masks, classes and scores of the labels of a video.

    The score of a track is its number of pixels over that of the largest track that is kept: no confidence, and 1
    for each video's largest, as published. Its class is the one of the largest sum of logits over its pixels.

    Args:
        max_tracks: so many tracks have results: those of the longest lifetime (last - first frame), of equal ones
            those that came first.
    """

    def __init__(self, max_tracks: int = 10) -> None:
        super().__init__()
        self.max_tracks = max_tracks
        self._sums_of: dict[int, _Sums] = {}

    def add_labels(
        self, labels: Tensor, logits: Tensor, shape: tuple[int, int], size: tuple[int, int], stride: int = 1
    ) -> FrameResult:
        """Record the next frame.

        Args:
            labels: (H, W) long over the network's padded input; 0 and below are of no object.
            logits: (K, h, w) of the classes; where h x w is smaller than H x W they are enlarged bilinearly.
            shape: (height, width) of the image inside the input. size: of the video. All in pixels.
            stride: pixels of the input that a label stands for, on each side.

        Returns:
            the frame's instances; classes and scores are those of the video so far.
        """
        frame = self.length
        ids, points, sums = _sum_by_label(labels, logits)
        for track_id, count, total in zip(ids, points, sums, strict=True):
            known = self._sums_of.setdefault(track_id, _Sums(frame, frame, 0, torch.zeros_like(total)))
            known.last, known.points, known.logits = frame, known.points + count, known.logits + total
        result = FrameResult(frame, provisional=True)
        largest = max((known.points for known in self._sums_of.values()), default=1)
        for track_id, mask in zip(ids, paste_labels(labels, ids, shape, size, stride), strict=True):
            result.add(track_id, self.label_of(track_id), self._sums_of[track_id].points / largest, mask)
        self.add_frame(result)
        return result

    def label_of(self, track_id: int) -> int:
        """Class index of a track, by its frames so far."""
        return int(self._sums_of[track_id].logits.argmax())

    def kept(self) -> dict[int, float]:
        """Scores of the tracks that have results, in their order."""
        ranked = sorted((known.first - known.last, known.first, i) for i, known in self._sums_of.items())
        kept = {i: self._sums_of[i].points for *_, i in ranked[: self.max_tracks]}
        largest = max(kept.values(), default=1)
        return {i: points / largest for i, points in kept.items()}

    def iter_results(self, video_id: int, category_ids: Sequence[int]) -> Iterator[dict]:
        """One result for each track that is kept; see :meth:`VideoInstances.iter_results`."""
        self._tracks = {track_id: self._tracks[track_id] for track_id in self.kept()}
        yield from super().iter_results(video_id, category_ids)

    def _final_scores(self, track_id: int) -> dict[int, float]:
        return {self.label_of(track_id): self.kept()[track_id]}


def _sum_by_label(labels: Tensor, logits: Tensor) -> tuple[list[int], list[int], Tensor]:
    """The labels above 0 of a frame, their pixels, and their sums of logits (N, K) float64 on the CPU."""
    ids, rows, points = torch.unique(labels.clamp(min=0), return_inverse=True, return_counts=True)
    sums = logits.new_zeros(len(ids), len(logits), dtype=torch.float64)
    for column, plane in enumerate(logits):  # a class at a time: all at the size of the input are 121 MB
        full = F.interpolate(plane[None, None], labels.shape, mode='bilinear', align_corners=False)
        sums[:, column].index_add_(0, rows.flatten(), full.flatten().double())
    objects = ids > 0
    return ids[objects].tolist(), points[objects].tolist(), sums[objects].cpu()


def paste_labels(
    labels: Tensor, ids: Sequence[int], shape: tuple[int, int], size: tuple[int, int], stride: int = 1
) -> list[dict]:
    """Masks of labels at the video's size: cropped to the image, enlarged bilinearly, above a half.

    Args:
        labels: (H, W) long over the padded input. ids: N labels.
        shape, size, stride: as of :meth:`LabelInstances.add_labels`.

    Returns:
        N compressed RLEs; empty ones of labels that are in the padding alone.
    """
    encoded = []
    for track_id in ids:  # one by one: all at the video's size would be large
        mask = (labels == track_id)[None, None].float()
        if stride > 1:  # soft, and then soft once more
            mask = F.interpolate(mask, scale_factor=stride, mode='bilinear', align_corners=False)
        mask = F.interpolate(mask[..., : shape[0], : shape[1]], size, mode='bilinear', align_corners=False)
        encoded.append(encode_mask((mask[0, 0] > 0.5).cpu().numpy()))
    return encoded
