"""OSMN's loss (Section 3.5): cross-entropy with the classes balanced over the batch."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def balanced_loss(logits: Tensor, targets: Tensor, valid: Tensor | None = None) -> Tensor:
    """Sum over all pixels of the cross-entropy, each class weighted by the other's share of the batch.

    A batch without a foreground pixel has a loss of 0.

    Args:
        logits: (N, H, W) float. targets: the same, of 0 and 1.
        valid: (N, H, W) bool, pixels that count; None: all.
    """
    losses = F.binary_cross_entropy_with_logits(logits, targets, reduction='none')
    valid = targets.new_ones(()).expand_as(targets) if valid is None else valid.to(targets)
    positive = (targets * valid).sum()
    share = positive / valid.sum().clamp(min=1)
    weights = (targets * (1 - share) + (1 - targets) * share) * valid
    return (weights * losses).sum()
