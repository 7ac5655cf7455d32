"""Filling frames in which the detector missed an object from the clips that carry its id (not in the paper)."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

from maskprop.ops.soft_iou import pairwise_soft_iou
from maskprop.structures import Frame, FrameResult
from maskprop.tracking.video_instances import VideoInstances


class GapFiller:
    """Means of the propagated masks of an object over the clips that have the frame in which it was missed.

    Args:
        threshold: a pixel is filled where the mean over the clips is at or above this.
        max_overlap: no fill where the mean mask has a soft IoU above this with a detection of the frame: the
            object was found there, under another id.
    """

    def __init__(self, threshold: float = 0.5, max_overlap: float = 0.5) -> None:
        self.threshold = threshold
        self.max_overlap = max_overlap
        self._clips: deque[tuple[int, list[int], Tensor]] = deque()  # first frame, ids, masks

    def add_clip(self, first: int, ids: list[int], masks: Tensor) -> None:
        """Record a clip's (S, N, H, W) soft masks; ``first`` is its first frame, at most the next one to fill."""
        self._clips.append((first, ids, masks))

    def fill(self, frame: Frame, result: FrameResult, instances: VideoInstances) -> None:
        """Add the missed instances of a frame to its result, once all its clips were added. Frames come in order.

        A GPU is waited for once, and only where an object was missed.
        """
        seen = self._missed(result.frame_index, set(result.ids))
        if not seen:
            return
        means = torch.stack([sum(masks[1:], masks[0]) / len(masks) for masks in seen.values()])
        keep = means.flatten(1).amax(1) >= self.threshold
        if len(frame):
            overlaps = pairwise_soft_iou(means.flatten(1), frame.masks.flatten(1).to(means))
            keep &= overlaps.amax(1) <= self.max_overlap
        numbers = torch.cat([means.flatten(1), keep[:, None].to(means)], 1).cpu()
        kept = numbers[:, -1].nonzero()[:, 0]
        maps = numbers[kept, :-1].view(-1, *means.shape[1:])
        missed = list(seen)
        for row, rle in zip(kept.tolist(), frame.paste(maps, self.threshold), strict=True):
            track_id = missed[row]
            label = instances.best_label(track_id)
            result.add(track_id, label, instances.score(track_id, label), rle, filled=True)

    def _missed(self, index: int, found: set[int]) -> dict[int, list[Tensor]]:
        """The masks of each id that a frame's clips have and the frame has not."""
        while self._clips and self._clips[0][0] + len(self._clips[0][2]) <= index:
            self._clips.popleft()
        seen: dict[int, list[Tensor]] = {}
        for first, ids, masks in self._clips:
            for track_id, mask in zip(ids, masks[index - first], strict=True):
                if track_id not in found:
                    seen.setdefault(track_id, []).append(mask)
        return seen
