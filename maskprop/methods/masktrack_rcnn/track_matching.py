"""Matching detections with remembered objects, as MaskTrack R-CNN's reference code does it.

M objects are remembered, N detections arrive. Scores have M + 1 columns: column 0 stands for a new object, column
k + 1 for the remembered object k.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_iou


def pairwise_box_iou(boxes: Tensor, others: Tensor, legacy: bool) -> Tensor:
    """(N, M) IoU of (N, 4) and (M, 4) boxes x1, y1, x2, y2; ``legacy``: with widths x2 - x1 + 1, in pixels."""
    if legacy:
        boxes, others = (torch.cat([b[:, :2], b[:, 2:] + 1], 1) for b in (boxes, others))
    return box_iou(boxes, others)


def match_scores(
    logits: Tensor,
    det_scores: Tensor,
    ious: Tensor,
    same_label: Tensor,
    *,
    score_weight: float = 1.0,
    iou_weight: float = 2.0,
    label_weight: float = 10.0,
) -> Tensor:
    """log softmax(logits) + log(detection score) + 2 IoU + 10 [same label], with those weights.

    A new object has IoU 0 and the label term 1.

    Args:
        logits: (N, M + 1) float. det_scores: (N,) float in (0, 1]. ious: (N, M) float. same_label: (N, M) 0 or 1.

    Returns:
        (N, M + 1) float.
    """
    ious = F.pad(ious, (1, 0))
    same_label = F.pad(same_label.to(ious), (1, 0), value=1.0)
    scores = logits.log_softmax(1) + score_weight * det_scores.log()[:, None]
    return scores + iou_weight * ious + label_weight * same_label


def greedy_match(scores: Tensor) -> list[int]:
    """The object that each detection takes: its best column, unless an earlier one has that by a higher score.

    Args:
        scores: (N, M + 1) float, see :func:`match_scores`.

    Returns:
        N numbers: a remembered object's (0 to M - 1), a new one's (M, M + 1, ... in the order of detections), or
        -1 for a detection whose object an earlier one has with at least its score. An earlier one that is
        overtaken keeps its number too; the object is the last one's that has it (:func:`final_holders`).
    """
    known = scores.shape[1] - 1
    best: dict[int, float] = {}
    objects, new = [], known
    values, columns = scores.max(1)
    for value, column in zip(values.tolist(), columns.tolist(), strict=True):
        if column == 0:
            objects.append(new)
            new += 1
        elif value > best.get(column - 1, -torch.inf):
            best[column - 1] = value
            objects.append(column - 1)
        else:
            objects.append(-1)
    return objects


def final_holders(objects: list[int]) -> list[bool]:
    """Which detections have their object in the end: the last one of each object; never one without (-1)."""
    last = {taken: row for row, taken in enumerate(objects)}
    return [taken >= 0 and last[taken] == row for row, taken in enumerate(objects)]


def update_memory(memory: Tensor, values: Tensor, objects: list[int]) -> Tensor:
    """What is remembered after a frame: the last holder's value of each object.

    Args:
        memory: (M, ...) of the objects before. values: (N, ...) of the detections.
        objects: N numbers of :func:`greedy_match`.

    Returns:
        (M + new objects, ...), a new tensor.
    """
    new = sum(taken >= len(memory) for taken in objects)
    updated = torch.cat([memory, values.new_zeros((new, *values.shape[1:]))])
    for value, taken, final in zip(values, objects, final_holders(objects), strict=True):
        if final:
            updated[taken] = value
    return updated
