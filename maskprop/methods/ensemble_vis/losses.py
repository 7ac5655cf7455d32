"""Losses of the crop segmenter and of the ReID net (PReMVOS)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from torch import Tensor, nn

VOID = 255  # label of pixels without a loss


@MODELS.register_module()
class BootstrappedCrossEntropy(nn.Module):
    """Cross-entropy of the hardest pixels of each mask.

    Args:
        fraction: of a mask's pixels that count, void ones left out; in (0, 1].

    Raises:
        ValueError: ``fraction`` is no such share.
    """

    def __init__(self, fraction: float = 0.25) -> None:
        super().__init__()
        if not 0 < fraction <= 1:
            raise ValueError(f'fraction={fraction}: expected above 0, up to 1')
        self.fraction = fraction

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Losses in nats, (N,); 0 where all is void.

        Args:
            logits: (N, classes, H, W) float. targets: (N, H, W) long, or ``VOID``.
        """
        losses = F.cross_entropy(logits.float(), targets, ignore_index=VOID, reduction='none').flatten(1)
        valid = (targets != VOID).flatten(1).sum(1)
        found = []
        for own, count in zip(losses, valid.tolist(), strict=True):
            hardest = min(max(round(self.fraction * count), 1), max(count, 1))
            found.append(own.topk(hardest).values.mean())
        return torch.stack(found) if found else losses.sum(1)


@MODELS.register_module()
class SoftMarginTripletLoss(nn.Module):
    """softplus(d+ - d-) of each crop: the farthest of its identity and the nearest other one, Euclidean.

    Hermans et al., *In Defense of the Triplet Loss*, 2017: without a margin. mmdet's ``TripletLoss`` has one.

    Args:
        reduction: over the crops: ``'sum'`` (PReMVOS) or ``'mean'``.

    Raises:
        ValueError: ``reduction`` is another one.
    """

    def __init__(self, reduction: str = 'mean') -> None:
        super().__init__()
        if reduction not in ('sum', 'mean'):
            raise ValueError(f"reduction={reduction!r} is unknown; choose 'sum' or 'mean'")
        self.reduction = reduction

    def forward(self, embeds: Tensor, labels: Tensor) -> Tensor:
        """Scalar, of (N, E) float embeddings and (N,) long identities."""
        farthest, nearest = hardest_distances(embeds, labels)
        losses = F.softplus(farthest - nearest)
        return losses.sum() if self.reduction == 'sum' else losses.mean()


def hardest_distances(embeds: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """To the farthest of the same identity, and to the nearest of another, infinity without one: (N,) each."""
    # the product form of cdist is off by up to 1e-3 near 0
    distances = torch.cdist(embeds.float(), embeds.float(), compute_mode='donot_use_mm_for_euclid_dist')
    same = labels[:, None] == labels
    return distances.masked_fill(~same, -torch.inf).amax(1), distances.masked_fill(same, torch.inf).amin(1)
