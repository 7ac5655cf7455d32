"""Detections of one frame that are one object, found in several classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from torch import Tensor
from torchvision.ops import box_iou


def group_duplicates(boxes: Tensor, scores: Tensor, iou_threshold: float | None) -> np.ndarray:
    """Which detection stands for each one: the best-scored box that it overlaps above the threshold.

    Args:
        boxes: (N, 4) float. scores: (N,) float. iou_threshold: ``None`` leaves every detection to itself.

    Returns:
        (N,) int64, indices into the detections; a representative has its own index.
    """
    groups = np.arange(len(boxes))
    if iou_threshold is None or len(boxes) < 2:
        return groups
    boxes = boxes.cpu()
    overlaps = (box_iou(boxes, boxes) > iou_threshold).numpy()
    free = np.ones(len(boxes), dtype=bool)
    for index in scores.cpu().argsort(descending=True, stable=True).numpy():
        if free[index]:
            members = overlaps[index] & free
            members[index] = True
            groups[members] = index
            free &= ~members
    return groups


def class_scores(
    labels: Sequence[int], scores: Sequence[float], groups: Sequence[int], kept: Iterable[int]
) -> list[dict[int, float]]:
    """Best score of every class among the detections of each kept group: ``{label: score}``."""
    found: dict[int, dict[int, float]] = {index: {} for index in kept}
    for group, label, score in zip(groups, labels, scores, strict=True):
        found[group][label] = max(score, found[group].get(label, 0.0))
    return list(found.values())
