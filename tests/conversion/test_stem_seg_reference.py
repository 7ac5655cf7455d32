"""A reference checkpoint of STEm-Seg loads into the model with no missing and no unexpected weight."""

from __future__ import annotations

import re

import pytest
import torch

import maskprop

maskprop.register_all()

from mmdet.registry import MODELS  # noqa: E402
from mmengine.config import Config  # noqa: E402

from maskprop.conversion.state_dicts import read_state_dict  # noqa: E402
from maskprop.conversion.stem_seg_reference import convert_file, convert_state_dict  # noqa: E402
from maskprop.engine.checkpoint import CheckpointError  # noqa: E402
from maskprop.engine.num_classes import fit_num_classes  # noqa: E402

TINY = 'configs/stem_seg/stem_seg_tiny_synthetic.py'


def reference_state() -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    """The tiny model, and its weights under the reference's names."""
    cfg = Config.fromfile(TINY).model
    fit_num_classes(cfg, 5)
    model = MODELS.build(cfg)
    state = {}
    for key, value in model.state_dict().items():
        if key.endswith('num_batches_tracked'):
            continue
        key = re.sub(r'^backbone\.(conv1|bn1)\.', r'backbone.body.stem.\1.', key)
        key = re.sub(r'^backbone\.layer', 'backbone.body.layer', key)
        key = re.sub(r'^class_head\.', 'semseg_head.', key)
        for kind, name in (('lateral', 'fpn_inner'), ('fpn', 'fpn_layer')):
            match = re.match(rf'neck\.{kind}_convs\.(\d)\.conv\.(.*)', key)
            key = f'backbone.fpn.{name}{int(match[1]) + 1}.{match[2]}' if match else key
        state[key] = value
    state['embedding_head.time_scale'] = torch.tensor(0.2)
    state['embedding_loss_criterion.free_dim_bandwidths'] = torch.full((1, 2), 1 / 0.09)
    return model, state


def test_every_weight_has_its_place(tmp_path):
    model, state = reference_state()
    assert 'backbone.fpn.fpn_inner4.weight' in state and 'backbone.body.stem.conv1.weight' in state
    torch.save(dict(model={f'module.{key}': value for key, value in state.items()}), tmp_path / 'in.pth')
    said = convert_file(tmp_path / 'in.pth', tmp_path / 'out.pth')
    assert 'STEm-Seg, 5 classes' in said
    converted = read_state_dict(tmp_path / 'out.pth')
    own = {key: x for key, x in model.state_dict().items() if not key.endswith('num_batches_tracked')}
    assert set(converted) == set(own)
    assert all(torch.equal(converted[key], value) for key, value in own.items())


def test_decoders_alone():
    _, state = reference_state()
    decoders = {key: value for key, value in state.items() if not key.startswith('backbone.')}
    assert len(convert_state_dict(decoders, partial=True)) == len(decoders) - 2
    with pytest.raises(CheckpointError, match='backbone.conv1.weight is missing there; --partial'):
        convert_state_dict(decoders)


def test_other_checkpoints_are_refused():
    _, state = reference_state()
    with pytest.raises(CheckpointError, match=r'roi_heads\.box_head is unknown'):
        convert_state_dict({**state, 'roi_heads.box_head': torch.zeros(1)})
    state.pop('semseg_head.conv_out.weight')
    with pytest.raises(CheckpointError, match='class_head.conv_out.weight is missing'):
        convert_state_dict(state)
