"""Filling frames in which the detector missed an object from the clips that carry its id (not in the paper)."""

from __future__ import annotations

import torch
from torch import Tensor

from maskprop.ops.soft_iou import pairwise_soft_iou
from maskprop.structures import Frame, FrameResult
from maskprop.tracking.video_instances import VideoInstances


class GapFiller:
    """Means of the propagated masks per open frame and id.

    Args:
        threshold: a pixel is filled where the mean over the clips is at or above this.
        max_overlap: no fill where the mean mask has a soft IoU above this with a detection of the frame: the
            object was found there, under another id.
    """

    def __init__(self, threshold: float = 0.5, max_overlap: float = 0.5) -> None:
        self.threshold = threshold
        self.max_overlap = max_overlap
        self._sums: dict[int, dict[int, list]] = {}  # frame -> id -> [sum of masks, number of clips]

    def add_clip(self, first: int, ids: list[int], masks: Tensor) -> None:
        """Record a clip's (S, N, H, W) soft masks; ``first`` is its first frame."""
        for frame, frame_masks in enumerate(masks, start=first):
            sums = self._sums.setdefault(frame, {})
            for track_id, mask in zip(ids, frame_masks, strict=True):
                if track_id in sums:
                    total, count = sums[track_id]
                    sums[track_id] = [total + mask, count + 1]
                else:
                    sums[track_id] = [mask, 1]

    def fill(self, frame: Frame, result: FrameResult, instances: VideoInstances) -> None:
        """Add the missed instances of a frame to its result, once all its clips were added."""
        sums = self._sums.pop(result.frame_index, {})
        found = set(result.ids)
        missed = [track_id for track_id in sums if track_id not in found]
        if not missed:
            return
        means = torch.stack([sums[i][0] / sums[i][1] for i in missed])
        keep = means.flatten(1).amax(1) >= self.threshold
        if len(frame):
            overlaps = pairwise_soft_iou(means.flatten(1), frame.masks.flatten(1).to(means))
            keep &= overlaps.amax(1) <= self.max_overlap
        kept = keep.nonzero()[:, 0].tolist()
        for row, rle in zip(kept, frame.paste(means[kept], self.threshold), strict=True):
            label = instances.best_label(missed[row])
            result.add(missed[row], label, instances.score(missed[row], label), rle, filled=True)
