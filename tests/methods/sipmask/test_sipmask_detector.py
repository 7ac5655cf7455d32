"""SipMask as a frame detector: masks in the video's pixels, and the model around it."""

from __future__ import annotations

import pycocotools.mask as mask_utils
import pytest
import torch
import torch.nn.functional as F

from maskprop.engine.config import ConfigError
from maskprop.methods.sipmask import EndBoxesAtLastPixel
from maskprop.methods.sipmask.mask_assembly import assemble_masks
from maskprop.methods.sipmask.sipmask_detector import AssembledMasks
from maskprop.structures import FrameDetector
from tests.methods.sipmask.sipmask_model import build_sipmask
from tests.models.builders import HEIGHT, WIDTH, make_batch, view_of


def sampled(values, place: float) -> float:
    """Linear interpolation at a place, in cells, clamped to the ends."""
    place = min(max(place, 0.0), len(values) - 1.0)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return float(values[low] + (place - low) * (values[high] - values[low]))


@pytest.mark.parametrize('scale', [0.75, 0.5, 1.3])
def test_masks_are_resized_by_the_ratio_of_sizes(scale):
    """One row of 12 cells: floor(24 / scale) pixels."""
    values = torch.rand(12, generator=torch.Generator().manual_seed(0))
    found = AssembledMasks.resize(values.view(1, 1, 12), (scale, 2.0))
    width = int(24 / scale)
    assert found.shape == (1, 1, width)
    expected = [sampled(values, (x + 0.5) * 12 / width - 0.5) for x in range(width)]
    torch.testing.assert_close(found[0, 0], torch.tensor(expected))


def test_masks_are_cut_or_filled_to_the_video():
    """2x3 cells are 4x6 pixels: the video has two rows less and two columns more."""
    masks = AssembledMasks(torch.ones(2, 2, 3) * torch.tensor([1.0, 0.5])[:, None, None], 0.5)
    decoded = mask_utils.decode(masks.in_video(dict(ori_shape=(2, 8), scale_factor=(1.0, 1.0))))
    assert decoded[..., 0].tolist() == [[1] * 6 + [0] * 2] * 2
    assert not decoded[..., 1].any(), 'at the threshold itself a pixel is background'


def test_masks_on_maps_and_chosen_ones():
    masks = AssembledMasks(torch.rand(3, 8, 12), 0.5)
    torch.testing.assert_close(masks.on_map(2, 3), F.avg_pool2d(masks.probabilities, 4))
    chosen = masks.select(torch.tensor([2, 0]))
    assert torch.equal(chosen.probabilities, masks.probabilities[[2, 0]]) and chosen.threshold == 0.5
    none = masks.select(torch.zeros(0, dtype=torch.long))
    assert (
        none.on_map(2, 3).shape == (0, 2, 3) and none.in_video(dict(ori_shape=(4, 4), scale_factor=(1, 1))) == []
    )


def test_detections_have_the_masks_of_their_boxes():
    torch.manual_seed(0)
    model = build_sipmask().eval()
    detector = model.detector
    assert isinstance(detector, FrameDetector) and model.frame_detector is detector
    torch.nn.init.normal_(detector.bbox_head.conv_cls.weight, std=0.3)
    torch.nn.init.normal_(detector.bbox_head.conv_reg.weight, std=0.3)
    view = view_of(model, torch.randn(1, 3, HEIGHT, WIDTH))
    with torch.no_grad():
        outputs = detector.bbox_head(view.feats)
        (own,) = detector.bbox_head.predict_by_feat(detector.bbox_head.flatten(*outputs), [view.meta])
        (found,) = detector.detect(view.feats, [view.meta])
        frame = model.encode(view, needs={'track_head'})
    assert len(own.boxes) == 10
    assert torch.equal(found.boxes, own.boxes) and torch.equal(found.scores, own.scores)
    expected = assemble_masks(own.coefficients, outputs[-1][0], own.boxes / 2)
    torch.testing.assert_close(found.frame_masks.probabilities, expected)
    assert len(frame) == 10 and frame.codes['track_head'].values.shape == (10, 64)
    decoded = torch.from_numpy(mask_utils.decode(frame.rles))
    torch.testing.assert_close(decoded.permute(2, 0, 1).bool(), AssembledMasks.resize(expected, (1, 1)) > 0.5)


def test_proposals_are_the_boxes_of_all_points():
    model = build_sipmask().eval()
    _, samples = make_batch(([1, 2], [2]))
    feats = view_of(model, torch.randn(1, 3, HEIGHT, WIDTH)).feats
    _, proposals = model.detector.loss(feats, samples[0].video_data_samples[:1])
    torch.testing.assert_close(model.detector.propose(feats, [{}]), proposals)


def test_what_it_cannot_do_is_said():
    model = build_sipmask()
    with pytest.raises(ConfigError, match='no masks at given boxes'):
        model.detector.masks_at((), [], [])
    with pytest.raises(ConfigError, match='mask_thr_binary=-1'):
        build_sipmask(detector=dict(test_cfg=dict(mask_thr_binary=-1)))


def test_boxes_end_at_their_last_pixel():
    boxes = torch.tensor([[0.0, 0, 10, 20]])
    results = dict(gt_bboxes=boxes.clone(), scale_factor=(0.5, 2.0))
    assert EndBoxesAtLastPixel()(results)['gt_bboxes'].tolist() == [[0, 0, 9.5, 18]]
