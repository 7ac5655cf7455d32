"""A torchvision Mask R-CNN and the mmdet model that gets its converted weights compute the same."""

from __future__ import annotations

import re

import pytest
import torch
from pycocotools import mask as mask_utils
from torch import nn
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_fpn, maskrcnn_resnet50_fpn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import paste_masks_in_image

import maskprop

maskprop.register_all()

from mmdet.registry import MODELS  # noqa: E402
from mmdet.structures.bbox import bbox2roi  # noqa: E402
from mmengine.hub import get_config  # noqa: E402

from maskprop.conversion.torchvision_maskrcnn import convert_state_dict  # noqa: E402
from maskprop.engine.checkpoint import CheckpointError  # noqa: E402
from maskprop.ops.masks import paste_binary_masks  # noqa: E402

pytestmark = pytest.mark.slow

CLASSES, SIZE = 3, (64, 128)  # multiples of the coarsest stride, by which torchvision divides the image
CLOSE = dict(atol=1e-4, rtol=1e-4)


def randomise(model: nn.Module) -> nn.Module:
    """Weights, biases and statistics that differ from each other everywhere, of a size that keeps signals."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.1, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
                module.weight.uniform_(0.5, 1.0, generator=generator)
                module.bias.uniform_(-0.1, 0.1, generator=generator)
            elif isinstance(module, nn.Conv2d | nn.Linear | nn.ConvTranspose2d):
                fan_in = module.weight[0].numel()
                module.weight.normal_(0, fan_in**-0.5, generator=generator)
                if module.bias is not None:
                    module.bias.normal_(0, 0.1, generator=generator)
    return model.eval()


@pytest.fixture(scope='module')
def theirs() -> nn.Module:
    return randomise(maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=CLASSES + 1))


@pytest.fixture(scope='module')
def detector_cfg():
    cfg = get_config('mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py').model
    for kind in ('bbox', 'mask'):
        cfg.roi_head[f'{kind}_head'].num_classes = CLASSES
        # torchvision's RoIAlign; the converted weights are the same for mmdet's
        cfg.roi_head[f'{kind}_roi_extractor'].roi_layer.update(aligned=False, sampling_ratio=2)
    return cfg


@pytest.fixture(scope='module')
def ours(theirs, detector_cfg) -> nn.Module:
    cfg = detector_cfg.copy()
    cfg.pop('data_preprocessor')
    model = MODELS.build(cfg).eval()
    converted = convert_state_dict(theirs.state_dict())
    assert all(key.startswith('detector.') for key in converted)
    model.load_state_dict({key.removeprefix('detector.'): value for key, value in converted.items()}, strict=True)
    return model


@pytest.fixture(scope='module')
def image() -> torch.Tensor:
    return torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope='module')
def feats(theirs, image):
    with torch.no_grad():
        return theirs.backbone(image)


@torch.no_grad()
def test_features_and_rpn(theirs, ours, image, feats):
    found = ours.extract_feat(image)
    assert len(found) == 5
    for level, expected in zip(found, feats.values(), strict=True):
        torch.testing.assert_close(level, expected, **CLOSE)
        assert expected.std() > 0.01
    scores, deltas = ours.rpn_head(found)
    expected_scores, expected_deltas = theirs.rpn.head(list(feats.values()))
    for found, expected in zip([*scores, *deltas], [*expected_scores, *expected_deltas], strict=True):
        torch.testing.assert_close(found, expected, **CLOSE)


def test_anchors_are_in_the_same_order(theirs, ours, feats):
    levels = list(feats.values())
    expected = theirs.rpn.anchor_generator(ImageList(torch.zeros(1, 3, *SIZE), [SIZE]), levels)[0]
    found = torch.cat(ours.rpn_head.prior_generator.grid_priors([x.shape[-2:] for x in levels], device='cpu'))
    assert len(found) == len(expected) > 1500
    # torchvision rounds the corners
    assert (found - expected).abs().max() <= 0.5
    nearest = torch.cdist(found[::97].double(), expected.double()).argmin(1)
    assert torch.equal(nearest, torch.arange(len(found))[::97])


def test_box_deltas_mean_the_same(theirs, ours):
    boxes = torch.tensor([[10.0, 20, 50, 90], [3, 5, 9, 8], [0, 0, 120, 90]])
    deltas = torch.randn(3, 4, generator=torch.Generator().manual_seed(2))
    for coder, their_coder in (
        (ours.rpn_head.bbox_coder, theirs.rpn.box_coder),
        (ours.roi_head.bbox_head.bbox_coder, theirs.roi_heads.box_coder),
    ):
        expected = their_coder.decode_single(deltas, boxes)
        torch.testing.assert_close(coder.decode(boxes, deltas), expected, **CLOSE)


@torch.no_grad()
def test_roi_heads(theirs, ours, feats):
    boxes = torch.tensor([[4.0, 6, 60, 80], [30, 10, 44, 30], [0, 0, 127, 95]])
    levels, heads = tuple(feats.values()), theirs.roi_heads
    pooled = heads.box_roi_pool(feats, [boxes], [SIZE])
    scores, deltas = heads.box_predictor(heads.box_head(pooled))
    found = ours.roi_head._bbox_forward(levels[:4], bbox2roi([boxes]))
    torch.testing.assert_close(found['cls_score'].roll(1, dims=1), scores, **CLOSE)
    torch.testing.assert_close(found['bbox_pred'], deltas[:, 4:], **CLOSE)
    expected = heads.mask_predictor(heads.mask_head(heads.mask_roi_pool(feats, [boxes], [SIZE])))
    found = ours.roi_head._mask_forward(levels[:4], bbox2roi([boxes]))['mask_preds']
    torch.testing.assert_close(found, expected[:, 1:], **CLOSE)
    assert scores.std() > 0.05 and expected.std() > 0.01


def test_images_are_normalised_alike(theirs, detector_cfg):
    pixels = torch.randint(0, 256, (3, *SIZE), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)
    expected = theirs.transform.normalize(pixels / 255)  # RGB
    preprocessor = MODELS.build(detector_cfg.data_preprocessor)
    found = preprocessor(dict(inputs=[pixels.flip(0)], data_samples=None))['inputs'][0]  # from BGR
    torch.testing.assert_close(found, expected, **CLOSE)


def test_names_of_older_torchvision(theirs):
    """Before 0.13: fpn.inner_blocks.0.weight, rpn.head.conv.weight, mask_head.mask_fcn1.weight."""
    state = theirs.state_dict()
    older = {}
    for key, value in state.items():
        key = re.sub(r'((?:inner|layer)_blocks\.\d)\.0\.', r'\1.', key).replace('head.conv.0.0.', 'head.conv.')
        key = re.sub(r'mask_head\.(\d)\.0\.', lambda m: f'mask_head.mask_fcn{int(m[1]) + 1}.', key)
        older[key] = value
    assert set(older) != set(state)
    expected, found = convert_state_dict(state), convert_state_dict(older)
    assert set(expected) == set(found)
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_other_models_are_refused(theirs):
    state = theirs.state_dict()
    with pytest.raises(
        CheckpointError, match=r"expected torchvision's maskrcnn_resnet50_fpn .* found .*mmdet 2.x"
    ):
        convert_state_dict({'backbone.conv1.weight': torch.ones(1), 'roi_head.x': torch.ones(1)})
    v2 = {**state, 'rpn.head.conv.1.0.weight': torch.ones(1)}
    with pytest.raises(CheckpointError, match='weights that it has not: rpn.head.conv.1.0.weight. The v2 model'):
        convert_state_dict(v2)
    boxes_only = {key: value for key, value in state.items() if '.mask_' not in key}
    with pytest.raises(CheckpointError, match='found a detector without mask_head'):
        convert_state_dict(boxes_only)
    mobile = fasterrcnn_mobilenet_v3_large_fpn(weights=None, weights_backbone=None)
    with pytest.raises(CheckpointError, match='found a detector without mask_head'):
        convert_state_dict(mobile.state_dict())


def wavy_discs(size: float, number: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    """Soft RoI masks (N, 28, 28), and boxes (N, 4) of about that many pixels in an image of 240 x 240."""
    generator = torch.Generator().manual_seed(0)
    centre = torch.rand(number, 2, generator=generator) * 100 + 60
    half = (torch.rand(number, 2, generator=generator) * 0.8 + 0.6) * size / 2
    wave = 3 * torch.rand(number, 1, 1, generator=generator)
    y, x = torch.meshgrid(*2 * [torch.linspace(-1, 1, 28)], indexing='ij')
    masks = torch.sigmoid(12 * (0.8 - (y**2 + x**2 + 0.2 * torch.sin(5 * x * wave))))
    return masks, torch.cat([centre - half, centre + half], dim=1)


@pytest.mark.parametrize('size, expected', [(16, 0.88), (40, 0.95), (120, 0.98)])  # docs/checkpoints.md
def test_masks_are_pasted_otherwise_than_torchvision_does(size, expected):
    """It grows boxes and rounds them to pixels; the larger the object, the less that is."""
    masks, boxes = wavy_discs(size)
    theirs = (paste_masks_in_image(masks[:, None], boxes, (240, 240))[:, 0] > 0.5).numpy()
    ours = mask_utils.decode(paste_binary_masks(masks, boxes, 240, 240)).transpose(2, 0, 1).astype(bool)
    ious = (ours & theirs).sum((1, 2)) / (ours | theirs).sum((1, 2))
    print(f'objects of about {size} pixels: IoU {ious.mean():.3f} on average, {ious.min():.3f} at least')
    assert abs(ious.mean() - expected) < 0.01
