"""Filling, online, the objects that the detector missed, from the frames before (ObjProp, "Inference")."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import NamedTuple, Protocol

import pycocotools.mask as mask_utils
import torch
from torch import Tensor

from maskprop.ops.uploads import numbers_on
from maskprop.structures import Frame, FrameResult

KEY = 'attention_head'  # of the codes


class AttentionHead(Protocol):
    """What a :class:`HistoryFiller` asks of an inter-frame attention head.

    Attributes:
        stride: of the codes, in pixels of the network's input.
    """

    stride: int

    def propagate_objects(
        self, current: Tensor, references: Tensor, boxes: Sequence[Tensor], labels: Sequence[Tensor]
    ) -> Tensor:
        """Mask logits in the (C, h, w) current frame of the N objects of K earlier frames (K, C, h, w)."""

    def probabilities(self, logits: Tensor) -> Tensor:
        """Masks (N, H, W) in pixels of the network's input."""


class PastFrame(NamedTuple):
    """What the history keeps of a frame: N objects, filled ones included.

    Attributes:
        code: (C, h, w), that of the attention head; None without objects.
        ids: video-level ids.
        boxes: (N, 4) float, (x1, y1, x2, y2) in pixels of the network's input.
        labels: class indices.
        scores: in [0, 1].
    """

    code: Tensor | None
    ids: list[int]
    boxes: Tensor
    labels: list[int]
    scores: list[float]


class HistoryFiller:
    """The history of one video. :meth:`step` fills the missed objects of a frame, then remembers the frame.

    An object of the history that has no detection now is propagated from every past frame that holds it; where
    the mean of its masks reaches the threshold it is filled, unless that is nowhere. Its score is the mean of its
    scores in the history, its label the latest one. Detections are never changed. What is filled is remembered
    like a detection, so an object may live on by its fills; ``max_age`` ends that. ``history`` holds the
    :class:`PastFrame`s, oldest first.

    Args:
        head: an :class:`~maskprop.methods.objprop.inter_frame_attention_head.InterFrameAttentionHead`.
        history_length: past frames kept, at most.
        threshold: a pixel is filled where the mean probability is at or above this.
        max_age: an object is filled in at most this many frames after its last detection; ``None`` (the released
            code): without limit, and what is gone but still filled adds up over a long video.
        max_overlap: no fill whose mask has an IoU above this with a detection of the frame: the object was found,
            under another id. ``None`` (the released code): such fills too.

    Raises:
        ValueError: ``history_length`` or ``max_age`` is below 1.
    """

    needs = (KEY,)

    def __init__(
        self,
        head: AttentionHead,
        history_length: int = 24,
        threshold: float = 0.3,
        max_age: int | None = 24,
        max_overlap: float | None = None,
    ) -> None:
        if history_length < 1:
            raise ValueError(f'history_length={history_length}: at least one past frame is needed')
        if max_age is not None and max_age < 1:
            raise ValueError(f'max_age={max_age}: expected at least 1, or None for no limit')
        self.head = head
        self.threshold = threshold
        self.max_age = max_age
        self.max_overlap = max_overlap
        self.history: deque[PastFrame] = deque(maxlen=history_length)
        self._last_found: dict[int, int] = {}  # id -> frame of its last detection

    @torch.no_grad()
    def step(self, frame: Frame, result: FrameResult) -> None:
        """Add fills to the result of the next frame, and remember it.

        Args:
            frame: with a code of the attention head; its instances are those of the result, in that order.
            result: ids, labels and scores of the frame's detections.

        Raises:
            ValueError: the frame has no such code.
        """
        if KEY not in frame.codes:
            raise ValueError(f'the frame has no code of {KEY}: filling needs a model with an {KEY}')
        boxes = frame.boxes
        self._last_found.update(dict.fromkeys(result.ids, result.frame_index))
        missed = self.missed(result)
        if missed:
            filled = self._fill(frame, result, missed)
            boxes = torch.cat([boxes, filled.to(boxes)])
        self._remember(frame, result, boxes)

    def missed(self, result: FrameResult) -> list[int]:
        """Ids in the history that have no detection in a frame and are not too old to be filled."""
        known = dict.fromkeys(track_id for past in self.history for track_id in past.ids)
        found = set(result.ids)
        return [i for i in known if i not in found and not self._too_old(i, result.frame_index)]

    def _too_old(self, track_id: int, frame_index: int) -> bool:
        return self.max_age is not None and frame_index - self._last_found[track_id] > self.max_age

    def mean_masks(self, frame: Frame, ids: Sequence[int]) -> Iterator[Tensor]:
        """Probabilities of objects of the history in a frame, the mean over the past frames that hold them.

        Args:
            frame: with a code of the attention head.
            ids: M ids, each in the history.

        Yields:
            M times (H, W) float32, in pixels of the network's input, padding included; one by one, because a
            history may hold hundreds of missed objects.
        """
        device = frame.codes[KEY].device
        codes, boxes, labels, owners = [], [], [], []
        for past in self.history:
            rows = [row for row, track_id in enumerate(past.ids) if track_id in ids]
            if rows:
                codes.append(past.code)
                boxes.append(past.boxes[rows].to(device, non_blocking=True))
                labels.append(numbers_on(device, [past.labels[row] for row in rows]))
                owners += [past.ids[row] for row in rows]
        logits = self.head.propagate_objects(frame.codes[KEY], torch.stack(codes), boxes, labels)
        for track_id in ids:
            rows = [row for row, owner in enumerate(owners) if owner == track_id]
            yield self.head.probabilities(logits[rows]).mean(0)

    def _fill(self, frame: Frame, result: FrameResult, ids: list[int]) -> Tensor:
        """Add the objects seen but not detected; returns their (M, 4) boxes in pixels of the video."""
        detected = list(result.masks)
        boxes = []
        for track_id, mask in zip(ids, self.mean_masks(frame, ids), strict=True):
            (rle,) = frame.paste(mask[None], self.threshold)
            x, y, width, height = mask_utils.toBbox(rle).tolist()
            if not width or self._is_detected(rle, detected):
                continue
            labels, scores = zip(*self._seen_as(track_id), strict=True)
            result.add(track_id, labels[-1], fmean(scores), rle, filled=True)
            # the last column and row are inside the mask
            boxes.append([x, y, x + width - 1, y + height - 1])
        return torch.tensor(boxes).view(-1, 4)

    def _is_detected(self, rle: dict, detected: list[dict]) -> bool:
        if self.max_overlap is None or not detected:
            return False
        return float(mask_utils.iou([rle], detected, [0] * len(detected)).max()) > self.max_overlap

    def _seen_as(self, track_id: int) -> Iterator[tuple[int, float]]:
        """Label and score of an id in each past frame that holds it, oldest first."""
        for past in self.history:
            for known, label, score in zip(past.ids, past.labels, past.scores, strict=True):
                if known == track_id:
                    yield label, score

    def _remember(self, frame: Frame, result: FrameResult, boxes: Tensor) -> None:
        """Append a frame, with (N, 4) boxes in pixels of the video, and forget what is older than the history."""
        code = frame.codes[KEY]
        if result.ids:
            network = [side * self.head.stride for side in code.shape[-2:]]
            down, right = (n / side for n, side in zip(network, frame.map_size, strict=True))
            boxes = boxes * boxes.new_tensor([right, down, right, down])
        past = PastFrame(
            code if result.ids else None, list(result.ids), boxes, list(result.labels), list(result.scores)
        )
        self.history.append(past)
        known = {track_id for past in self.history for track_id in past.ids}
        self._last_found = {i: t for i, t in self._last_found.items() if i in known}
