"""Clips: their offsets, where they begin, short videos and frames without objects."""

from __future__ import annotations

import numpy as np
import pytest

from maskprop.datasets.transforms import SampleClip


def make_video(frames: int, empty: tuple[int, ...] = ()) -> dict:
    images = [
        dict(img_id=t, instances=[] if t in empty else [dict(ignore_flag=0)], frame_id=t) for t in range(frames)
    ]
    return dict(images=images, video_id=3, video_length=frames)


def starts(transform: SampleClip, video: dict, draws: int = 300) -> tuple[set[int], list[list[int]]]:
    np.random.seed(0)
    clips = [transform(video)['frame_id'] for _ in range(draws)]
    return {clip[0] for clip in clips}, clips


def test_offsets_and_uniform_starts():
    first, clips = starts(SampleClip(), make_video(12), 900)
    assert first == {0, 1, 2, 3}
    assert all([t - clip[0] for t in clip] == [0, 1, 2, 3, 5, 6, 7, 8] for clip in clips)
    counts = np.bincount([clip[0] for clip in clips])
    assert counts.min() > 180  # of 225


def test_frames_without_objects_are_left_out():
    video = make_video(12, empty=(1, 2, 11))
    _, clips = starts(SampleClip((0, 1, 3)), video)
    kept = [0, 3, 4, 5, 6, 7, 8, 9, 10]
    assert {tuple(clip) for clip in clips} == {(kept[i], kept[i + 1], kept[i + 3]) for i in range(6)}
    _, clips = starts(SampleClip((0, 1, 3), with_objects=False), video)
    assert len({tuple(clip) for clip in clips}) == 9


def test_a_short_video_ends_with_its_last_frame():
    assert starts(SampleClip(), make_video(4))[1][0] == [0, 1, 2, 3, 3, 3, 3, 3]
    assert starts(SampleClip((0, 2)), make_video(3))[0] == {0}


def test_the_packed_clip_knows_its_video():
    results = SampleClip((0, 1))(make_video(4))
    assert results['ori_video_length'] == [4, 4] and results['video_length'] == [2, 2]
    assert results['video_id'] == [3, 3]


@pytest.mark.parametrize('offsets', [(), (1, 2), (0, 2, 2)])
def test_bad_offsets_are_named(offsets):
    with pytest.raises(ValueError, match='ascend from 0'):
        SampleClip(offsets)
