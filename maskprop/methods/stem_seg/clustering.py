"""From embeddings to instances: seeds one by one, each with the pixels inside its Gaussian (Section 3.4)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmdet.registry import TASK_UTILS
from torch import Tensor

from maskprop.engine.config import ConfigError
from maskprop.methods.stem_seg.clip_losses import DIMS, FREE_STD, PLACE_DIMS

OUTLIER = -1
DISTANCES = ('root', 'squared')
LEFTOVERS = ('farthest', 'nearest', 'none')


class Clusters(NamedTuple):
    """Clusters of P pixels.

    Attributes:
        labels: (P,) long; ``OUTLIER`` for a pixel of none.
        ids: the clusters' labels in the order in which they were found.
        centres: (K, 4) float, the seeds' embeddings.
        stds: (K, 4) float, widths of their Gaussians.
    """

    labels: Tensor
    ids: list[int]
    centres: Tensor
    stds: Tensor


@TASK_UTILS.register_module()
@dataclass(frozen=True)
class SeedClustering:
    """Sequential clustering: the unassigned pixel of highest seediness founds the next cluster.

    Attributes:
        distance: ``'root'``: p = exp(-d / 2), as published; ``'squared'``: p = exp(-d² / 2), the Gaussian of the
            training. d is the Mahalanobis distance from the seed.
        leftovers: a pixel that no cluster took gets the cluster at the ``'farthest'`` distance, as published, if
            that is near enough; the ``'nearest'`` one; or ``'none'``. As published, what the last of
            ``max_clusters`` took counts as left over too.
        primary: a cluster takes the free pixels of a probability above this.
        secondary: so probable a left-over pixel must be.
        min_seediness: of a seed.
        max_clusters: of one clip.

    Raises:
        ConfigError: a value is unknown or out of range.
    """

    distance: str = 'root'
    leftovers: str = 'farthest'
    primary: float = 0.5
    secondary: float = 0.3
    min_seediness: float = 0.8
    max_clusters: int = 20

    def __post_init__(self) -> None:
        for name, known in (('distance', DISTANCES), ('leftovers', LEFTOVERS)):
            if getattr(self, name) not in known:
                raise ConfigError(f'model.clustering.{name}={getattr(self, name)!r}: expected one of {known}')
        for name in ('primary', 'secondary', 'min_seediness'):  # a primary of 1 would not take the seed itself
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f'model.clustering.{name}={getattr(self, name)!r}: expected 0 or more, below 1')
        if self.max_clusters < 1:
            raise ConfigError(f'model.clustering.max_clusters={self.max_clusters!r}: expected 1 or more')

    @torch.no_grad()
    def __call__(self, embeddings: Tensor, widths: Tensor, seediness: Tensor, first: int = 1) -> Clusters:
        """Cluster P pixels.

        Args:
            embeddings: (P, 4) float. widths: (P, 2) float, bandwidths of the first two dimensions.
            seediness: (P,) float in [0, 1].
            first: label of the first cluster; those after it count up.

        Returns:
            the clusters; ties go to the first pixel and to the first cluster.
        """
        labels = torch.full_like(seediness, OUTLIER, dtype=torch.long)
        widths = F.pad(widths, (0, DIMS - PLACE_DIMS), value=FREE_STD**-2)
        pixels = _FreePixels(embeddings, seediness)
        seeds: list[int] = []
        while len(seeds) < self.max_clusters and pixels.remaining:
            seed, best = pixels.best()
            if best < self.min_seediness:
                break
            taken = pixels.take(embeddings[seed], widths[seed], self._farthest(self.primary))
            labels[taken] = first + len(seeds)
            seeds.append(seed)
        ids = list(range(first, first + len(seeds)))
        index = torch.tensor(seeds, dtype=torch.long, device=labels.device)
        clusters = Clusters(labels, ids, embeddings[index], widths[index].rsqrt())
        if seeds and self.leftovers != 'none':
            self._assign_leftovers(clusters, embeddings, widths[index])
        return clusters

    def _farthest(self, probability: float) -> float:
        """The squared Mahalanobis distance below which pixels are more probable."""
        if probability == 0:
            return math.inf
        distance = -2 * math.log(probability)
        return distance**2 if self.distance == 'root' else distance

    def _assign_leftovers(self, clusters: Clusters, embeddings: Tensor, widths: Tensor) -> None:
        """Give pixels that are left over their cluster, in place."""
        left = clusters.labels == OUTLIER
        if self.leftovers == 'farthest' and len(clusters.ids) == self.max_clusters:
            left |= clusters.labels == clusters.ids[-1]
        rows = left.nonzero()[:, 0]
        planes = embeddings[rows].T.contiguous()
        better = torch.gt if self.leftovers == 'farthest' else torch.lt
        chosen = torch.full_like(planes[0], -1.0 if self.leftovers == 'farthest' else torch.inf)
        labels = torch.full_like(rows, OUTLIER)
        for label, centre, width in zip(clusters.ids, clusters.centres, widths, strict=True):
            distances = _squared_distances(planes, centre, width)
            if self.distance == 'root':
                distances.sqrt_()
            wins = better(distances, chosen)  # the first of equal ones stays
            chosen, labels = torch.where(wins, distances, chosen), torch.where(wins, label, labels)
        near = (-0.5 * chosen).exp() > self.secondary
        clusters.labels[rows[near]] = labels[near]


class _FreePixels:
    """The pixels that no cluster has taken; the others are dropped once they are half of those that are kept.

    Args:
        embeddings: (P, 4). seediness: (P,).
    """

    def __init__(self, embeddings: Tensor, seediness: Tensor) -> None:
        self.remaining = len(seediness)
        self._planes = embeddings.T.contiguous()  # a plane a dimension: distances are sums of planes
        self._seediness = seediness.clone()  # below 0 once a pixel is taken
        self._rows: Tensor | None = None  # places of the pixels that are kept; None: all

    def best(self) -> tuple[int, float]:
        """The pixel of highest seediness, the first of equal ones; its seediness."""
        best, row = self._seediness.max(0)
        return int(self._places(row)), float(best)

    def take(self, centre: Tensor, width: Tensor, limit: float) -> Tensor:
        """Take the pixels that are nearer than a squared distance; their places."""
        near = _squared_distances(self._planes, centre, width) < limit
        taken = near.logical_and_(self._seediness >= 0).nonzero()[:, 0]
        places = self._places(taken)
        self._seediness[taken] = -1.0
        self.remaining -= len(taken)
        if 2 * self.remaining < len(self._seediness):
            kept = (self._seediness >= 0).nonzero()[:, 0]
            self._rows = self._places(kept)
            self._planes, self._seediness = self._planes[:, kept], self._seediness[kept]
        return places

    def _places(self, rows: Tensor) -> Tensor:
        return rows if self._rows is None else self._rows[rows]


def _squared_distances(planes: Tensor, centre: Tensor, width: Tensor) -> Tensor:
    """(P,) squared Mahalanobis distances of (4, P) planes; differences first, as the margins are small."""
    total = torch.zeros_like(planes[0])
    for plane, middle, factor in zip(planes, centre.tolist(), width.tolist(), strict=True):
        difference = plane - middle
        total.addcmul_(difference, difference, value=factor)
    return total
