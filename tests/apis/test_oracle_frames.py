"""A frame as each row of the oracle study has it: boxes taken, masks predicted anew, objects added and removed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pycocotools import mask as mask_utils

from maskprop.apis import oracle
from maskprop.apis.oracle import oracle_frames
from maskprop.apis.views import load_views
from maskprop.models.frame_detector import TwoStageFrameDetector
from maskprop.structures import Detections
from tests.apis.oracle_set import make, rectangle, write_oracle_set
from tests.models.builders import HEIGHT, WIDTH, build_model, view_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    return write_oracle_set(tmp_path_factory.mktemp('oracle_set'))


@pytest.fixture(scope='module')
def setting(root):
    return make(root)


def truth_of(box: tuple[int, int, int, int], label: int = 0, number: int = 1) -> dict:
    """An annotation of one frame; box as (x1, y1, x2, y2) in pixels of the video."""
    x1, y1, x2, y2 = box
    return dict(
        bbox=list(box), bbox_label=label, mask=rectangle(y1, x1, y2, x2), instance_id=number, ignore_flag=0
    )


def first_view(model, dataset):
    return next(load_views(model, dataset, 0, [0]))[1]


def frames_of(setting, monkeypatch, found: list[tuple], truth: list[dict], threshold=0.5, **attributes) -> dict:
    """Each row's frame for given detections (box in pixels of the video, score, label).

    The mask head paints its whole box, so that masks tell where they were predicted.
    """
    model, dataset = setting
    view = first_view(model, dataset)
    scale = torch.tensor(view.meta['scale_factor'] * 2)  # width and height differ
    boxes = torch.tensor([box for box, _, _ in found]).reshape(-1, 4).float() * scale
    detections = Detections(
        boxes,
        torch.tensor([s for _, s, _ in found]).float(),
        torch.tensor([label for *_, label in found], dtype=torch.long),
        torch.ones(len(found), 28, 28),
    )
    logits = model.detector.roi_head.mask_head.conv_logits
    monkeypatch.setattr(logits.weight, 'data', torch.zeros_like(logits.weight))
    monkeypatch.setattr(logits.bias, 'data', torch.full_like(logits.bias, 9.0))
    monkeypatch.setattr(TwoStageFrameDetector, 'detect', lambda *_: [detections])
    for name, value in attributes.items():
        monkeypatch.setattr(model, name, value)
    return oracle_frames(model, view, truth, threshold)


def content(frame) -> list[tuple]:
    """(box, class scores, box of the mask) of each instance."""
    masks = [mask_utils.toBbox(rle).tolist() for rle in frame.rles]
    painted = [(round(x), round(y), round(x + w), round(y + h)) for x, y, w, h in masks]
    boxes = [tuple(round(v, 3) for v in box) for box in frame.boxes.tolist()]
    scores = [{label: round(s, 3) for label, s in row.items()} for row in frame.class_scores]
    return list(zip(boxes, scores, painted, strict=True))


def test_box_row_takes_the_closest_true_box(setting, monkeypatch):
    """The first overlaps A by .8 and B by less, the second A by .4 only."""
    a, b = (10, 10, 30, 30), (10, 20, 30, 40)
    found = [((10, 14, 30, 30), 0.9, 2), ((10, 10, 30, 18), 0.6, 1)]
    frames = frames_of(setting, monkeypatch, found, [truth_of(b), truth_of(a)])
    assert content(frames['model']) == [
        ((10, 14, 30, 30), {2: 0.9}, (10, 14, 30, 30)),
        ((10, 10, 30, 18), {1: 0.6}, (10, 10, 30, 18)),
    ]
    assert content(frames['box']) == [(a, {2: 0.9}, a), ((10, 10, 30, 18), {1: 0.6}, (10, 10, 30, 18))]
    frames = frames_of(setting, monkeypatch, found, [truth_of(b), truth_of(a)], threshold=0.39, merge_iou=None)
    assert content(frames['box']) == [(a, {2: 0.9}, a), (a, {1: 0.6}, a)]


def test_masks_are_predicted_anew_at_the_new_boxes(setting, monkeypatch):
    model, dataset = setting
    view = first_view(model, dataset)
    feats, scale = view.feats, torch.tensor(view.meta['scale_factor'] * 2)
    old, new, label = torch.tensor([[10.0, 14, 30, 30]]), torch.tensor([[10.0, 10, 30, 30]]), torch.tensor([2])
    at_old, at_new = (model.frame_detector.masks_at(feats, [b * scale], [label])[0] for b in (old, new))
    assert (at_old - at_new).abs().max() > 1e-3
    found = Detections(old * scale, torch.tensor([0.9]), label, at_old)
    monkeypatch.setattr(TwoStageFrameDetector, 'detect', lambda *_: [found])
    frame = oracle_frames(model, view, [truth_of((10, 10, 30, 30))])['box']
    expected = model.frame_encoder.from_detections(view, found._replace(boxes=new * scale, roi_masks=at_new))
    torch.testing.assert_close(frame.masks, expected.masks, atol=1e-5, rtol=0)


def test_box_threshold_is_reached_at_equality_and_ties_go_to_the_first():
    true = torch.tensor([[0.0, 0, 10, 5], [0, 5, 10, 10], [40, 40, 50, 50]])
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10.5]])
    taken, targets = oracle.take_boxes(boxes, true, 0.5)
    assert targets.tolist() == [0, -1] and torch.equal(taken, torch.stack([true[0], boxes[1]]))
    for some, none in ((boxes, true[:0]), (boxes[:0], true)):
        taken, targets = oracle.take_boxes(some, none)
        assert torch.equal(taken, some) and targets.tolist() == [-1] * len(some)


def test_class_row_has_missed_objects_and_no_false_positives(setting, monkeypatch):
    a, missed = (10, 10, 30, 30), (40, 5, 60, 25)
    found = [((11, 10, 30, 30), 0.9, 2), ((2, 30, 9, 48), 0.8, 1)]
    frames = frames_of(setting, monkeypatch, found, [truth_of(missed, 1), truth_of(a, 0)])
    assert content(frames['class']) == [(missed, {1: 1.0}, missed), (a, {0: 1.0}, a)]
    assert len(frames['box']) == 2
    for truth in ([], [truth_of(a)]):
        for detections in ([], found):
            frames = frames_of(setting, monkeypatch, detections, truth)
            assert [len(frames[name]) for name in ('class', 'mask', 'track')] == [len(truth)] * 3
            assert len(frames['box']) == len(frames['model']) == len(detections)


def test_true_boxes_that_overlap_stay_two_instances(setting, monkeypatch):
    """As detections, these two would be one. Detections of the same object are merged as the model does it."""
    a, b = (10, 10, 30, 30), (10, 10, 30, 29)
    found = [(a, 0.9, 0), (b, 0.8, 0), ((10, 10, 30, 24), 0.7, 1)]
    for merge_iou, box_row in (
        (0.7, [(a, {0: 0.9}, a), (b, {0: 0.8, 1: 0.7}, b)]),
        (None, [(a, {0: 0.9}, a), (b, {0: 0.8}, b), (b, {1: 0.7}, b)]),
    ):
        frames = frames_of(setting, monkeypatch, found, [truth_of(a), truth_of(b, 0, 2)], merge_iou=merge_iou)
        assert content(frames['box']) == box_row
        assert [row[:1] for row in content(frames['class'])] == [(a,), (b,)]
        assert setting[0].merge_iou == merge_iou
    frames = frames_of(setting, monkeypatch, found, [truth_of(a), truth_of(a, 1, 2)], merge_iou=0.7)
    assert [row[1] for row in content(frames['class'])] == [{0: 1.0}, {1: 1.0}]


def test_rows_share_a_frames_code(setting, monkeypatch):
    frames = frames_of(setting, monkeypatch, [((1, 1, 9, 9), 0.9, 0)], [truth_of((10, 10, 30, 30))])
    assert len({id(frame.codes['propagation_head']) for frame in frames.values()}) == 1


@pytest.mark.parametrize('detector', ['mask_rcnn', 'htc'])
def test_true_boxes_that_are_the_detections_give_their_masks(detector):
    """Then nothing is replaced but the scores, so every mask and map is the model's own."""
    model = build_model(detector, merge_iou=None).eval()
    model.detector.roi_head.test_cfg.update(score_thr=0.0, max_per_img=3)
    view = view_of(model, torch.randn(1, 3, HEIGHT, WIDTH))
    found = model.encode(view)
    assert len(found) == 3
    truth = [
        dict(bbox=box, bbox_label=next(iter(scores)), mask=rle, instance_id=0, ignore_flag=0)
        for box, scores, rle in zip(found.boxes.tolist(), found.class_scores, found.rles, strict=True)
    ]
    frames = oracle_frames(model, view, truth)
    for name in ('model', 'box', 'class'):
        torch.testing.assert_close(frames[name].masks, found.masks, atol=1e-5, rtol=0)
        for ours, theirs in zip(frames[name].rles, found.rles, strict=True):
            assert ours == theirs or mask_utils.iou([ours], [theirs], [0]) > 0.99  # both may be empty
    assert frames['box'].class_scores == found.class_scores
    assert frames['class'].class_scores == [{label: 1.0} for scores in found.class_scores for label in scores]


@pytest.mark.parametrize('name', ['filling', 'detector_alone', 'history'])
def test_ground_truth_frames_have_what_the_heads_need(root, name):
    model, dataset = make(root, name)
    view = first_view(model, dataset)
    instances = dataset.get_data_info(0)['images'][0]['instances']
    frame = model.encode(view, instances=instances)
    stride = 4 if name == 'filling' else 8  # of the head, or the default
    assert frame.masks.shape == (len(instances), view.shape[0] // stride, view.shape[1] // stride)
    for row, rle in enumerate(frame.paste(frame.masks)):
        assert mask_utils.iou([rle], [instances[row]['mask']], [0]) > 0.5
    heads = dict(filling={'propagation_head'}, history={'track_head', 'attention_head'})
    assert frame.codes.keys() == heads.get(name, set())
    if name == 'history':
        width, height = view.meta['scale_factor']
        boxes = torch.tensor([i['bbox'] for i in instances]) * torch.tensor([width, height, width, height])
        head = model.track_head
        with torch.no_grad():
            embeds = head.embed_head.extract_feat(*head.extract_roi_feats(view.feats, [boxes]))[0]
            code = model.attention_head.encode_features(view.feats)[0]
        assert torch.equal(frame.codes['track_head'].values, embeds)
        assert torch.equal(frame.codes['attention_head'], code)


def test_rows_have_the_fields_that_are_asked_for(setting, monkeypatch):
    """Embeddings and refined masks are each row's own, codes and image the frame's."""
    model, dataset = setting
    view, truth = first_view(model, dataset), [truth_of((10, 10, 30, 30))]
    encode, calls = model.propagation_head.encode, []
    monkeypatch.setattr(model.propagation_head, 'encode', lambda *args: calls.append(1) or encode(*args))
    name = 'propagation_head'
    frames = oracle_frames(model, view, truth, needs={name, 'image'})
    assert len(calls) == 1
    assert all(frame.codes[name] is frames['track'].codes[name] for frame in frames.values())
    assert all(frame.image is frames['track'].image is not None for frame in frames.values())
    bare = oracle_frames(model, view, truth, needs=())
    assert all(frame.image is None and not frame.codes for frame in bare.values())


def test_detections_of_a_file_are_refused(setting, monkeypatch):
    model, dataset = setting
    monkeypatch.setattr(model, '_detections', object())
    with pytest.raises(ValueError, match='model.detections reads a file'):
        oracle.oracle_results(model, dataset)
