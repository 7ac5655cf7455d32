"""The linker on scenes made by hand: objects that hide and return, others that come, and what it keeps."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pycocotools.mask as mask_utils
import pytest
import torch
from mmdet.registry import TASK_UTILS

import maskprop

maskprop.register_all()

from maskprop.methods.ensemble_vis.tracklet_merge_linker import TrackletMergeLinker, video_flow  # noqa: E402
from maskprop.ops.masks import encode_mask  # noqa: E402
from maskprop.structures import Frame, FrameResult, PerInstance  # noqa: E402
from maskprop.tracking.video_instances import VideoInstances  # noqa: E402
from tests.models.builders import build_model, make_detections, view_of  # noqa: E402

SIZE = (40, 60)
SHIFT = 4  # pixels to the right a frame, of everything


@TASK_UTILS.register_module()
class RightwardFlow:
    """Everything goes right: the flow of a pair is by how far their first image's clock is behind."""

    def estimate(self, first, second):
        steps = int(second[0, 0, 0, 0]) - int(first[0, 0, 0, 0])
        flow = torch.zeros(len(first), 2, *first.shape[-2:])
        flow[:, 0] = steps * SHIFT * first.shape[-1] / SIZE[1]
        return flow


def scene(t: int, *objects: tuple[float, float, int, float], scale: float = 1.0) -> Frame:
    """A frame with objects (row, look, label, score), at column 4 + SHIFT t; its image is its clock.

    ``scale``: pixels of the network's input to one of the video; the input has 8 pixels of padding.
    """
    masks = np.zeros((len(objects), *SIZE), dtype=np.uint8)
    for mask, (row, *_) in zip(masks, objects, strict=True):
        mask[int(row) : int(row) + 6, 4 + SHIFT * t : 12 + SHIFT * t] = 1
    shown = [round(scale * side) for side in SIZE]
    return Frame(
        masks=torch.zeros(len(objects), 2, 2),
        boxes=torch.zeros(len(objects), 4),
        class_scores=[{label: score} for *_, label, score in objects],
        rles=[encode_mask(mask) for mask in masks],
        size=SIZE,
        map_size=tuple((side + 8) / scale for side in shown),
        codes=dict(reid_head=PerInstance(torch.tensor([[look, 0.0] for _, look, *_ in objects]).reshape(-1, 2))),
        image=torch.full((3, *(side + 8 for side in shown)), t, dtype=torch.uint8),
    )


def linker(**keys) -> TrackletMergeLinker:
    return TASK_UTILS.build(dict(type='TrackletMergeLinker') | dict(flow=dict(type='RightwardFlow')) | keys)


def final_ids(frames: list[Frame], **keys) -> list[list[int | None]]:
    own = linker(**keys)
    ids = [own.link(frame) for frame in frames]
    final = own.finish()
    return [[None if i is None else final[i] for i in row] for row in ids]


@pytest.mark.parametrize('scale', [1.0, 2.0, 0.5])
@pytest.mark.parametrize('direction', [None, 'forward_negated'])
def test_masks_are_found_where_the_flow_carries_them(scale, direction):
    """They move by half their width; without the flow they would overlap too little."""
    frames = [scene(t, (5, 1, 0, 0.9), (25, 2, 0, 0.8), scale=scale) for t in range(6)]
    ids = final_ids(frames, flow_iou=0.6, flow_direction=direction)
    assert ids == [[1, 2]] * 6
    assert len({i for row in final_ids(frames, flow_iou=0.6, flow=None) for i in row}) >= 2
    flow = video_flow(TASK_UTILS.build(dict(type='RightwardFlow')), frames[1], frames[0])
    assert flow.shape == (*SIZE, 2)
    assert np.allclose(flow[..., 0], -SHIFT, atol=0.05) and not flow[..., 1].any()


A, B = (5, 1.0, 0, 0.9), (25, 9.0, 1, 0.8)


def test_an_object_that_hides_and_returns_is_one():
    frames = [scene(0, A, B), scene(1, A, B), scene(2, B), scene(3, B), scene(4, A, B), scene(5, A, B)]
    assert final_ids(frames) == [[1, 2], [1, 2], [2], [2], [1, 2], [1, 2]]
    assert final_ids(frames, embeddings=None)[4] == [3, 2]


def test_whatever_comes_after_another_s_end_continues_it():
    """UnOVOST's rule has no threshold; ``max_distance`` and ``same_category`` are the ways out."""
    other = (15, 4.0, 2, 0.7)
    frames = [scene(0, A, B), scene(1, A, B), scene(2, B), scene(3, other, B), scene(4, other, B)]
    joined, apart = [[1, 2], [1, 2], [2], [1, 2], [1, 2]], [[1, 2], [1, 2], [2], [3, 2], [3, 2]]
    assert final_ids(frames) == joined
    assert final_ids(frames, max_distance=3.5) == joined
    assert final_ids(frames, max_distance=2.5) == apart
    assert final_ids(frames, same_category=True) == apart


def test_overlapping_detections_are_thinned_out():
    frames = [scene(t, (5, 1, 0, 0.6), (6, 1, 0, 0.9), B) for t in range(3)]
    assert final_ids(frames) == [[None, 1, 2]] * 3
    assert len({i for i in final_ids(frames, thinning_iou=None)[0]}) == 3


def test_the_letter_loses_what_begins_in_the_last_frame_and_keeps_twenty():
    frames = [scene(0, A), scene(1, A), scene(2, A, B)]
    assert final_ids(frames) == [[1], [1], [1, 2]]
    assert final_ids(frames, letter=True) == [[1], [1], [1, None]]
    assert linker(letter=True).flow_direction == 'forward_negated' and linker().flow_direction == 'backward'
    assert final_ids(frames, max_tracks=1) == [[1], [1], [1, None]]
    assert linker(letter=True).max_tracks == 20


def test_videos_without_detections_or_with_one_frame():
    assert final_ids([]) == [] and linker().finish() == {}
    assert final_ids([scene(0), scene(1)]) == [[], []]
    assert final_ids([scene(0, A, B)]) == [[1, 2]]
    assert final_ids([scene(0, A), scene(1), scene(2, A)]) == [[1], [], [1]]


def test_masks_of_a_head_are_tracked():
    """The detector's masks stand still far away; the head's move."""
    frames = [scene(t, A) for t in range(4)]
    for frame in frames:
        frame.codes['refinement_head'] = PerInstance(frame.rles)
        frame.rles = [encode_mask(np.zeros(SIZE, dtype=np.uint8))]
    own = linker(masks='refinement_head', embeddings=None)
    assert own.needs == ('image', 'refinement_head')
    assert [own.link(frame) for frame in frames] == [[1]] * 4
    assert final_ids(frames, embeddings=None) != [[1]] * 4


@pytest.mark.parametrize('keys', [dict(matching='first'), dict(flow_direction='forward')], ids=str)
def test_bad_keys(keys):
    with pytest.raises(ValueError, match=next(iter(keys))):
        linker(**keys)


def test_a_stream_has_the_final_ids_and_only_the_tracks_that_stay():
    """In a model: with the letter's number of tracks, those beyond it are no result."""
    model = build_model(merge_iou=None).eval()
    for most, expected in ((None, 3), (2, 2)):
        stream = model.start_video(
            linker=dict(
                type='TrackletMergeLinker',
                embeddings=None,
                thinning_iou=None,
                max_tracks=most,
                flow=dict(type='DISFlow', preset='ultrafast'),
            )
        )
        for t in range(3):
            frame = model.frame_encoder.from_detections(view_of(model), make_detections(3, seed=4), needs=())
            frame.image = torch.full((3, 64, 96), 60, dtype=torch.uint8)
            result = (stream.push(frame), stream.finish() if t == 2 else [])[0]
            assert result[0].provisional and len(result[0].ids) == 3
        results = stream.video_instances().to_results(1, [1, 2, 3])
        assert len({r['track_id'] for r in results}) == expected
        assert all(mask is not None for r in results for mask in r['segmentations'])


@pytest.mark.parametrize('rule', ['all', 'majority'])
def test_tracks_are_dropped_whole(rule):
    instances = VideoInstances(rule)
    for t in range(2):
        result = FrameResult(t)
        for track in (1, 2):
            result.add(track, 0, 0.5, dict(size=[2, 2], counts='04'))
            instances.add_scores(track, {0: 0.5})
        instances.add_frame(result)
    instances.rename({1: None})
    assert [r['track_id'] for r in instances.to_results(1, [7])] == [2]


@pytest.mark.xdist_group('memory')
def test_memory_does_not_grow_with_the_masks():
    """A hundred more frames cost what tracklets cost, not what their masks do."""
    rng = np.random.default_rng(0)
    noise = [encode_mask((rng.random((200, 300)) < 0.5).astype(np.uint8)) for _ in range(4)]
    assert len(noise[0]['counts']) > 20_000, 'the masks are big'
    own = linker(thinning_iou=None)

    def run(start: int, frames: int) -> None:
        for t in range(start, start + frames):
            frame = scene(t % 2, A, B)
            frame.rles = [dict(noise[(t + k) % 4]) for k in range(2)]
            frame.rles = [mask_utils.merge([rle]) for rle in frame.rles]  # bytes of its own
            frame.size = (200, 300)
            frame.map_size = (200, 300)
            own.link(frame)

    run(0, 20)
    tracemalloc.start()
    run(20, 10)
    gc.collect()  # or what it has not collected yet counts, as of other threads
    before = tracemalloc.get_traced_memory()[0]
    run(30, 60)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 100_000, f'{grown} bytes, and 60 frames have {60 * 2 * len(noise[0]["counts"])} bytes of masks'
