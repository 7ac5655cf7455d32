"""Streams: equal results however frames arrive, videos of every length, frames without detections, filling."""

import pytest
import torch
from mmdet.registry import TASK_UTILS

from maskprop.utils.errors import UserError
from tests.models.builders import (
    ATTENTION,
    CLASSES,
    HEIGHT,
    TRACK,
    WIDTH,
    build_model,
    known_frame,
    make_batch,
    make_detections,
)

META = make_batch(([1], [1]))[1][0].video_data_samples[0].metainfo


def frames_of(model, counts, seed=0):
    """Encoded frames with a given number of detections each."""
    generator = torch.Generator().manual_seed(seed)
    frames = []
    for t, count in enumerate(counts):
        image = torch.randn(1, 3, HEIGHT, WIDTH, generator=generator)
        frames.append(known_frame(model, make_detections(count, seed=seed + t % 3), image))
    return frames


def run(model, frames, **overrides):
    stream = model.start_video(**overrides)
    results = [r for frame in frames for r in stream.push(frame)]
    results += stream.finish()
    return results, stream.video_instances().to_results(1, list(range(CLASSES)))


@pytest.mark.parametrize('fill', [False, True])
@pytest.mark.parametrize('counts', [[2], [3, 0, 2], [0, 0], [2] * 5, [2, 3, 0, 0, 1, 4, 2, 0, 2]])
def test_every_frame_comes_out_once_in_order(counts, fill):
    model = build_model(merge_iou=None).eval()
    results, videos = run(model, frames_of(model, counts), clip_radius=2, fill=fill)
    assert [r.frame_index for r in results] == list(range(len(counts)))
    for result, count in zip(results, counts, strict=True):
        assert sum(not f for f in result.filled) == count
        assert len(set(result.ids)) == len(result.ids)
    assert all(len(v['segmentations']) == len(counts) for v in videos)
    if not fill:
        found = sum(s is not None for v in {v['track_id']: v for v in videos}.values() for s in v['segmentations'])
        assert found == sum(counts)


def test_frames_are_final_t_frames_later_and_twice_that_with_filling():
    model = build_model().eval()
    frames = frames_of(model, [2] * 8)
    for fill, delay in ((False, 2), (True, 4)):
        stream = model.start_video(clip_radius=2, fill=fill)
        arrived = [[r.frame_index for r in stream.push(frame)] for frame in frames]
        assert arrived == [[]] * delay + [[t] for t in range(8 - delay)]


def test_whole_video_frames_and_chunks_are_equal():
    model = build_model(clip_radius=2, fill=True).eval()
    model.detector.roi_head.test_cfg.score_thr = 0.0  # random weights: something to track
    images = torch.randn(1, 7, 3, HEIGHT, WIDTH)
    sample = make_batch(([1], [1]))[1][0]
    sample.video_data_samples = [sample.video_data_samples[0]] * 7
    with torch.no_grad():
        whole = model.predict(images, [sample])[0].to_results(1, list(range(CLASSES)))
    assert len(whole) > 0
    for chunk in (1, 3, 7):
        stream = model.start_video()
        for start in range(0, 7, chunk):
            images_of_chunk = images[0, start : start + chunk]
            stream.step_chunk(images_of_chunk, [META] * len(images_of_chunk))
        stream.finish()
        assert stream.video_instances().to_results(1, list(range(CLASSES))) == whole


def test_two_videos_at_once_do_not_mix():
    """No state is hidden on the model between calls."""
    model = build_model(clip_radius=1).eval()
    frames = [frames_of(model, [2, 3, 2], seed) for seed in (0, 7)]
    alone = [run(model, f)[1] for f in frames]
    streams = [model.start_video() for _ in frames]
    for pair in zip(*frames, strict=True):
        for stream, frame in zip(streams, pair, strict=True):
            stream.push(frame)
    for stream, expected in zip(streams, alone, strict=True):
        stream.finish()
        assert stream.video_instances().to_results(1, list(range(CLASSES))) == expected


def test_ring_is_bounded():
    model = build_model().eval()
    stream = model.start_video(clip_radius=2, fill=True)
    for frame in frames_of(model, [2] * 20):
        stream.push(frame)
        assert len(stream._ring) <= 5
        assert len(stream._pending) <= 3
        assert len(stream.filler._clips) <= 5


def test_a_missed_object_is_filled_from_its_clips():
    """The copying head carries a still object over the frame where the detector missed it."""
    model = build_model(fill=True, clip_radius=2).eval()
    image = torch.randn(1, 3, HEIGHT, WIDTH) * 0.01
    seen = make_detections(1)._replace(roi_masks=torch.ones(1, 28, 28))
    nothing = make_detections(0)
    frames = [known_frame(model, d, image) for d in (seen, seen, nothing, seen)]
    results, videos = run(model, frames)
    assert [r.filled for r in results] == [[False], [False], [True], [False]]
    assert len(videos) == 1
    areas = [sum(s is not None for s in v['segmentations']) for v in videos]
    assert areas == [4]
    from pycocotools import mask as mask_utils

    iou = mask_utils.iou([results[2].masks[0]], [results[1].masks[0]], [0])
    assert iou > 0.8


def test_score_rules():
    from maskprop.tracking.video_instances import FrameResult, VideoInstances

    for rule, expected in (('all', {0: 0.3, 1: 0.4}), ('with_category', {0: 0.6, 1: 0.8})):
        instances = VideoInstances(rule)
        for t, scores in enumerate(({0: 0.6}, {1: 0.8})):
            instances.add_scores(1, scores)
            result = FrameResult(t)
            result.add(1, 0, 0.5, {'size': [1, 1], 'counts': ''})
            instances.add_frame(result)
        found = {r['category_id'] - 10: r['score'] for r in instances.to_results(3, [10, 11])}
        assert found == pytest.approx(expected)


def test_an_id_that_comes_twice_keeps_the_best_scored_mask():
    from maskprop.tracking.video_instances import FrameResult, VideoInstances

    for scores in ((0.2, 0.9), (0.9, 0.2)):
        instances, result = VideoInstances(), FrameResult(0)
        for score in scores:
            result.add(1, 0, score, {'size': [1, 1], 'counts': str(score)})
            instances.add_scores(1, {0: score})
        instances.add_frame(result)
        assert instances.to_results(1, [1])[0]['segmentations'][0]['counts'] == '0.9'


@pytest.mark.parametrize(
    'kind, method, ids', [('BoxIoULinker', 'link', lambda *_: [1]), ('ClipLinker', 'link_many', lambda *_: [[1]])]
)
def test_a_linker_without_an_id_for_each_detection_is_named(kind, method, ids, monkeypatch):
    monkeypatch.setattr(TASK_UTILS.get(kind), method, ids)
    model = build_model().eval()
    with pytest.raises(UserError, match=f'{kind}: link gave 1 id for 2 detections of frame 0'):
        run(model, frames_of(model, [2, 2]), linker=dict(type=kind), fill=False)


def test_impossible_combinations_say_why():
    model = build_model().eval()
    with pytest.raises(ValueError, match='BoxIoULinker'):
        model.start_video(linker=dict(type='BoxIoULinker'), fill=True)
    with pytest.raises(ValueError, match='output_mask'):
        model.start_video(output_mask='mask')
    stream = model.start_video()
    with pytest.raises(RuntimeError, match='finish'):
        stream.video_instances()
    stream.finish()
    with pytest.raises(RuntimeError, match='start_video'):
        stream.push(None)


def test_frames_carry_what_the_streams_parts_look_at(monkeypatch):
    """Codes of heads that nothing uses are not computed: filling off costs nothing."""
    model = build_model(track_head=TRACK, attention_head=ATTENTION, clip_radius=1).eval()
    tracker = dict(linker=dict(type='MaskTrackLinker'))
    rows = {
        'clips': (dict(), {'propagation_head'}),
        'boxes': (dict(linker=dict(type='BoxIoULinker')), set()),
        'tracker': (tracker, {'track_head'}),
        'filled': (dict(tracker, history_fill=dict()), {'track_head', 'attention_head'}),
        'flow': (dict(propagator=dict(type='FlowPropagator', flow=dict(type='DISFlow'))), {'image'}),
        'copy': (dict(propagator=dict(type='CopyPropagator')), set()),
    }
    for overrides, needs in rows.values():
        stream = model.start_video(**overrides)
        assert stream.needs == needs
        frames, push = [], stream._push
        monkeypatch.setattr(stream, '_push', lambda some, kept=frames, push=push: kept.extend(some) or push(some))
        stream.step(torch.randn(1, 3, HEIGHT, WIDTH), META)
        found = {*frames[0].codes, *(['image'] if frames[0].image is not None else [])}
        assert found == needs


def test_images_come_back_as_they_were_read():
    """RGB, 0..255, padding included, whatever the normalisation."""
    model = build_model().eval()
    image = torch.randint(0, 256, (3, HEIGHT - 4, WIDTH), dtype=torch.uint8)  # BGR, as files are read
    sample = make_batch(([1], [1]))[1][0]
    sample.video_data_samples = sample.video_data_samples[:1]
    batch = model.data_preprocessor(dict(inputs=[image[None]], data_samples=[sample]), False)
    view = model.start_features().step(batch['inputs'][0], META)[0]
    found = model.encode(view, needs={'image'}).image
    assert found.dtype == torch.uint8 and found.shape == (3, HEIGHT, WIDTH)
    assert torch.equal(found[:, : HEIGHT - 4], image.flip(0))


def test_nothing_comes_after_the_end():
    stream = build_model().eval().start_video()
    stream.step(torch.randn(1, 3, HEIGHT, WIDTH), META)
    stream.finish()
    for late in (lambda: stream.step(torch.randn(1, 3, HEIGHT, WIDTH), META), lambda: stream.push(None)):
        with pytest.raises(RuntimeError, match='the video was finished'):
            late()
