from __future__ import annotations

import itertools

import pytest

from maskprop.datasets import samplers
from maskprop.datasets.samplers import FrameRequest, SeededFrameSampler, VideoFrameSampler, assign_videos


class Videos:
    """Stands in for a data set: the key frames of each video."""

    def __init__(self, table: list[list[int]]) -> None:
        self.table = table

    def key_frames(self) -> list[list[int]]:
        return self.table


VIDEOS = Videos([[0, 2, 3], [], [1], [0, 1, 2, 3, 4, 5, 6]])
ALL = {(v, f) for v, frames in enumerate(VIDEOS.table) for f in frames}


def on_rank(monkeypatch, rank: int, world_size: int) -> None:
    monkeypatch.setattr(samplers, 'get_dist_info', lambda: (rank, world_size))


def epoch_of(sampler: SeededFrameSampler, epoch: int) -> list[FrameRequest]:
    sampler.set_epoch(epoch)
    return list(sampler)


def test_every_key_frame_once_an_epoch():
    sampler = SeededFrameSampler(VIDEOS, seed=4)
    assert len(sampler) == 11
    orders = [epoch_of(sampler, epoch) for epoch in range(3)]
    for epoch, order in enumerate(orders):
        assert {(r.video, r.frame) for r in order} == ALL and len(order) == 11
        assert [r.position for r in order] == list(range(11))
        assert {r.epoch for r in order} == {epoch} and {r.seed for r in order} == {4}
    frames = [[(r.video, r.frame) for r in order] for order in orders]
    assert frames[0] != frames[1] != frames[2]


def test_order_depends_on_seed_and_epoch_only():
    first, second = SeededFrameSampler(VIDEOS, seed=1), SeededFrameSampler(VIDEOS, seed=1)
    epoch_of(first, 0)
    assert epoch_of(first, 7) == epoch_of(second, 7)
    orders = [epoch_of(SeededFrameSampler(VIDEOS, seed=seed), 7) for seed in (1, 2)]
    assert [r[3:] for r in orders[0]] != [r[3:] for r in orders[1]]


def test_without_shuffling_frames_come_in_file_order():
    order = epoch_of(SeededFrameSampler(VIDEOS, shuffle=False), 5)
    assert [(r.video, r.frame) for r in order] == sorted(ALL)


@pytest.mark.parametrize('samples', [4, 11, 25])
def test_short_and_long_epochs_visit_every_frame_equally(samples):
    sampler = SeededFrameSampler(VIDEOS, samples_per_epoch=samples)
    assert len(sampler) == samples
    taken = list(itertools.chain.from_iterable(epoch_of(sampler, epoch) for epoch in range(11)))
    counts = [sum((r.video, r.frame) == frame for r in taken) for frame in ALL]
    assert counts == [samples] * 11


@pytest.mark.parametrize('samples', [None, 6, 7])
def test_ranks_share_the_epoch_of_one_process(monkeypatch, samples):
    alone = {r.position: r for r in epoch_of(SeededFrameSampler(VIDEOS, samples_per_epoch=samples), 3)}
    parts = []
    for rank in range(2):
        on_rank(monkeypatch, rank, 2)
        parts.append(epoch_of(SeededFrameSampler(VIDEOS, samples_per_epoch=samples), 3))
    assert len(parts[0]) == len(parts[1]) == -(-len(alone) // 2)
    together = {r.position: r for part in parts for r in part}
    assert len(together) == 2 * len(parts[0])
    assert {p: together[p] for p in alone} == alone
    assert [r.position for r in parts[1]] == list(range(1, 2 * len(parts[1]), 2))


def test_start_at_gives_the_rest_of_one_epoch(monkeypatch):
    on_rank(monkeypatch, 1, 2)
    sampler = SeededFrameSampler(VIDEOS, seed=3)
    whole, following = epoch_of(sampler, 2), epoch_of(sampler, 3)
    resumed = SeededFrameSampler(VIDEOS, seed=3)
    resumed.set_epoch(1)
    resumed.start_at(4)
    assert epoch_of(resumed, 2) == whole[4:]
    assert epoch_of(resumed, 3) == following
    assert len(resumed) == len(whole)
    resumed.start_at(len(whole))
    assert epoch_of(resumed, 4) == []
    with pytest.raises(ValueError, match='start_at: found 7; an epoch has 6 samples'):
        resumed.start_at(7)


@pytest.mark.parametrize('world_size', [1, 2, 3, 9])
def test_videos_stay_whole_and_in_order_on_every_rank(monkeypatch, world_size):
    lengths = [5, 1, 8, 3, 3]
    videos = Videos([list(range(n)) for n in lengths])
    parts = []
    for rank in range(world_size):
        on_rank(monkeypatch, rank, world_size)
        sampler = VideoFrameSampler(videos)
        parts.append(list(sampler))
        assert len(sampler) == len(parts[-1])
        assert parts[-1] == sorted(parts[-1])  # whole videos, frames in order
    assert sorted(itertools.chain.from_iterable(parts)) == [
        (v, f) for v, n in enumerate(lengths) for f in range(n)
    ]
    owners = [{rank for rank, part in enumerate(parts) if any(v == video for v, _ in part)} for video in range(5)]
    assert all(len(owner) == 1 for owner in owners)


def test_videos_are_balanced_by_frames():
    lengths = [5, 1, 8, 3, 3]
    assert assign_videos(lengths, 2) == [[2, 4], [0, 1, 3]]
    loads = [sum(lengths[v] for v in own) for own in assign_videos(lengths, 2)]
    assert sorted(loads) == [9, 11]
    assert assign_videos([4, 4], 3) == [[0], [1], []]


def test_bad_arguments():
    with pytest.raises(ValueError, match='samples_per_epoch: found 0'):
        SeededFrameSampler(VIDEOS, samples_per_epoch=0)
    with pytest.raises(ValueError, match='no key frame'):
        SeededFrameSampler(Videos([[], []]))
    with pytest.raises(TypeError, match='found list'):
        VideoFrameSampler([1, 2])
