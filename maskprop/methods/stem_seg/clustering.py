"""From embeddings to instances: seeds one by one, each with the pixels inside its Gaussian (Section 3.4)."""

from __future__ import annotations

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
        for name in ('primary', 'secondary', 'min_seediness'):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f'model.clustering.{name}={getattr(self, name)!r}: expected a number in [0, 1]')
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
        planes = embeddings.T.contiguous()  # a plane a dimension: distances are sums of planes
        widths = F.pad(widths, (0, DIMS - PLACE_DIMS), value=FREE_STD**-2)
        labels = torch.full_like(seediness, OUTLIER, dtype=torch.long)
        open_seeds = seediness.clone()  # below 0 once a pixel is taken
        last = labels  # before the latest cluster
        pick = _Pick(self.leftovers, len(labels), embeddings)
        seeds: list[int] = []
        while len(seeds) < self.max_clusters and len(labels):
            best, seed = open_seeds.max(0)
            if best < self.min_seediness:
                break
            distances = self._distances(planes, planes[:, seed], widths[seed])
            label = first + len(seeds)
            taken = (self._probability(distances) > self.primary) & (open_seeds >= 0)
            last, labels = labels, labels.masked_fill(taken, label)
            open_seeds.masked_fill_(taken, -1.0)
            pick.add(distances, label)
            seeds.append(int(seed))
        if seeds and self.leftovers != 'none':
            letter = self.leftovers == 'farthest' and len(seeds) == self.max_clusters
            left = (last if letter else labels) == OUTLIER
            labels = torch.where(left & (self._probability(pick.distances) > self.secondary), pick.labels, labels)
        index = torch.tensor(seeds, dtype=torch.long, device=labels.device)
        ids = list(range(first, first + len(seeds)))
        return Clusters(labels, ids, embeddings[index], widths[index].rsqrt())

    def _distances(self, planes: Tensor, centre: Tensor, width: Tensor) -> Tensor:
        """(P,) distances from a seed, as ``distance`` says; differences first, as their squares are small."""
        squared = ((planes - centre[:, None]) ** 2 * width[:, None]).sum(0)
        return squared.sqrt() if self.distance == 'root' else squared

    @staticmethod
    def _probability(distances: Tensor) -> Tensor:
        return (-0.5 * distances).exp()


class _Pick:
    """For each pixel the nearest or farthest of the clusters so far, the first of equal ones."""

    def __init__(self, leftovers: str, pixels: int, like: Tensor) -> None:
        self._farthest = leftovers == 'farthest'
        start = -1.0 if self._farthest else torch.inf
        self.distances = like.new_full((pixels,), start)
        self.labels = torch.full((pixels,), OUTLIER, dtype=torch.long, device=like.device)

    def add(self, distances: Tensor, label: int) -> None:
        better = distances > self.distances if self._farthest else distances < self.distances
        self.distances = torch.where(better, distances, self.distances)
        self.labels = self.labels.masked_fill(better, label)
