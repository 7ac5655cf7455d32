"""Detections of one frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class FrameMasks(Protocol):
    """Masks of N instances over the network's whole input, as one-stage detectors have them."""

    def select(self, rows: Tensor) -> FrameMasks:
        """These of the masks; ``rows``: (M,) long."""

    def on_map(self, height: int, width: int) -> Tensor:
        """(N, height, width) float in [0, 1]: soft masks on a coarser or finer map of the whole input."""

    def in_video(self, meta: dict) -> list[dict]:
        """N final masks, RLEs at the video's size; ``meta``: of the frame, as a ``View`` has it."""


class Detections(NamedTuple):
    """Detections of one frame, in pixels of the network's input.

    Attributes:
        boxes: (N, 4) float, (x1, y1, x2, y2).
        scores: (N,) float.
        labels: (N,) long.
        roi_masks: (N, m, m) float in [0, 1], the mask of each detection's class inside its box; None where only
            final masks are known (annotations, detections read from a file), or ``frame_masks`` are.
        mask_threshold: from which probability on a pixel of a pasted mask is foreground.
        frame_masks: in place of ``roi_masks``, of a detector whose masks are not in boxes.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    roi_masks: Tensor | None
    mask_threshold: float = 0.5
    frame_masks: FrameMasks | None = None

    def select(self, rows: Tensor) -> Detections:
        """These of the detections; ``rows``: (M,) long."""
        roi_masks = None if self.roi_masks is None else self.roi_masks[rows]
        return self._replace(
            boxes=self.boxes[rows],
            scores=self.scores[rows],
            labels=self.labels[rows],
            roi_masks=roi_masks,
            frame_masks=None if self.frame_masks is None else self.frame_masks.select(rows),
        )


def join_detections(frames: Sequence[Detections]) -> Detections:
    """Detections of several frames in one; those of a single frame are not copied. All have RoI masks, or none."""
    first = frames[0]
    if len(frames) == 1:
        return first
    return first._replace(
        boxes=torch.cat([found.boxes for found in frames]),
        scores=torch.cat([found.scores for found in frames]),
        labels=torch.cat([found.labels for found in frames]),
        roi_masks=None if first.roi_masks is None else _join_masks([f.roi_masks for f in frames]),
    )


def split_detections(joined: Detections, counts: Sequence[int]) -> list[Detections]:
    """The inverse of :func:`join_detections`; ``counts``: of each frame."""
    counts = list(counts)
    masks = [None] * len(counts) if joined.roi_masks is None else joined.roi_masks.split(counts)
    columns = zip(
        joined.boxes.split(counts), joined.scores.split(counts), joined.labels.split(counts), masks, strict=True
    )
    return [joined._replace(boxes=b, scores=s, labels=c, roi_masks=m) for b, s, c, m in columns]


def _join_masks(masks: Sequence[Tensor]) -> Tensor:
    """Frames without detections have masks of another size, which are left out."""
    return torch.cat([part for part in masks if len(part)] or [masks[0]])
