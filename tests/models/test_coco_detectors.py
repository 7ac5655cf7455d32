"""configs/coco: mmdet's published detectors find here what they find in mmdet."""

from __future__ import annotations

import copy
from functools import cache

import pycocotools.mask as mask_utils
import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config

from maskprop.engine.config import ConfigError
from maskprop.engine.num_classes import fit_num_classes
from maskprop.models.one_stage_detector import LogitMaps
from tests.models.builders import CLASSES, HEIGHT, MODELS, WIDTH, make_batch, view_of

# the config here, and mmdet's, whose test settings are ours but for the thresholds
PAIRS = {
    'mask_rcnn_r50': 'mask_rcnn/mask-rcnn_r50_fpn_ms-poly-3x_coco',
    'htc_r50': 'htc/htc_r50_fpn_20e_coco',
    'htc_x101': 'htc/htc_x101-64x4d_fpn_16xb1-20e_coco',
    **{f'rtmdet_ins_{size}': f'rtmdet/rtmdet-ins_{size}_8xb32-300e_coco' for size in ('tiny', 's', 'm', 'l')},
}
# a video of 133 x 90 in the network's 96 x 65, padded to 96 x 96
META = dict(img_shape=(65, 96), ori_shape=(90, 133), scale_factor=(96 / 133, 65 / 90), batch_input_shape=(96, 96))


def low_threshold(cfg: Config, boxes: int) -> None:
    settings = cfg.test_cfg.get('rcnn', cfg.test_cfg)
    settings.update(score_thr=0.005, max_per_img=boxes)  # random weights are never sure
    if 'rpn' in cfg.test_cfg:
        cfg.test_cfg.rpn.update(nms_pre=50, max_per_img=50)


@pytest.mark.slow
@pytest.mark.parametrize('name', PAIRS)
def test_weights_have_mmdet_s_names_and_shapes(name):
    theirs = get_config(f'mmdet::{PAIRS[name]}.py').model
    theirs.pop('data_preprocessor')
    with torch.device('meta'):
        model, theirs = MODELS.build(Config.fromfile(f'configs/coco/{name}_coco.py').model), MODELS.build(theirs)
    ours, theirs = model.state_dict(), theirs.state_dict()
    assert {key: v.shape for key, v in ours.items()} == {f'detector.{key}': v.shape for key, v in theirs.items()}


def draw_diamonds(head: torch.nn.Module) -> None:
    """Make every mask a diamond around its point, dented by the prototypes; random kernels give all or nothing."""
    first, second, last = torch.zeros(8, 10), torch.eye(8), torch.full((8,), -1.0)
    first[:4, :2] = torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]])  # |x| and |y| by rectification
    first[4:, 2:] = torch.randn(4, 8)
    kernel = torch.cat([first.flatten(), second.flatten(), last, torch.zeros(16), torch.tensor([0.6])])
    for conv in head.rtm_kernel:
        conv.bias.data.copy_(kernel)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['mask_rcnn_r50', 'rtmdet_ins_tiny'])  # HTC: tests/models/test_video_mask_rcnn.py
def test_detections_equal_mmdet(name):
    model = Config.fromfile(f'configs/coco/{name}_coco.py').model
    theirs = get_config(f'mmdet::{PAIRS[name]}.py').model
    low_threshold(model.detector, 12)
    low_threshold(theirs, 12)
    torch.manual_seed(0)
    model = MODELS.build(model).eval()
    with torch.device('meta'):
        theirs = MODELS.build(theirs).eval()
    for layer, parameter in model.named_parameters():  # else random weights are unsure everywhere
        if layer.endswith(('conv_logits.weight', 'rtm_cls.0.weight', 'fc_cls.weight')):
            torch.nn.init.normal_(parameter, std=0.3)
    if 'rtmdet' in name:
        draw_diamonds(model.detector.bbox_head)
    theirs.load_state_dict(model.detector.state_dict(), strict=False, assign=True)
    image = torch.randn(1, 3, 96, 96)
    sample = make_batch(([1], [1]))[1][0].video_data_samples[0]
    sample.set_metainfo(META)
    with torch.no_grad():
        expected = theirs.predict(image, [copy.deepcopy(sample)], rescale=True)[0].pred_instances
        view = view_of(model, image, sample.metainfo)
        (detected,) = model.frame_detector.detect(view.feats, [view.meta])
        rles = model.frame_encoder.final_masks(view.meta, detected)
        frame = model.encode(view)
    assert len(expected) == 12
    scale = torch.tensor(META['scale_factor']).repeat(2)
    torch.testing.assert_close(detected.boxes / scale, expected.bboxes, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(detected.scores, expected.scores)
    assert torch.equal(detected.labels, expected.labels)
    masks = torch.from_numpy(mask_utils.decode(rles)).permute(2, 0, 1).bool()
    assert masks.shape == (12, 90, 133)
    assert 0.02 < masks.float().mean() < 0.98
    assert torch.equal(masks, expected.masks)
    assert frame.masks.shape[1:] == (12, 12) and frame.rles == [rles[i] for i in kept_rows(frame, rles)]


def kept_rows(frame, rles: list) -> list[int]:
    """Which of the detections a frame kept, when it merged those of one object."""
    return [rles.index(rle) for rle in frame.rles]


@cache
def one_stage(**options) -> torch.nn.Module:
    model = Config.fromfile('configs/coco/rtmdet_ins_tiny_coco.py').model
    fit_num_classes(model, CLASSES)
    torch.manual_seed(0)
    model = MODELS.build({**model, **options})
    model.init_weights()
    return model


@pytest.mark.parametrize('objects', [[1, 2], []], ids=['objects', 'none'])
def test_one_stage_losses_equal_mmdet(objects):
    model = one_stage().train()
    inputs, samples = make_batch((objects, objects))
    key = [samples[0].video_data_samples[0]]
    feats = model.detector.extract_feat(inputs[:, 0])
    expected = model.detector.bbox_head.loss(feats, copy.deepcopy(key))
    before = key[0].gt_instances.masks
    losses, proposals = model.frame_detector.loss(feats, key)
    assert losses.keys() == expected.keys()
    for name, value in losses.items():
        torch.testing.assert_close(value, expected[name])
    assert key[0].gt_instances.masks is before, 'mmdet puts a tensor in their place'
    assert len(proposals) == 1 and proposals[0].shape[1] == 4
    total = sum(v for values in losses.values() for v in (values if isinstance(values, list) else [values]))
    model.zero_grad()
    total.backward()
    heads = [n for n, p in model.detector.bbox_head.named_parameters() if p.grad is None]
    assert not heads


def test_one_stage_masks_on_maps():
    logits = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0))
    maps = LogitMaps(logits, 8, 0.5)
    torch.testing.assert_close(maps.on_map(4, 6), logits.sigmoid())
    coarse = logits.sigmoid().unflatten(1, (2, 2)).unflatten(3, (3, 2)).mean((2, 4))
    torch.testing.assert_close(maps.on_map(2, 3), coarse)
    torch.testing.assert_close(maps.on_map(8, 12)[:, 1, 1], (logits[:, 0, 0] * 0.5625 + (
        logits[:, 0, 1] + logits[:, 1, 0]) * 0.1875 + logits[:, 1, 1] * 0.0625).sigmoid())  # fmt: skip
    assert torch.equal(maps.select(torch.tensor([1])).logits, logits[1:])
    none = maps.select(torch.zeros(0, dtype=torch.long))
    assert none.on_map(2, 3).shape == (0, 2, 3) and none.in_video(META) == []


def test_a_frame_without_detections():
    model = one_stage().eval()
    model.detector.bbox_head.test_cfg.score_thr = 1.1
    view = view_of(model, torch.zeros(1, 3, HEIGHT, WIDTH))
    frame = model.encode(view)
    model.detector.bbox_head.test_cfg.score_thr = 0.3
    assert len(frame) == 0 and frame.masks.shape == (0, HEIGHT // 8, WIDTH // 8)


def test_one_stage_has_no_masks_at_boxes():
    model = one_stage()
    with pytest.raises(ConfigError, match="no masks at given boxes.*mask_source='ground_truth'"):
        model.frame_detector.masks_at((), [], [])


def test_other_one_stage_detectors_are_refused():
    yolox = get_config('mmdet::yolox/yolox_tiny_8xb8-300e_coco.py').model
    yolox.pop('data_preprocessor')
    model = Config.fromfile('configs/coco/rtmdet_ins_tiny_coco.py').model
    with pytest.raises(ConfigError, match='YOLOX with a YOLOXHead is neither a two-stage .* nor its RTMDet-Ins'):
        MODELS.build({**model, 'detector': yolox})
    model.detector.test_cfg.mask_thr_binary = -1
    with pytest.raises(ConfigError, match='mask_thr_binary=-1: expected a probability'):
        MODELS.build(model)
