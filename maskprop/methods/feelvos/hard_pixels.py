"""The loss over the hardest pixels of a frame (FEELVOS, Section 4: bootstrapped cross-entropy)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = 255  # label of pixels without a loss


def hard_share(step: int, last_share: float, steps: int) -> float:
    """The share of pixels that count at a step: from 1 down to ``last_share``, linearly over ``steps``."""
    return 1 - (1 - last_share) * min(step / max(steps, 1), 1.0)


def hardest_pixel_loss(logits: Tensor, target: Tensor, share: float) -> Tensor:
    """Mean cross-entropy of the hardest share of all pixels, scalar.

    Ignored pixels count among all, with a loss of 0, but not in the mean.

    Args:
        logits: (K, H, W) float. target: (H, W) long, rows of the logits, or ``IGNORED``.
        share: of the pixels, above 0.
    """
    losses = F.cross_entropy(logits[None].float(), target[None], ignore_index=IGNORED, reduction='none').flatten()
    count = int(torch.tensor(share, dtype=torch.float32) * losses.numel())
    hardest, places = losses.topk(max(count, 1))
    counted = (target.flatten()[places] != IGNORED).sum().clamp(min=1)
    return hardest.sum() / counted
