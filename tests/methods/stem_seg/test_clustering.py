"""Clustering gives what the published loop gives; its other readings give what a literal form gives."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from maskprop.engine.config import ConfigError
from maskprop.methods.stem_seg.clustering import SeedClustering

sys.path.insert(0, str(Path(__file__).parents[3] / 'tools/benchmarks'))

from clustering import make_pixels  # noqa: E402
from reference_clustering import cluster_by_loop  # noqa: E402


@pytest.mark.parametrize('seed', range(6))
@pytest.mark.parametrize('most', [1, 2, 6, 20])
def test_equal_to_the_published_loop(seed, most):
    pixels = make_pixels(1500, 6, seed)
    clusters = SeedClustering(max_clusters=most)(*pixels, 3)
    labels, ids = cluster_by_loop(*pixels, 3, max_clusters=most)
    assert clusters.ids == ids
    assert torch.equal(clusters.labels, labels)
    if most > 1:
        assert {-1, *ids} >= set(labels.unique().tolist()) and len(labels.unique()) > 2


@pytest.mark.parametrize('seed', range(3))
def test_leftovers_of_one_cluster_are_rescued(seed):
    """Near pixels of one cluster: some are taken at first, some only afterwards, and some never."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.cat([torch.zeros(1, 4), 0.35 * torch.randn(800, 4, generator=generator)])
    seediness = torch.cat([torch.tensor([0.95]), torch.full((800,), 0.3)])
    pixels = embeddings, torch.full((801, 2), 11.0), seediness
    plain = SeedClustering(leftovers='none')(*pixels).labels
    rescued = SeedClustering()(*pixels).labels
    assert (plain == 1).sum() < (rescued == 1).sum() < 801
    assert torch.equal(plain, cluster_by_loop(*pixels, secondary=None)[0])
    assert torch.equal(rescued, cluster_by_loop(*pixels)[0])


def literal(embeddings, widths, seediness, distance: str, leftovers: str) -> list[int]:
    """Pixel by pixel, in double precision."""
    count = len(seediness)
    scales = [[*w, 1 / 0.09, 1 / 0.09] for w in widths.tolist()]

    def probability(pixel: int, seed: int) -> tuple[float, float]:
        pairs = zip(embeddings[pixel].tolist(), embeddings[seed].tolist(), scales[seed], strict=True)
        squared = sum(w * (a - b) ** 2 for a, b, w in pairs)
        d = squared**0.5 if distance == 'root' else squared
        return 2.718281828459045 ** (-d / 2), d

    labels, seeds = [-1] * count, []
    while free := [i for i in range(count) if labels[i] == -1]:
        seed = max(free, key=lambda i: (float(seediness[i]), -i))
        if seediness[seed] < 0.8:
            break
        seeds.append(seed)
        for i in free:
            if probability(i, seed)[0] > 0.5:
                labels[i] = len(seeds)
    choose = max if leftovers == 'farthest' else min
    for i in [i for i in range(count) if labels[i] == -1] if leftovers != 'none' else []:
        chosen = choose(seeds, key=lambda seed: probability(i, seed)[1])
        if probability(i, chosen)[0] > 0.3:
            labels[i] = 1 + seeds.index(chosen)
    return labels


def two_blobs() -> tuple[torch.Tensor, ...]:
    """Two wide clusters side by side, each with one pixel that can be its seed."""
    generator = torch.Generator().manual_seed(1)
    centres = torch.tensor([[0.0, 0, 0, 0], [0.5, 0.1, 0, 0]])
    embeddings = centres.repeat_interleave(60, 0) + 0.2 * torch.randn(120, 4, generator=generator)
    seediness = 0.7 * torch.rand(120, generator=generator)
    seediness[[0, 60]] = torch.tensor([0.95, 0.9])
    embeddings[[0, 60]] = centres
    return embeddings, torch.full((120, 2), 9.0), seediness


@pytest.mark.parametrize('distance', ['root', 'squared'])
@pytest.mark.parametrize('leftovers', ['farthest', 'nearest', 'none'])
def test_readings(distance, leftovers):
    found = SeedClustering(distance=distance, leftovers=leftovers)(*two_blobs()).labels.tolist()
    assert found == literal(*two_blobs(), distance, leftovers)
    assert set(found) >= {1, 2}


def test_readings_differ():
    """The square root reaches farther (d < 1.39 for 1.18); the nearest cluster rescues more than the farthest."""
    outliers = {
        key: int((SeedClustering(distance=key[0], leftovers=key[1])(*two_blobs()).labels == -1).sum())
        for key in [('root', 'none'), ('root', 'farthest'), ('root', 'nearest'), ('squared', 'none')]
    }
    assert outliers['root', 'none'] < outliers['squared', 'none']
    assert outliers['root', 'nearest'] < outliers['root', 'farthest'] < outliers['root', 'none']


def test_no_pixels_and_no_seed():
    empty = SeedClustering()(torch.zeros(0, 4), torch.zeros(0, 2), torch.zeros(0))
    assert empty.labels.shape == (0,) and empty.ids == [] and empty.centres.shape == (0, 4)
    unsure = SeedClustering()(torch.zeros(3, 4), torch.ones(3, 2), torch.full((3,), 0.79))
    assert unsure.labels.tolist() == [-1, -1, -1]


@pytest.mark.parametrize(
    'options', [dict(distance='l1'), dict(leftovers='all'), dict(primary=1.0), dict(max_clusters=0)]
)
def test_bad_keys_are_named(options):
    with pytest.raises(ConfigError, match=f'model.clustering.{next(iter(options))}'):
        SeedClustering(**options)
