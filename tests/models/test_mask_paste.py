"""How a detection's mask gets into the image is the model's key ``mask_paste``."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from maskprop.methods.masktrack_rcnn.legacy_paste import paste_legacy_masks
from maskprop.ops import later_masks, masks
from maskprop.ops.masks import paste_binary_masks, paste_soft_masks
from tests.models.builders import HEIGHT, WIDTH, build_model, known_frame, make_detections, view_of


def mmdet_paste(roi_masks, boxes, skip_empty):
    from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask

    return _do_paste_mask(roi_masks, boxes, HEIGHT, WIDTH, skip_empty)


@pytest.mark.parametrize('name, paste', [('exact', paste_binary_masks), ('legacy', paste_legacy_masks)])
def test_masks_are_pasted_as_the_key_says(name, paste):
    model = build_model(mask_paste=name, merge_iou=None).eval()
    detections = make_detections(3)
    detections = detections._replace(boxes=detections.boxes + 0.4)
    frame = known_frame(model, detections)
    assert frame.rles == paste(detections.roi_masks, detections.boxes, HEIGHT, WIDTH)
    other = paste_legacy_masks if paste is paste_binary_masks else paste_binary_masks
    assert frame.rles != other(detections.roi_masks, detections.boxes, HEIGHT, WIDTH)


@pytest.mark.parametrize('name, paste', [('exact', paste_binary_masks), ('legacy', paste_legacy_masks)])
def test_the_threshold_is_the_detector_s(name, paste):
    model = build_model(mask_paste=name, merge_iou=None, mask_threshold=0.8).eval()
    detections = make_detections(3)
    frame = known_frame(model, detections)
    assert frame.rles == paste(detections.roi_masks, detections.boxes, HEIGHT, WIDTH, 0.8)
    assert frame.rles != paste(detections.roi_masks, detections.boxes, HEIGHT, WIDTH)
    with pytest.raises(ValueError, match='mask_thr_binary=-1: expected a probability'):
        build_model(mask_threshold=-1)


def test_unknown_paste_is_refused():
    with pytest.raises(ValueError, match="mask_paste='round' is unknown; choose one of"):
        build_model(mask_paste='round')


@pytest.mark.parametrize('threshold', [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize('soft', [True, False])
def test_masks_are_pasted_as_mmdet_does(threshold, soft):
    """Boxes inside the image, across its sides, around it and without area; masks whose samples are ties."""
    boxes = [[8.2, 6.1, 85.7, 56.9], [-9.5, -3, 20, 70.2], [60, 40, 99.5, 80], [95, 63, 96, 90], [30, 9, 30, 9]]
    boxes += [[-20, -20, 120, 90], [10, -5, 30, 70], [0, 0, WIDTH, HEIGHT]]
    roi_masks = torch.rand(len(boxes), 14, 14, generator=torch.Generator().manual_seed(0))
    roi_masks = roi_masks if soft else roi_masks.round()
    roi_masks[0] = 1  # half a cell beyond its box there is .5 left
    expected = []
    for mask, box in zip(roi_masks[:, None, None], torch.tensor(boxes), strict=True):
        box[2:] = torch.maximum(box[2:], box[:2] + masks.MIN_BOX_SIDE)
        whole = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
        pasted, place = mmdet_paste(mask, box[None], skip_empty=True)
        whole[place] = pasted[0] >= threshold
        expected.append(masks.encode_mask(whole.numpy()))
    assert paste_binary_masks(roi_masks, torch.tensor(boxes), HEIGHT, WIDTH, threshold) == expected


def test_soft_masks_are_pasted_as_mmdet_does():
    boxes = torch.tensor([[8.2, 6.1, 85.7, 56.9], [-9.5, -3, 20, 70.2], [95, 63, 96, 90], [30, 9, 31, 10]])
    roi_masks = torch.rand(len(boxes), 14, 14, generator=torch.Generator().manual_seed(0))
    expected = mmdet_paste(roi_masks[:, None], boxes, skip_empty=False)[0]
    assert torch.equal(paste_soft_masks(roi_masks, boxes, HEIGHT, WIDTH), expected)
    for kind in (torch.float32, torch.float16, torch.bfloat16):
        line = torch.tensor([[30, 9, 30, 20]], dtype=kind)  # without area: nothing, and no nan
        assert not paste_soft_masks(roi_masks[:1].to(kind), line, HEIGHT, WIDTH).any()


def test_masks_made_in_a_thread_are_the_same(monkeypatch):
    """They are a sequence before they are made; what goes wrong in making them is raised where they are read."""
    model = build_model(merge_iou=None).eval()
    view, found = view_of(model), [make_detections(3), make_detections(2, seed=1)]
    expected = [known_frame(model, detections).rles for detections in found]
    begin = threading.Event()

    def slow(*args):
        begin.wait(10)
        return paste_binary_masks(*args)

    def frames():
        feats = tuple(torch.cat([level, level]) for level in view.feats)
        return model.frame_encoder.from_batch([view, view], feats, found)

    monkeypatch.setattr(later_masks, 'gains_by_a_thread', lambda masks: True)
    monkeypatch.setattr(model, 'paste_masks', slow)
    first, second = (frame.rles for frame in frames())
    assert (len(first), len(second), len(first[1:])) == (3, 2, 2)  # nobody waits for them here
    begin.set()
    assert [list(first), list(second)] == expected
    assert list(first[1:]) == expected[0][1:] and second[-1] == expected[1][-1]
    monkeypatch.setattr(model, 'paste_masks', lambda *_: 1 / 0)
    first, _ = (frame.rles for frame in frames())
    with pytest.raises(ZeroDivisionError):
        first[0]


def test_nothing_to_paste():
    assert paste_binary_masks(torch.zeros(0, 1, 1), torch.zeros(0, 4), HEIGHT, WIDTH) == []
    far = torch.tensor([[500.0, 10, 600, 20], [10, -300, 20, -200]])
    found = paste_binary_masks(torch.ones(2, 7, 7), far, HEIGHT, WIDTH)
    assert found == [masks.encode_mask(np.zeros((HEIGHT, WIDTH)))] * 2
