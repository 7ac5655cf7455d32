"""Published SipMask checkpoints of any depth: every weight finds its place, and what doesn't fit is named."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch
from mmengine.config import Config

import maskprop

maskprop.register_all()

from mmdet.registry import MODELS  # noqa: E402

from maskprop.conversion.sipmask_reference import architecture, convert_file, convert_state_dict  # noqa: E402
from maskprop.engine.checkpoint import CheckpointError, load_checkpoint_file  # noqa: E402
from tests.conversion.reference_state import BASE  # noqa: E402
from tests.conversion.sipmask_state import CLASSES, FPN, sipmask_state  # noqa: E402

CONFIG = 'configs/sipmask/sipmask_r50_fpn_12e_ytvis2019.py'
TOOL = str(Path(__file__).parents[2] / 'tools/model_converters/sipmask_reference.py')
NARROW = {
    'model.detector.backbone.base_channels': BASE,
    'model.detector.neck.in_channels': [4 * BASE, 8 * BASE, 16 * BASE, 32 * BASE],
    'model.detector.neck.out_channels': FPN,
    'model.detector.bbox_head.norm_cfg': dict(type='GN', num_groups=4),
    'model.track_head.norm_cfg': dict(type='GN', num_groups=4),
}


def narrow(keys: dict) -> Config:
    """The config with the keys that a converted state asks for."""
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict(NARROW | {f'model.{key}': value for key, value in keys.items()})
    return cfg


@pytest.mark.parametrize(
    'variant',
    [
        dict(),
        dict(depth=4, track_depth=4, track_name='fovea_track'),  # an earlier published one
        dict(basis_kernel=3, track_kernel=3, classes=2),
    ],
    ids=str,
)
def test_a_model_of_the_keys_found_loads_it_whole(variant):
    state = sipmask_state(**variant)
    converted = convert_state_dict({f'module.{key}': value.numpy() for key, value in state.items()})
    assert len(converted) == len(state)
    with torch.device('meta'):
        model = MODELS.build(narrow(architecture(converted)).model)
    model.load_state_dict(converted, strict=True, assign=True)
    assert torch.equal(model.detector.bbox_head.scales[3].scale, state['bbox_head.scales.3.scale'])
    track = f'bbox_head.{variant.get("track_name", "sipmask_track")}'
    assert torch.equal(model.track_head.conv_embed.bias, state[f'{track}.bias'])
    assert torch.equal(model.detector.bbox_head.basis_conv1.weight, state['bbox_head.sip_mask_lat0.weight'])
    assert model.detector.bbox_head.num_classes == variant.get('classes', CLASSES)


def test_an_image_detector_has_no_tracking():
    keys = architecture(convert_state_dict(sipmask_state(depth=4, track_depth=None)))
    assert keys['detector.bbox_head.stacked_convs'] == 4
    assert not [key for key in keys if key.startswith('track_head')]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda s: s.update({'bbox_head.sip_cof2.weight': torch.zeros(1)}), 'sip_cof2'),
        (lambda s: s.pop('bbox_head.sip_mask_lat0.weight'), 'lacks bbox_head.sip_mask_lat0.weight'),
        (lambda s: s.pop('backbone.conv1.weight'), 'lacks backbone.conv1.weight'),
        (lambda s: s.update({'rpn_head.rpn_conv.weight': torch.zeros(1)}), 'rpn_head.rpn_conv'),
    ],
)
def test_other_checkpoints_are_refused(change, message):
    state = sipmask_state()
    change(state)
    with pytest.raises(CheckpointError, match=message):
        convert_state_dict(state, 'checkpoint x.pth')


def test_the_whole_file(tmp_path):
    torch.save(dict(state_dict=sipmask_state(depth=4)), tmp_path / 'in.pth')
    report = convert_file(tmp_path / 'in.pth', tmp_path / 'out.pth')
    assert 'SipMask-VIS, 5 classes' in report and 'model.detector.bbox_head.stacked_convs=4' in report
    written = load_checkpoint_file(tmp_path / 'out.pth')
    assert written['meta']['num_classes'] == CLASSES
    assert len(written['state_dict']) == len(sipmask_state(depth=4))


def run(*args) -> None:
    with mock.patch.object(sys, 'argv', [TOOL, *map(str, args)]):
        runpy.run_path(TOOL, run_name='__main__')


def test_a_deeper_detector_of_images_begins_a_training(tmp_path, capsys):
    """As the published training begins: deeper layers and classes are left out and named, the rest is loaded."""
    state = sipmask_state(depth=4, track_depth=None)
    torch.save(state, tmp_path / 'coco.pth')
    cfg = narrow(architecture(convert_state_dict(sipmask_state())) | {'detector.bbox_head.num_classes': 7})
    cfg.dump(tmp_path / 'narrow.py')
    run(tmp_path / 'coco.pth', tmp_path / 'out.pth', '--config', tmp_path / 'narrow.py', '--num-classes', 7)
    printed = capsys.readouterr().out
    assert 'detector.bbox_head.reg_convs.3.conv.weight' in printed.partition('dropped, not in the model')[2]
    assert 'detector.bbox_head.cls_convs.2.conv.weight' in printed.partition('dropped, not in the model')[2]
    assert 'detector.bbox_head.conv_cls.weight: 5x16x3x3 in the file, 7x16x3x3 in the model' in printed
    assert 'not of a detector: track_head' in printed
    kept = load_checkpoint_file(tmp_path / 'out.pth')['state_dict']
    assert len(kept) == len(state) - 2 * 3 - 2
    run(tmp_path / 'coco.pth', tmp_path / 'whole.pth')
    assert 'SipMask, without tracking' in capsys.readouterr().out
