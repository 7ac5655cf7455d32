"""Converted reference checkpoints: the model computes what their weights say in the reference's layout."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from maskprop.conversion.objprop_reference import (
    absent_groups,
    convert_file,
    convert_state_dict,
    infer_num_classes,
)
from maskprop.engine.checkpoint import CheckpointError, load_checkpoint_file
from tests.conversion.legacy_model import MASKTRACK, OBJPROP, build_legacy_model
from tests.conversion.reference_state import CLASSES, FPN, reference_state

CLOSE = dict(atol=1e-5, rtol=1e-4)
IMAGE = (64, 96)


@pytest.fixture(scope='module')
def state() -> dict[str, Tensor]:
    return reference_state()


@pytest.fixture(scope='module')
def model(state):
    built = build_legacy_model(OBJPROP)
    built.load_state_dict(convert_state_dict(state), strict=True)
    return built


@pytest.fixture(scope='module')
def feats() -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(4)
    return tuple(torch.randn(1, FPN, IMAGE[0] // s, IMAGE[1] // s, generator=generator) for s in (4, 8, 16, 32))


def linear(state, name: str, x: Tensor) -> Tensor:
    return x @ state[f'{name}.weight'].T + state[f'{name}.bias']


def conv(state, name: str, x: Tensor, stride: int = 1) -> Tensor:
    weight = state[f'{name}.weight']
    return F.conv2d(x, weight, state.get(f'{name}.bias'), stride, weight.shape[-1] // 2)


def norm(state, name: str, x: Tensor) -> Tensor:
    mean, var = state[f'{name}.running_mean'], state[f'{name}.running_var']
    return F.batch_norm(x, mean, var, state[f'{name}.weight'], state[f'{name}.bias'])


@pytest.mark.slow
def test_loads_with_no_missing_or_unexpected_key(state):
    build_legacy_model(OBJPROP).load_state_dict(convert_state_dict(state), strict=True)
    base = reference_state(prop_head=False)
    build_legacy_model(MASKTRACK).load_state_dict(convert_state_dict(base), strict=True)
    agnostic = {key: value[:4] if '.fc_reg.' in key else value for key, value in base.items()}
    options = {'model.detector.roi_head.bbox_head.reg_class_agnostic': True}
    build_legacy_model(MASKTRACK, options).load_state_dict(convert_state_dict(agnostic), strict=True)


@torch.no_grad()
def test_features_and_rpn(model, state):
    image = torch.randn(1, 3, *IMAGE, generator=torch.Generator().manual_seed(5))
    x = F.max_pool2d(norm(state, 'backbone.bn1', conv(state, 'backbone.conv1', image, 2)).relu(), 3, 2, 1)
    laterals = []
    for stage, blocks in enumerate((3, 4, 6, 3)):
        for block in range(blocks):
            name, stride = f'backbone.layer{stage + 1}.{block}', 2 if stage and not block else 1
            y = norm(state, f'{name}.bn1', conv(state, f'{name}.conv1', x)).relu()
            y = norm(state, f'{name}.bn2', conv(state, f'{name}.conv2', y, stride)).relu()
            y = norm(state, f'{name}.bn3', conv(state, f'{name}.conv3', y))
            if not block:
                x = norm(state, f'{name}.downsample.1', conv(state, f'{name}.downsample.0', x, stride))
            x = (x + y).relu()
        laterals.append(conv(state, f'neck.lateral_convs.{stage}.conv', x))
    for stage in (2, 1, 0):
        laterals[stage] = laterals[stage] + F.interpolate(laterals[stage + 1], scale_factor=2)
    expected = [conv(state, f'neck.fpn_convs.{n}.conv', x) for n, x in enumerate(laterals)]
    found = model.detector.extract_feat(image)
    for a, b in zip(found, expected, strict=False):
        torch.testing.assert_close(a, b, atol=1e-5 * float(b.abs().max()), rtol=1e-4)
    scores, deltas = model.detector.rpn_head(found)
    hidden = conv(state, 'rpn_head.rpn_conv', found[1]).relu()
    torch.testing.assert_close(scores[1], conv(state, 'rpn_head.rpn_cls', hidden))
    torch.testing.assert_close(deltas[1], conv(state, 'rpn_head.rpn_reg', hidden))


@torch.no_grad()
def test_classes_and_boxes(model, state):
    x = torch.randn(5, FPN, 7, 7, generator=torch.Generator().manual_seed(6))
    rois = torch.tensor(
        [[0, 10.0, 12, 30, 40], [0, 2, 3, 60, 50], [0, 0, 0, 5, 9], [0, 40, 5, 90, 60], [0, 8, 8, 8, 8]]
    )
    head = model.detector.roi_head.bbox_head
    (found,) = head.predict_by_feat((rois,), *[(out,) for out in head(x)], [dict(img_shape=IMAGE)])

    hidden = linear(state, 'bbox_head.shared_fcs.0', x.flatten(1)).relu()
    hidden = linear(state, 'bbox_head.shared_fcs.1', hidden).relu()
    probabilities = linear(state, 'bbox_head.fc_cls', hidden).softmax(1)  # background, then the classes
    torch.testing.assert_close(found.scores, probabilities[:, [1, 2, 3, 0]], **CLOSE)
    deltas = linear(state, 'bbox_head.fc_reg', hidden).view(5, CLASSES + 1, 4)
    boxes = found.bboxes.view(5, CLASSES, 4)
    for n in range(5):
        for c in range(CLASSES):
            expected = decode_literally(rois[n, 1:].tolist(), deltas[n, c + 1].tolist())
            torch.testing.assert_close(boxes[n, c], torch.tensor(expected), atol=1e-3, rtol=1e-4)


def decode_literally(box: list[float], deltas: list[float]) -> list[float]:
    """Reference: widths are x2 - x1 + 1, stds .1 and .2, clipped to the image's pixels."""
    first, last = [], []
    for axis in (0, 1):
        side = box[axis + 2] - box[axis] + 1
        centre = (box[axis] + box[axis + 2]) / 2 + 0.1 * deltas[axis] * side
        half = (side * math.exp(0.2 * deltas[axis + 2]) - 1) / 2
        end = IMAGE[1 - axis] - 1
        first.append(min(max(centre - half, 0), end))
        last.append(min(max(centre + half, 0), end))
    return first + last


def mask_branch(state, convs: str, x: Tensor) -> Tensor:
    """Reference: four convolutions, a deconvolution, C + 1 channels."""
    head = convs.split('.')[0]
    for n in range(4):
        x = conv(state, f'{convs}.{n}.conv', x).relu()
    x = F.conv_transpose2d(x, state[f'{head}.upsample.weight'], state[f'{head}.upsample.bias'], 2).relu()
    return conv(state, f'{head}.conv_logits', x)


@torch.no_grad()
def test_masks_of_class_c_are_channel_c_plus_1(model, state, feats):
    x = torch.randn(2, FPN, 14, 14, generator=torch.Generator().manual_seed(7))
    expected = mask_branch(state, 'mask_head.convs', x)
    assert expected.shape[1] == CLASSES + 1
    torch.testing.assert_close(model.detector.roi_head.mask_head(x), expected[:, 1:], **CLOSE)


@torch.no_grad()
def test_track_embeddings(model, state):
    x = torch.randn(3, FPN, 7, 7, generator=torch.Generator().manual_seed(8))
    expected = linear(state, 'track_head.fcs.1', linear(state, 'track_head.fcs.0', x.flatten(1)).relu())
    torch.testing.assert_close(model.track_head.embed_head.extract_feat(x, [3])[0], expected, **CLOSE)


@torch.no_grad()
def test_attention_head(model, state, feats):
    head = model.attention_head
    size = feats[1].shape[-2:]
    x = torch.cat([F.interpolate(level, size, mode='bilinear') for level in feats], 1)
    x = norm(state, 'prop_head.convs.1', conv(state, 'prop_head.convs.0', x)).relu()
    x = norm(state, 'prop_head.convs.4', conv(state, 'prop_head.convs.3', x)).relu()
    x = conv(state, 'prop_head.convs.6', x)
    torch.testing.assert_close(head.encode_features(feats), x, **CLOSE)
    expected = mask_branch(state, 'prop_head.mask_convs', x)
    for layer in head.mask_convs:
        x = layer(x)
    torch.testing.assert_close(head.conv_logits(head.upsample(x).relu()), expected[:, 1:], **CLOSE)


def test_partial_heads(state):
    heads = {key: value.numpy() for key, value in state.items() if key.startswith(('prop_head', 'track_head'))}
    with pytest.raises(CheckpointError, match='lacks backbone, neck, rpn_head, bbox_head, mask_head. .*--partial'):
        convert_state_dict(heads)
    converted = convert_state_dict(heads, partial=True)
    assert absent_groups(heads) == ['backbone', 'neck', 'rpn_head', 'bbox_head', 'mask_head']
    loaded = build_legacy_model(OBJPROP).load_state_dict(converted, strict=False)
    assert not loaded.unexpected_keys
    assert all(key.startswith('detector.') for key in loaded.missing_keys)


def test_widths_and_classes_are_inferred():
    for classes in (1, 40):
        state = reference_state(classes)
        assert infer_num_classes(state) == classes
        converted = convert_state_dict(state)
        assert len(converted['detector.roi_head.bbox_head.fc_reg.bias']) == 4 * classes
        assert len(converted['attention_head.conv_logits.weight']) == classes
    assert infer_num_classes({'track_head.fcs.0.weight': torch.ones(2, 2)}) is None


def test_input_is_left_alone(state):
    before = {key: value.clone() for key, value in state.items()}
    converted = convert_state_dict(state)
    converted['detector.roi_head.bbox_head.fc_cls.bias'].zero_()
    converted['detector.roi_head.bbox_head.fc_reg.bias'].zero_()
    assert all(torch.equal(state[key], before[key]) for key in before)


def test_files(state, tmp_path):
    old = dict(meta=dict(epoch=12), state_dict={f'module.{key}': value for key, value in state.items()})
    torch.save(old, tmp_path / 'in.pth', _use_new_zipfile_serialization=False)
    np.savez(tmp_path / 'in.npz', **{key: value.numpy() for key, value in state.items()})
    expected = convert_state_dict(state)
    for name in ('in.pth', 'in.npz'):
        report = convert_file(tmp_path / name, tmp_path / 'out.pth')
        assert f'{name}: ObjProp, {CLASSES} classes' in report and 'absent' not in report
        content = load_checkpoint_file(tmp_path / 'out.pth')
        assert set(content['state_dict']) == set(expected) and 'dataset_meta' not in content['meta']
        assert all(torch.equal(value, expected[key]) for key, value in content['state_dict'].items())


def test_what_is_absent_or_class_agnostic_is_reported(state, tmp_path):
    chosen = {key: value for key, value in state.items() if key.startswith(('bbox_head', 'mask_head'))}
    for key in chosen:
        if '.fc_reg.' in key or '.conv_logits.' in key:
            chosen[key] = chosen[key][: 4 if '.fc_reg.' in key else 1]
    torch.save(chosen, tmp_path / 'in.pth')
    report = convert_file(tmp_path / 'in.pth', tmp_path / 'out.pth', partial=True)
    assert 'absent: backbone, neck, rpn_head, track_head, prop_head' in report
    assert 'bbox_head.reg_class_agnostic=True' in report and 'mask_head.class_agnostic=True' in report


def rename(state, pattern: str, replacement: str) -> dict[str, Tensor]:
    return {re.sub(pattern, replacement, key): value for key, value in state.items()}


def without(state, *names: str) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if key not in names}


BAD = {
    'mmdet 3': (
        lambda s: rename(s, r'^(bbox|mask)_head', r'roi_head.\1_head'),
        'expected a reference ObjProp .*Found the layout of mmdet 2.x or 3.x .*needs no converter',
    ),
    'torchvision': (
        lambda s: {
            'backbone.body.conv1.weight': s['backbone.conv1.weight'],
            'roi_heads.x': s['backbone.conv1.weight'],
        },
        'Found the layout of torchvision detection .*torchvision_maskrcnn.py',
    ),
    'detectron2': (lambda s: {'proposal_generator.x': torch.ones(1)}, 'Found the layout of detectron2'),
    'converted': (convert_state_dict, 'Found the layout of this project .*use it as it is'),
    'classifier': (lambda s: rename(s, '^backbone.', ''), 'Found the layout of .*'),
    'something else': (lambda s: {'encoder.weight': torch.ones(1)}, r'Found an unknown layout \(encoder.weight\)'),
    'one-stage': (
        lambda s: {**s, 'bbox_head.retina_cls.weight': torch.ones(1)},
        'Found weights that the two have not: bbox_head.retina_cls.weight',
    ),
    'cascade': (
        lambda s: rename(s, r'^bbox_head', 'bbox_head.0'),
        'Found weights that the two have not: bbox_head.0.fc_cls.weight, .* and 4 more',
    ),
    'no tracking': (
        lambda s: {key: value for key, value in s.items() if 'track_head' not in key},
        'It lacks track_head. To convert what there is, give --partial',
    ),
    'incomplete': (
        lambda s: without(s, 'prop_head.convs.4.weight', 'prop_head.conv_logits.bias'),
        'prop_head is incomplete, it lacks prop_head.convs.4.weight, prop_head.conv_logits.bias',
    ),
    'classes': (
        lambda s: {**s, 'mask_head.conv_logits.weight': torch.ones(9, FPN, 1, 1)},
        'disagree about the number of classes: bbox_head.fc_cls.weight has 4 rows, .*'
        'mask_head.conv_logits.weight has 9 rows',
    ),
    'softmax RPN': (
        lambda s: {
            **s,
            'rpn_head.rpn_cls.weight': torch.ones(6, FPN, 1, 1),
            'rpn_head.rpn_cls.bias': torch.ones(6),
        },
        'rpn_head has 6 scores and 12 box deltas a cell',
    ),
}


@pytest.mark.parametrize('case', BAD)
def test_other_checkpoints_are_refused(case, state, tmp_path):
    change, message = BAD[case]
    torch.save(change(state), tmp_path / 'in.pth')
    with pytest.raises(CheckpointError, match=rf'in.pth: .*{message}'):
        convert_file(tmp_path / 'in.pth', tmp_path / 'out.pth')
    assert not (tmp_path / 'out.pth').exists()
