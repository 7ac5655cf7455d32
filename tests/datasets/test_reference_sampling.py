"""A reference frame and two neighbours: which frames are drawn."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from maskprop.datasets.transforms import SampleReferenceAndPair


def draws(transform: SampleReferenceAndPair, length: int, key: int, count: int = 300) -> set[tuple[int, int]]:
    """The pairs that are drawn for a key frame."""
    images = [dict(img_id=t, frame_id=t, file_name=f'{t:05d}.jpg', instances=[]) for t in range(length)]
    source = dict(video_id=9, video_length=length, images=images, key_frame_id=key)
    np.random.seed(0)
    found = set()
    for _ in range(count):
        sample = transform(copy.deepcopy(source))
        assert sample['frame_id'][0] == key and sample['key_frame_flags'] == [True, False, False]
        found.add(tuple(sample['frame_id'][1:]))
    return found


def test_every_pair_of_neighbours():
    assert draws(SampleReferenceAndPair(), 5, 2) == {(0, 1), (1, 2), (2, 3), (3, 4)}


def test_steps_and_both_ways():
    found = draws(SampleReferenceAndPair(step=(1, 3), both_ways=True), 5, 0)
    forwards = {(0, 1), (1, 2), (2, 3), (3, 4), (0, 3), (1, 4)}
    assert found == forwards | {pair[::-1] for pair in forwards}


def test_near_the_reference():
    assert draws(SampleReferenceAndPair(max_gap=1), 9, 4) == {(3, 4), (4, 5), (5, 6)}
    assert draws(SampleReferenceAndPair(max_gap=0), 9, 8) == {(7, 8)}  # nothing that near: the nearest


@pytest.mark.parametrize(('length', 'pairs'), [(1, {(0, 0)}), (2, {(0, 1)})])
def test_videos_shorter_than_the_step(length, pairs):
    assert draws(SampleReferenceAndPair(step=4), length, 0, 5) == pairs


@pytest.mark.parametrize('options', [dict(step=0), dict(step=()), dict(max_gap=-1)])
def test_bad_values(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        SampleReferenceAndPair(**options)
