"""A streamed video has the results of the whole-video form; memory does not grow with it."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch

from maskprop.engine.config import ConfigError
from maskprop.methods.stem_seg.clip_queue import ClipQueue
from maskprop.methods.stem_seg.clip_stream import ClipStream, ClipStreamOptions
from maskprop.methods.stem_seg.stem_seg import StemSeg
from tests.methods.stem_seg.clip_models import (
    LENGTH,
    OVERLAP,
    SHAPE,
    SIZE,
    FakeClipModel,
    decoded,
    make_video,
    run_stream,
    whole_video,
)


def assert_equal(found: list[dict], expected: list[dict]) -> None:
    assert [r['track_id'] for r in found] == [r['track_id'] for r in expected]
    for ours, wanted in zip(found, expected, strict=True):
        assert ours['score'] == pytest.approx(wanted['score'], abs=1e-12)
        assert ours['category_id'] == wanted['category_id']
        for mask, other in zip(ours['masks'], wanted['masks'], strict=True):
            assert (mask is None) == (other is None)
            assert mask is None or np.array_equal(mask, other)


@pytest.mark.parametrize('frames', [1, 2, 3, 4, 5, 6, 7, 9, 14, 17])
def test_streamed_is_the_whole_video(frames):
    images = make_video(frames, seed=frames)
    expected = whole_video(images)
    results, parts, _ = run_stream(images)
    assert expected and any(mask is not None and mask.any() for r in expected for mask in r['masks'])
    assert_equal(decoded(results), expected)
    assert [part.frame_index for part in parts] == list(range(frames))


def test_enlarged_labels_and_few_tracks():
    images = make_video(9)
    results, _, _ = run_stream(images, enlarge='labels', max_tracks=1)
    assert_equal(decoded(results), whole_video(images, scale=1, max_tracks=1))
    assert len(results) == 1


def test_several_frames_through_the_backbone_at_once():
    images = make_video(9)
    assert run_stream(images, frames_at_once=3)[0] == run_stream(images)[0]


def test_foreground_depends_on_later_clips():
    """Otherwise the look-ahead would be for nothing: a video cut short has other masks at its end."""
    images = make_video(12)
    full = decoded(run_stream(images)[0])
    short = decoded(run_stream(images[:9])[0])
    first, other = full[0]['masks'], short[0]['masks']
    assert all(np.array_equal(a, b) for a, b in zip(first[:4], other[:4], strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first[:9], other, strict=True))


def test_frames_are_final_two_clips_later():
    stream = ClipStream(FakeClipModel().eval(), ClipStreamOptions(clip_overlap=OVERLAP))
    meta = dict(img_shape=SHAPE, ori_shape=SIZE)
    final = {}
    for t, image in enumerate(make_video(20)):
        final |= {result.frame_index: t for result in stream.step(image, meta)}
    late = [t - frame for frame, t in final.items()]
    assert max(late) == 2 * LENGTH - 1
    assert sorted(final) == list(range(16))
    with pytest.raises(RuntimeError, match='finish'):
        stream.video_instances()
    stream.finish()
    with pytest.raises(RuntimeError, match='start_video'):
        stream.step(image, meta)


def living_bytes() -> int:
    """Of all tensors that Python knows of, each storage once."""
    gc.collect()
    tensors = [x for x in gc.get_objects() if type(x) is torch.Tensor]
    return sum({x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in tensors}.values())


@pytest.mark.slow
def test_memory_does_not_grow_with_the_video():
    stream = ClipStream(FakeClipModel().eval(), ClipStreamOptions(clip_overlap=OVERLAP))
    meta = dict(img_shape=SHAPE, ori_shape=SIZE)
    images, before, held = make_video(48), living_bytes(), []
    for image in images:
        stream.step(image, meta)
        held.append(living_bytes() - before)
    assert max(held[-16:]) <= max(held[10:26]) * 1.01 + 1000
    cell = 4 * 8 * 16  # bytes of a map at stride 4
    labels = 8 * 32 * 64
    assert max(held) < cell * (3 * LENGTH + 7 * 3 * LENGTH + 5 * 3 * LENGTH) + 2 * LENGTH * labels


def test_the_score_of_a_frame_is_that_of_the_video_so_far():
    results, parts, _ = run_stream(make_video(9))
    assert all(part.provisional for part in parts)
    last = dict(zip(parts[-1].ids, zip(parts[-1].scores, parts[-1].labels, strict=True), strict=True))
    for result in results:
        if result['track_id'] in last:
            score, label = last[result['track_id']]
            assert (score, label + 1) == (pytest.approx(result['score']), result['category_id'])


def test_an_empty_video_has_no_results():
    assert run_stream([])[0] == []


def test_bad_keys_are_named():
    with pytest.raises(ConfigError, match='model.clip_overlap=4'):
        ClipQueue(FakeClipModel(), LENGTH)
    for options in (dict(enlarge='masks'), dict(max_tracks=0), dict(frames_at_once=0)):
        with pytest.raises(ConfigError, match=f'model.{next(iter(options))}'):
            ClipStreamOptions(**options)


def test_a_key_that_moved_is_refused_with_the_new_one():
    parts = dict.fromkeys(('backbone', 'neck', 'embedding_head', 'seediness_head', 'class_head'), {})
    with pytest.raises(ConfigError, match='model.backbone_batch is now model.frames_at_once'):
        StemSeg(**parts, backbone_batch=2)
