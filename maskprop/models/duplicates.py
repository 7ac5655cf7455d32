"""Detections of one frame that are one object, found in several classes."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_iou

from maskprop.structures import Detections


def group_duplicates(boxes: Tensor, scores: Tensor, iou_threshold: float | None) -> Tensor:
    """Which detection stands for each one: the best-scored box that it overlaps above the threshold.

    Args:
        boxes: (N, 4) float. scores: (N,) float. iou_threshold: ``None`` leaves every detection to itself.

    Returns:
        (N,) long, indices into the detections; a representative has its own index.
    """
    groups = torch.arange(len(boxes), device=boxes.device)
    if iou_threshold is None or len(boxes) < 2:
        return groups
    overlaps = box_iou(boxes, boxes) > iou_threshold
    free = torch.ones(len(boxes), dtype=torch.bool, device=boxes.device)
    for index in scores.argsort(descending=True, stable=True).tolist():
        if free[index]:
            members = overlaps[index] & free
            members[index] = True
            groups[members] = index
            free &= ~members
    return groups


def class_scores(detections: Detections, groups: Tensor, kept: Tensor) -> list[dict[int, float]]:
    """Best score of every class among the detections of each kept group: ``{label: score}``."""
    scores: dict[int, dict[int, float]] = {index: {} for index in kept.tolist()}
    columns = zip(groups.tolist(), detections.labels.tolist(), detections.scores.tolist(), strict=True)
    for group, label, score in columns:
        scores[group][label] = max(score, scores[group].get(label, 0.0))
    return list(scores.values())
