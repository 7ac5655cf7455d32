"""Soft IoU of masks with values in [0, 1] (MaskProp, Eq. 3)."""

from __future__ import annotations

from torch import Tensor

EPS = 1e-6  # cells; only in the denominator, so that empty against empty is 0


def soft_iou(a: Tensor, b: Tensor) -> Tensor:
    """Soft IoU of masks pair by pair (Eq. 3).

    Args:
        a: (..., H, W) float, values in [0, 1].
        b: (..., H, W) float, broadcastable to ``a``.

    Returns:
        (...) float in [0, 1]; 0 where both masks are empty.
    """
    intersection = (a * b).sum((-2, -1))
    union = a.sum((-2, -1)) + b.sum((-2, -1)) - intersection
    return intersection / union.clamp(min=EPS)


def pairwise_soft_iou(a: Tensor, b: Tensor) -> Tensor:
    """Soft IoU of every mask of one set with every mask of another, by one matrix product (Eq. 3).

    Args:
        a: (N, P) float, flattened masks with values in [0, 1].
        b: (M, P) float.

    Returns:
        (N, M) float in [0, 1]; 0 where both masks are empty.
    """
    intersection = a @ b.T
    union = a.sum(1, keepdim=True) + b.sum(1) - intersection
    return intersection / union.clamp(min=EPS)
