"""Detections of one frame."""

from __future__ import annotations

from typing import NamedTuple, Protocol

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
