"""Losses of a batch of clips: where pixels embed (Sections 3.1 and 3.2) and what they are of.

B clips, N objects of a clip, T frames, H x W cells of stride 4.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from maskprop.methods.stem_seg.clip_targets import ClipTargets

FREE_STD = 0.3  # of a Gaussian along the free dimensions
BANDWIDTH_SCALE = 10.0  # a bandwidth is this times exp of what the network gives
DIMS, PLACE_DIMS = 4, 2


def lovasz_hinge(logits: Tensor, targets: Tensor) -> Tensor:
    """The Lovasz extension of the Jaccard loss with hinge errors (Yu and Blaschko 2015; Berman et al. 2018).

    Args:
        logits: (N, P) float, positive where a pixel is predicted to be foreground. targets: (N, P) bool.

    Returns:
        (N,) losses.
    """
    signs = 2 * targets.to(logits) - 1
    errors, order = (1 - logits * signs).sort(dim=1, descending=True)
    found = targets.gather(1, order).to(logits)
    return (errors.relu() * _jaccard_steps(found)).sum(1)


def _jaccard_steps(found: Tensor) -> Tensor:
    """By how much the Jaccard loss grows with each further error; (N, P) of targets in order of the errors."""
    total = found.sum(1, keepdim=True)
    intersection = total - found.cumsum(1)
    union = total + (1 - found).cumsum(1)
    return (1 - intersection / union).diff(dim=1, prepend=torch.zeros_like(total))


def bandwidths(log_bandwidths: Tensor) -> Tensor:
    """Inverse squared widths of the Gaussians, of what the network gives."""
    return BANDWIDTH_SCALE * log_bandwidths.exp()


def object_maps(embeddings: Tensor, log_bandwidths: Tensor, masks: Tensor) -> Tensor:
    """How probably each cell is of each object: a Gaussian around the mean of the object's embeddings.

    Args:
        embeddings: (4, T, H, W) float. log_bandwidths: (2, T, H, W) float. masks: (N, T, H, W) bool, none empty.

    Returns:
        (N, T, H, W) float in (0, 1].
    """
    weights = masks.flatten(1).to(embeddings)
    weights = weights / weights.sum(1, keepdim=True)
    centres = weights @ embeddings.flatten(1).T  # [N, 4]
    widths = weights @ bandwidths(log_bandwidths).flatten(1).T  # [N, 2]
    widths = F.pad(widths, (0, DIMS - PLACE_DIMS), value=FREE_STD**-2)
    # one dimension at a time: N x 4 x T x H x W differences would be the peak of the training
    distance = sum(
        width[:, None, None, None] * (plane - centre[:, None, None, None]) ** 2
        for plane, centre, width in zip(embeddings, centres.T, widths.T, strict=True)
    )
    return (-0.5 * distance).exp()


def embedding_losses(output: Tensor, targets: Sequence[ClipTargets]) -> dict[str, Tensor]:
    """Lovasz hinge, smoothness of the bandwidths, and seediness, without their weights.

    Args:
        output: (B, 7, T, H, W) of :class:`~maskprop.methods.stem_seg.clip_decoder.ClipEmbeddingDecoder`.
        targets: of B clips.

    Returns:
        scalars ``lovasz``, ``smoothness`` and ``seediness``.
    """
    lovasz = smoothness = seediness = 0 * output.sum()  # reaches every parameter also in clips without objects
    count = 0
    for clip, target in zip(output, targets, strict=True):
        embeddings, variance, seeds = clip.split((DIMS, PLACE_DIMS, 1))
        seediness = seediness + _background_seediness(seeds[0], target)
        if not len(target.masks):
            continue
        maps = object_maps(embeddings, variance, target.masks)
        lovasz = lovasz + lovasz_hinge(2 * maps.flatten(1) - 1, target.masks.flatten(1)).sum()
        smoothness = smoothness + _variance(variance, target.masks).mean()
        seediness = seediness + _masked_mean((seeds - maps.detach()) ** 2, target.masks).sum()
        count += len(maps)
    return dict(
        lovasz=lovasz / max(count, 1), smoothness=smoothness / len(targets), seediness=seediness / (count + 1)
    )


def _background_seediness(seeds: Tensor, target: ClipTargets) -> Tensor:
    """Mean square over the cells without an object, of which the ignored ones count as 0."""
    background = ~target.masks.any(0)
    return (seeds**2 * (background & ~target.ignored)).sum() / background.sum().clamp(min=1)


def _variance(variance: Tensor, masks: Tensor) -> Tensor:
    """(N,): the variance of the log-bandwidths over each object's cells, mean of both channels."""
    means = torch.stack([_masked_mean(plane.expand_as(masks), masks) for plane in variance])  # [2, N]
    spreads = [
        _masked_mean((plane - mean[:, None, None, None]) ** 2, masks)
        for plane, mean in zip(variance, means, strict=True)
    ]
    return torch.stack(spreads).mean(0)


def _masked_mean(values: Tensor, masks: Tensor) -> Tensor:
    """(N,): the mean of (N, T, H, W) values over masks that aren't empty."""
    return (values * masks).flatten(1).sum(1) / masks.flatten(1).sum(1)


def class_losses(logits: Tensor, targets: Sequence[ClipTargets]) -> dict[str, Tensor]:
    """Cross-entropy of the classes over all cells, ignored ones too, and of foreground over those that aren't.

    Args:
        logits: (B, K + 2, T, H, W) of :class:`~maskprop.methods.stem_seg.clip_decoder.ClipClassDecoder`.
        targets: of B clips.

    Returns:
        scalars ``semantic`` and ``foreground``.
    """
    classes = torch.stack([target.classes for target in targets])  # [B, T, H, W]
    counted = ~torch.stack([target.ignored for target in targets])
    errors = F.binary_cross_entropy_with_logits(logits[:, -1], (classes > 0).to(logits), reduction='none')
    foreground = (errors * counted).flatten(1).sum(1) / counted.flatten(1).sum(1).clamp(min=1)
    return dict(semantic=F.cross_entropy(logits[:, :-1], classes), foreground=foreground.mean())
