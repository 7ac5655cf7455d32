"""Clips' labels to a video's: labels of neighbouring clips are paired by their overlap (Section 3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


class Association(NamedTuple):
    """A clip's label that became an older one."""

    old: int
    new: int
    iou: float  # on the frames that both clips have


class Stitcher:
    """Gives the labels of a video's clips, one after the other, the names of older ones that they overlap.

    Labels are paired so that the sum of their IoUs on the common frames is the largest (Hungarian), without any
    threshold: two that don't overlap at all are one track if both are left over, as published. Labels that remain
    are new tracks. Frames that an older clip labelled keep their labels.

    Attributes:
        next_label: the lowest that no track has; a clip's labels begin here.
    """

    def __init__(self) -> None:
        self.next_label = 1
        self._latest: dict[int, Tensor] = {}  # frame -> labels, of the latest clip's frames

    def add(self, frames: Sequence[int], labels: Tensor) -> tuple[dict[int, Tensor], list[Association]]:
        """Take the next clip.

        Args:
            frames: T frames of the video, ascending.
            labels: (T, H, W) long, from ``next_label`` on; 0 and below are of no object.

        Returns:
            final labels (H, W) of the frames that no clip had before; what was paired.
        """
        common = [row for row, frame in enumerate(frames) if frame in self._latest]
        pairs = (
            associate(torch.stack([self._latest[frames[row]] for row in common]), labels[common]) if common else []
        )
        renamed = _rename(labels, pairs)
        fresh = {frame: renamed[row] for row, frame in enumerate(frames) if frame not in self._latest}
        self._latest = {frame: self._latest.get(frame, renamed[row]) for row, frame in enumerate(frames)}
        highest = max((int(label.max()) for label in fresh.values() if label.numel()), default=0)
        self.next_label = max(self.next_label, highest + 1)
        return fresh, pairs


def associate(old: Tensor, new: Tensor) -> list[Association]:
    """Pair the labels of two labellings of the same pixels; those of 0 and below are left out.

    Args:
        old, new: (T, H, W) long.
    """
    old_ids, old_rows = torch.unique(old.clamp(min=0), return_inverse=True)
    new_ids, new_rows = torch.unique(new.clamp(min=0), return_inverse=True)
    size = len(old_ids), len(new_ids)
    counts = torch.bincount((old_rows * size[1] + new_rows).flatten(), minlength=size[0] * size[1]).view(size)
    union = counts.sum(1, keepdim=True) + counts.sum(0) - counts
    ious = (counts / union)[old_ids > 0][:, new_ids > 0].cpu()
    old_ids, new_ids = old_ids[old_ids > 0].tolist(), new_ids[new_ids > 0].tolist()
    rows, columns = linear_sum_assignment(1 - ious.numpy())
    return [
        Association(old_ids[row], new_ids[column], float(ious[row, column]))
        for row, column in zip(rows, columns, strict=True)
    ]


def _rename(labels: Tensor, pairs: Sequence[Association]) -> Tensor:
    renamed = labels
    for pair in pairs:
        renamed = renamed.masked_fill(labels == pair.new, pair.old)
    return renamed
