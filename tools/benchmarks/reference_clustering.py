"""STEm-Seg's clustering as its authors' code does it: a loop over seeds that indexes what is free with masks.

Written anew after what that code computes; here as the slow form to compare with.
"""

from __future__ import annotations

import torch
from torch import Tensor

FREE_WIDTH = 1 / 0.3**2


def cluster_by_loop(
    embeddings: Tensor,
    widths: Tensor,
    seediness: Tensor,
    first: int = 1,
    *,
    primary: float = 0.5,
    secondary: float | None = 0.3,
    min_seediness: float = 0.8,
    max_clusters: int = 20,
) -> tuple[Tensor, list[int]]:
    """Labels (P,) long, -1 for outliers, and the clusters' labels.

    Args:
        embeddings: (P, 4). widths: (P, 2) bandwidths. seediness: (P,). first: label of the first cluster.
        primary, secondary: probabilities; without ``secondary`` pixels that are left over stay outliers.
        min_seediness: of a seed. max_clusters: at most.
    """
    widths = torch.cat([widths, torch.full_like(widths, FREE_WIDTH)], 1)
    labels = torch.full((len(embeddings),), -1, dtype=torch.long)
    free = labels == -1
    distances, ids = [], []
    for _ in range(max_clusters):
        free = labels == -1
        if not free.any():
            break
        index = seediness[free].argmax()
        if seediness[free][index] < min_seediness:
            break
        centre, width = embeddings[free][index], widths[free][index]
        distance = ((embeddings - centre) ** 2 * width).sum(1).sqrt()
        label = first + len(ids)
        labels = torch.where(((-0.5 * distance).exp() > primary) & free, torch.full_like(labels, label), labels)
        distances.append(distance)
        ids.append(label)
    if secondary is not None and ids and free.any():
        # the farthest cluster, of what was free before the last cluster
        farthest, which = torch.stack(distances, 1)[free].max(1)
        near = (-0.5 * farthest).exp() > secondary
        labels[free] = torch.where(near, torch.tensor(ids)[which], labels[free])
    return labels, ids
