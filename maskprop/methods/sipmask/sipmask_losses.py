"""SipMask's mask loss, and which points of an image have a part in it."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from maskprop.methods.sipmask.mask_assembly import cell_logits, cells_in_boxes

STRIDE = 2  # pixels of a cell of the basis maps
EPS = 1e-4


def counts_in_masks(boxes: Tensor) -> Tensor:
    """(N,) bool: boxes (N, 4) in pixels larger than a cell; also with both sides negative, as in the reference."""
    return (boxes[:, 2:] - boxes[:, :2]).div(STRIDE).prod(1) > 1


def halve_masks(masks: Tensor) -> Tensor:
    """Masks (G, H, W) at the basis maps' stride: bool, where more than half of a cell is foreground."""
    return F.avg_pool2d(masks.float()[:, None], STRIDE)[:, 0] > 0.5


def alignment_weights(scores: Tensor, ious: Tensor) -> Tensor:
    """How much the masks of an image's N points count: by class score and box IoU, (N,) each, N in all."""
    weights = scores * ious
    return weights / (weights.sum() + EPS) * len(weights)


def mask_loss(
    coefficients: Tensor, basis: Tensor, boxes: Tensor, masks: Tensor, objects: Tensor, weights: Tensor
) -> Tensor:
    """Binary cross-entropy inside the predicted boxes, by the box's area, weighted mean over an image's points.

    Args:
        coefficients: (N, 4 K) float. basis: (K, H, W) float.
        boxes: (N, 4) float, predicted, in pixels: no gradient goes into them.
        masks: (G, H, W) bool, of :func:`halve_masks`. objects: (N,) long, rows of ``masks``.
        weights: (N,) float.

    Returns:
        a scalar; 0 without points.
    """
    boxes = boxes.detach() / STRIDE
    found = cells_in_boxes(boxes, *basis.shape[1:])
    owners = found.boxes
    wanted = masks.flatten(1)[objects[owners], found.cells].float()
    entropies = F.binary_cross_entropy_with_logits(
        cell_logits(coefficients, basis, found), wanted, reduction='none'
    )
    sums = entropies.new_zeros(len(boxes)).index_add(0, owners, entropies)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return (sums / areas * weights).sum() / max(len(boxes), 1)
