"""What a FlowPropagator keeps: flows between frames that are still there, and nothing of a video that is over."""

import copy
import gc

import pytest
import torch

from maskprop.methods.flow.flow_propagator import FlowPropagator
from tests.methods.flow.flow_scenes import boxes_mask, make_frame, plain
from tests.models.builders import HEIGHT, WIDTH, build_model, make_batch

META = make_batch(([1], [1]))[1][0].video_data_samples[0].metainfo


def test_flows_are_kept_with_their_frames_only():
    masks = boxes_mask((16, 16, 20, 12))
    propagator = FlowPropagator(flow=dict(type='ShiftFlow', direction=(2.0, 0.0)))
    ring = [make_frame(plain(n), masks) for n in range(3)]
    for place in range(3):
        propagator.propagate(ring[place], ring)
    assert len(propagator.estimator.pairs) == len(set(propagator.estimator.pairs)) == 6
    for n in range(3, 9):
        ring = [*ring[1:], make_frame(plain(n), masks)]
        propagator.propagate(ring[1], ring)
        assert len(propagator._motions) <= 3
        assert all(len(sources) <= 2 for sources in propagator._motions.values())
    assert len(propagator.estimator.pairs) == len(set(propagator.estimator.pairs))
    del ring
    assert len(propagator._motions) == 0


def test_without_consistency_one_flow_is_estimated():
    frames = [make_frame(plain(n), boxes_mask((16, 16, 20, 12))) for n in range(3)]
    propagator = FlowPropagator(dict(type='ShiftFlow'), consistency=None)
    propagator.propagate(frames[1], frames)
    assert propagator.estimator.pairs == [(0, 1), (2, 1)]


def stream_results(model, video, **overrides):
    stream = model.start_video(**overrides)
    results = [r for image in video for r in stream.step(image[None], META)] + stream.finish()
    return [(r.ids, [m['counts'] for m in r.masks]) for r in results]


@pytest.mark.slow
@pytest.mark.parametrize('chained', [False, True])
def test_one_propagator_serves_videos_at_once_and_keeps_nothing(chained):
    """The model's propagator: two videos, frame by frame in turn, equal to each alone and to one made for each."""
    options = dict(type='FlowPropagator', chained=chained)
    model = build_model(
        propagator=options, output_mask='propagated', clip_radius=2, linker=dict(type='ClipLinker', threshold=0.1)
    ).eval()
    model.detector.roi_head.test_cfg.score_thr = 0.0  # random weights: something to track
    generator = torch.Generator().manual_seed(0)
    scenes = [torch.randn(3, HEIGHT, WIDTH + 20, generator=generator) for _ in range(2)]
    videos = [torch.stack([scene[:, :, 3 * t : 3 * t + WIDTH] for t in range(5)]) for scene in scenes]
    expected = [stream_results(model, video, propagator=options) for video in videos]
    assert [stream_results(model, video) for video in videos] == expected
    assert any(ids for ids, _ in expected[0]) and expected[0] != expected[1]
    streams = [model.start_video() for _ in videos]
    found = [[], []]
    for images in zip(*videos, strict=True):
        for place, image in enumerate(images):
            found[place] += streams[place].step(image[None], META)
    for place, stream in enumerate(streams):
        found[place] += stream.finish()
    assert [[(r.ids, [m['counts'] for m in r.masks]) for r in results] for results in found] == expected
    del streams, stream
    gc.collect()
    assert len(model.propagator._motions) == 0
    copy.deepcopy(model)  # as an averaged model is made
    assert not any('estimator' in name for name in model.state_dict())
