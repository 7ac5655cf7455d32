"""Detections of one frame."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Detections(NamedTuple):
    """Detections of one frame, in pixels of the network's input.

    Attributes:
        boxes: (N, 4) float, (x1, y1, x2, y2).
        scores: (N,) float.
        labels: (N,) long.
        roi_masks: (N, m, m) float in [0, 1], the mask of each detection's class inside its box; None where only
            final masks are known (annotations, detections read from a file).
        mask_threshold: from which probability on a pixel of a pasted mask is foreground.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    roi_masks: Tensor | None
    mask_threshold: float = 0.5

    def select(self, rows: Tensor) -> Detections:
        """These of the detections; ``rows``: (M,) long."""
        roi_masks = None if self.roi_masks is None else self.roi_masks[rows]
        return self._replace(
            boxes=self.boxes[rows], scores=self.scores[rows], labels=self.labels[rows], roi_masks=roi_masks
        )
