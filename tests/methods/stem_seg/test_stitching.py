"""Labels of clips become tracks: the pairs are the best of all, and frames keep their first labels."""

from __future__ import annotations

import itertools

import pytest
import torch

from maskprop.methods.stem_seg.stitching import Stitcher, associate


def best_sum(old: torch.Tensor, new: torch.Tensor) -> float:
    """The largest sum of IoUs over all ways to pair, tried one by one."""
    a, b = ([i for i in x.unique().tolist() if i > 0] for x in (old, new))
    if len(a) > len(b):
        a, b, old, new = b, a, new, old
    iou = {(i, j): float(((old == i) & (new == j)).sum() / ((old == i) | (new == j)).sum()) for i in a for j in b}
    return max(sum(iou[pair] for pair in zip(a, way, strict=True)) for way in itertools.permutations(b, len(a)))


@pytest.mark.parametrize('seed', range(8))
def test_pairs_are_the_best_of_all(seed):
    generator = torch.Generator().manual_seed(seed)
    old = torch.randint(-1, 5, (2, 6, 7), generator=generator)
    new = torch.where(torch.rand(old.shape, generator=generator) < 0.7, old + 5, 10)
    new[old <= 0] = torch.randint(-1, 11, (int((old <= 0).sum()),), generator=generator)
    pairs = associate(old, new)
    assert sum(pair.iou for pair in pairs) == pytest.approx(best_sum(old, new))
    counts = [len({i for i in x.unique().tolist() if i > 0}) for x in (old, new)]
    assert len(pairs) == min(counts)
    for pair in pairs:
        a, b = old == pair.old, new == pair.new
        assert pair.iou == pytest.approx(float((a & b).sum() / (a | b).sum()))


def labels(*rows: list[int]) -> torch.Tensor:
    """(T, 1, W)."""
    return torch.tensor(rows)[:, None]


def test_frames_keep_their_first_labels():
    stitcher = Stitcher()
    fresh, pairs = stitcher.add([0, 1, 2], labels([1, 1, 0], [1, 1, 2], [1, 0, 2]))
    assert sorted(fresh) == [0, 1, 2] and pairs == [] and stitcher.next_label == 3
    fresh, pairs = stitcher.add([1, 2, 3], labels([4, 4, 3], [4, 0, 3], [-1, 4, 5]))
    assert [(p.old, p.new, p.iou) for p in pairs] == [(1, 4, 1.0), (2, 3, 1.0)]
    assert {frame: x.tolist() for frame, x in fresh.items()} == {3: [[-1, 1, 5]]}
    assert stitcher.next_label == 6


def test_what_is_left_over_is_joined_without_overlap():
    """As published: there is no threshold."""
    stitcher = Stitcher()
    stitcher.add([0, 1], labels([1, 0], [1, 0]))
    fresh, pairs = stitcher.add([1, 2], labels([0, 2], [2, 2]))
    assert [(p.old, p.new, p.iou) for p in pairs] == [(1, 2, 0.0)]
    assert fresh[2].tolist() == [[1, 1]]


def test_clips_without_common_frames_or_labels():
    stitcher = Stitcher()
    stitcher.add([0, 1], labels([1], [1]))
    fresh, pairs = stitcher.add([2, 3], labels([2], [0]))
    assert pairs == [] and fresh[2].tolist() == [[2]] and stitcher.next_label == 3
    fresh, pairs = stitcher.add([3, 4], labels([3], [3]))
    assert pairs == [] and fresh[4].tolist() == [[3]]
