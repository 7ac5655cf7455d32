"""MaskTrack R-CNN's tracking: hand-made videos, mmdet's tracker with mmdet's keys, and the stream around it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mmengine.structures import InstanceData

import maskprop

maskprop.register_all()

from mmdet.models.trackers import MaskTrackRCNNTracker  # noqa: E402
from mmdet.models.tracking_heads import RoIEmbedHead  # noqa: E402
from mmdet.structures import DetDataSample  # noqa: E402

from maskprop.methods.masktrack_rcnn import MaskTrackLinker  # noqa: E402
from maskprop.structures import Frame, PerInstance  # noqa: E402
from tests.models.builders import (  # noqa: E402
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
from tests.tracking.test_video_stream import META, frames_of, run  # noqa: E402

MMDET = dict(normalize=False, legacy_iou=False, losers='duplicate', update_labels=True)
BASE = dict(track_head=TRACK, linker=dict(type='MaskTrackLinker'), score_rule='majority', merge_iou=None)


def frame_of(*detections: tuple[list[float], int, float, float]) -> Frame:
    """Of (embedding, label, score, left edge) per detection; all boxes are 20 pixels wide."""
    embeds, labels, scores, lefts = zip(*detections, strict=True) if detections else ((), (), (), ())
    boxes = torch.tensor([[x, 0.0, x + 20, 20] for x in lefts]).view(-1, 4)
    return as_frame(torch.tensor(embeds).view(-1, 2), boxes, labels, scores)


def as_frame(embeds: torch.Tensor, boxes: torch.Tensor, labels, scores) -> Frame:
    return Frame(
        masks=torch.zeros(len(boxes), 1, 1),
        boxes=boxes,
        class_scores=[{int(label): float(score)} for label, score in zip(labels, scores, strict=True)],
        rles=[{}] * len(boxes),
        size=(HEIGHT, WIDTH),
        map_size=(HEIGHT, WIDTH),
        codes=dict(track_head=PerInstance(embeds)),
    )


CAR, DOG = [1.0, 0.0], [0.0, 1.0]


def link(*frames, **keys):
    linker = MaskTrackLinker(**keys)
    return [linker.link(frame) for frame in frames]


def test_appearance_place_and_label_decide():
    first = frame_of((CAR, 0, 0.9, 0), (DOG, 1, 0.8, 50))
    assert link(first, frame_of((DOG, 1, 0.9, 50), (CAR, 0, 0.8, 2))) == [[1, 2], [2, 1]]
    # the same label, far away, and like neither: cos 0 and IoU 0 give the new object as much as the known one
    assert link(first, frame_of(([3.0, 1.0], 0, 0.9, 90), (CAR, 2, 0.9, 0))) == [[1, 2], [1, 3]]
    # without the label term the overlap decides
    assert link(first, frame_of((CAR, 2, 0.9, 0)), label_weight=0) == [[1, 2], [1]]


def test_two_detections_of_one_object():
    """The later one is better: it takes the object from the earlier one. The last is worse than both."""
    first = frame_of((CAR, 0, 0.9, 0))
    second = frame_of((CAR, 0, 0.5, 4), (DOG, 1, 0.5, 60), (CAR, 0, 0.9, 1), (CAR, 0, 0.3, 5))
    third = frame_of((CAR, 0, 0.9, 1), (DOG, 1, 0.9, 60))
    assert link(first, second, third) == [[1], [None, 2, 1, None], [1, 2]]
    assert link(first, second, third, losers='duplicate') == [[1], [1, 2, 1, None], [1, 2]]
    assert link(first, second, third, losers='new')[1] == [2, 3, 1, 4]


def test_memory_is_of_the_whole_video_unless_it_has_an_age():
    first, empty = frame_of((CAR, 0, 0.9, 0)), frame_of()
    other = frame_of((DOG, 1, 0.9, 80))
    assert link(first, *[empty] * 50, first)[-1] == [1]
    assert link(first, *[other] * 50, first)[-1] == [1]
    assert link(first, other, other, first, max_age=3)[-1] == [1]
    assert link(first, other, other, other, first, max_age=3)[-1] == [3]
    assert link(first, *[other] * 3, first, other, max_age=3)[-2:] == [[3], [2]]


def test_memory_keeps_latest_box_and_embedding_and_the_first_label():
    moved = frame_of((CAR, 1, 0.9, 5))  # another label
    back, again = frame_of((CAR, 0, 0.9, 5)), frame_of((CAR, 1, 0.9, 5))
    frames = frame_of((CAR, 0, 0.9, 0)), moved, back, again
    assert link(*frames, label_weight=0.1) == [[1]] * 4
    linker = MaskTrackLinker(label_weight=0.1)
    for frame in frames[:2]:
        linker.link(frame)
    assert linker._memory['labels'].tolist() == [0]
    assert linker._memory['boxes'].tolist() == [[5, 0, 25, 20]]
    linker = MaskTrackLinker(label_weight=0.1, update_labels=True)
    for frame in frames[:2]:
        linker.link(frame)
    assert linker._memory['labels'].tolist() == [1]


def test_bad_key_says_what_to_do():
    with pytest.raises(ValueError, match='duplicate'):
        MaskTrackLinker(losers='keep')


@pytest.mark.parametrize('seed', range(5))
def test_mmdet_keys_give_mmdets_tracker(seed):
    """Random videos with collisions, empty frames, objects that come back and labels that change."""
    torch.manual_seed(seed)
    embed_head = RoIEmbedHead(num_fcs=0, roi_feat_size=1, in_channels=6)  # RoI features are the embeddings
    tracker = MaskTrackRCNNTracker(num_frames_retain=3)
    linker = MaskTrackLinker(**MMDET, max_age=3)
    lost = 0
    for t in range(40):
        count = int(torch.randint(0, 7, ()))
        embeds, corner = torch.randn(count, 6), torch.randint(0, 40, (count, 2)).float()
        boxes = torch.cat([corner, corner + 30], 1)
        labels, scores = torch.randint(0, 3, (count,)), torch.rand(count)
        sample = DetDataSample(metainfo=dict(frame_id=t))
        masks = torch.zeros(count, 1, 1)
        sample.pred_instances = InstanceData(
            bboxes=boxes, labels=labels, scores=scores, masks=torch.arange(count)[:, None, None] + masks
        )
        track_head = SimpleNamespace(
            extract_roi_feats=lambda feats, boxes, e=embeds: (e[:, :, None, None], [len(e)]),
            predict=lambda x, ref: embed_head.predict(x, ref)[0],
        )
        found = tracker.track(SimpleNamespace(track_head=track_head), None, sample, rescale=False)
        ids = linker.link(as_frame(embeds, boxes, labels, scores))
        rows = [row for row, track_id in enumerate(ids) if track_id is not None]
        lost += count - len(rows)
        assert found.masks.flatten().int().tolist() == rows
        if rows:
            assert (found.instances_id + 1).tolist() == [ids[row] for row in rows]
    assert lost > 0, 'no two detections wanted one object'


# -- in a stream


def tracked(**kwargs):
    model = build_model(propagation_head=None, **{**BASE, **kwargs}).eval()
    torch.manual_seed(4)
    for fc in model.track_head.embed_head.fcs:
        torch.nn.init.normal_(fc.weight, std=0.1)  # so that embeddings differ
    return model


def test_frames_are_final_at_once_and_losers_are_left_out():
    model = tracked()
    same = make_detections(1)
    twice = same._replace(
        boxes=same.boxes.repeat(2, 1),
        scores=torch.tensor([0.9, 0.8]),
        labels=same.labels.repeat(2),
        roi_masks=torch.ones(2, 28, 28),
    )
    frames = [known_frame(model, d) for d in (same, twice)]
    results, videos = run(model, frames)
    assert [r.ids for r in results] == [[1], [1]]
    assert results[1].scores == pytest.approx([0.9])
    assert len(videos) == 1
    stream = model.start_video()
    assert [[r.frame_index for r in stream.push(frame)] for frame in frames] == [[0], [1]]


@pytest.mark.parametrize('fill', [False, True])
def test_whole_video_frames_and_chunks_are_equal(fill):
    model = tracked(attention_head=ATTENTION, history_fill=dict(threshold=0.1) if fill else None)
    model.detector.roi_head.test_cfg.score_thr = 0.0  # random weights: something to track
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(1, 6, 3, HEIGHT, WIDTH, generator=generator)
    sample = make_batch(([1], [1]))[1][0]
    sample.video_data_samples = [sample.video_data_samples[0]] * 6
    with torch.no_grad():
        whole = model.predict(images, [sample])[0].to_results(1, list(range(CLASSES)))
    assert len(whole) > 0
    for chunk in (1, 4):
        stream = model.start_video()
        for start in range(0, 6, chunk):
            part = images[0, start : start + chunk]
            stream.step_chunk(part, [META] * len(part))
        stream.finish()
        assert stream.video_instances().to_results(1, list(range(CLASSES))) == whole


def test_filling_off_is_mask_track_rcnn_exactly():
    """And filling on leaves everything that was detected as it was."""
    counts = [3, 1, 0, 2, 3, 0]
    plain = tracked()
    filling = tracked(attention_head=ATTENTION, history_fill=dict(threshold=0.1))
    shared = plain.state_dict()
    filling.load_state_dict(shared, strict=False)
    expected, expected_videos = run(plain, frames_of(plain, counts))
    off, off_videos = run(filling, frames_of(filling, counts), history_fill=None)
    assert off == expected
    assert off_videos == expected_videos
    on, _ = run(filling, frames_of(filling, counts))
    assert sum(sum(r.filled) for r in on) > 0
    for with_fills, without in zip(on, expected, strict=True):
        kept = [row for row, filled in enumerate(with_fills.filled) if not filled]
        for name in ('ids', 'labels', 'scores', 'masks'):
            assert [getattr(with_fills, name)[row] for row in kept] == getattr(without, name)


def test_the_three_methods_run_on_the_same_frames():
    """What the study does: frames are encoded once, and each row starts its own stream."""
    model = build_model(**BASE, attention_head=ATTENTION).eval()
    frames = frames_of(model, [2, 3, 0, 2])
    masktrack = run(model, frames)[0]
    filled = run(model, frames, history_fill=dict(threshold=0.1))[0]
    maskprop = run(model, frames, linker=dict(type='ClipLinker'), fill=True, score_rule='with_category')[0]
    assert run(model, frames)[0] == masktrack, 'a stream has left something behind'
    for results in (masktrack, filled, maskprop):
        assert [r.frame_index for r in results] == [0, 1, 2, 3]


def test_impossible_combinations_say_why():
    with pytest.raises(ValueError, match='track_head'):
        build_model(linker=dict(type='MaskTrackLinker')).start_video()
    model = tracked()
    with pytest.raises(ValueError, match='attention_head'):
        model.start_video(history_fill=dict())
    # when the model is built, not at the first validation of a training
    with pytest.raises(ValueError, match='attention_head'):
        build_model(history_fill=dict())
    with pytest.raises(ValueError, match='max_age=0'):
        build_model(**BASE, attention_head=ATTENTION, history_fill=dict(max_age=0))
    model = build_model(**BASE, attention_head=ATTENTION, history_fill=dict())
    with pytest.raises(ValueError, match='history_fill=None'):
        model.start_video(linker=dict(type='ClipLinker'))
