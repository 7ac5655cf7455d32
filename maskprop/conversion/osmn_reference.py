"""Checkpoints of the released OSMN (TensorFlow, linjieyangsc/video_seg) for ``OSMNHead``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from maskprop.conversion.state_dicts import as_tensors, convert_head_file
from maskprop.engine.checkpoint import CheckpointError

NETS = dict(modulator='visual', seg='segmentation')
NORM = dict(gamma='weight', beta='bias', moving_mean='running_mean', moving_variance='running_var')
KIND = dict(weights='weight', biases='bias')
SIDES = ('conv2_2_16', 'conv3_3_16', 'conv4_3_16', 'conv5_3_16')
LEFT_OUT = re.compile(r'osmn/seg/score-multi\d-up/weights|global_step|.*/Adam(_1)?|beta[12]_power')
EXPECTED = 'expected a checkpoint of the released OSMN: osmn/modulator/*, osmn/modulator_sp/*, osmn/seg/*'


def convert_state_dict(state: Mapping[str, Any], name: str = 'the state dict') -> dict[str, Tensor]:
    """The weights under this project's names, in PyTorch's layout, for RGB images.

    The released code's images are BGR: the first kernels' input channels are turned round. Fixed upsampling
    kernels and what optimizers keep are left out.

    Args:
        state: tensors or numpy arrays by the names of the TensorFlow checkpoint.
        name: of the checkpoint, for errors.

    Raises:
        CheckpointError: a weight is of another network, or one is missing.
    """
    converted = {}
    for key, value in as_tensors(state, name).items():
        if LEFT_OUT.fullmatch(key):
            continue
        target = _target(key)
        if target is None:
            raise CheckpointError(f'{name}: {EXPECTED}. Found {key!r}, which it does not have')
        if value.ndim == 4:
            value = value.permute(3, 2, 0, 1).contiguous()  # from height, width, in, out
        converted[target] = value.flip(1) if target.endswith('stages.0.0.weight') else value
    wanted = ('visual.fcs.2.weight', 'spatial.convs.0.weight', 'segmentation.fuse.weight')
    missing = [key for key in wanted if key not in converted]
    if missing:
        raise CheckpointError(f'{name}: {EXPECTED}. Nothing in it becomes {missing[0]}')
    return converted


def _target(key: str) -> str | None:
    parts = key.split('/')
    if parts[0] != 'osmn' or len(parts) < 4:
        return None
    net, layer, kind = parts[1], parts[2], parts[-1]
    if net == 'modulator_sp' and (found := re.fullmatch(r'conv([345])', layer)):
        index = int(found[1]) - 3
        if parts[3] == 'BatchNorm':
            return f'spatial.norms.{index}.{NORM[kind]}' if kind in NORM else None
        return f'spatial.convs.{index}.weight' if kind == 'weights' else None
    if kind not in KIND or net not in NETS:
        return None
    if found := re.fullmatch(r'conv(\d)_(\d)', parts[-2]):
        return f'{NETS[net]}.stages.{int(found[1]) - 1}.{int(found[2]) - 1}.{KIND[kind]}'
    if net == 'modulator' and (found := re.fullmatch(r'fc([678])', layer)):
        return f'visual.fcs.{int(found[1]) - 6}.{KIND[kind]}'
    if net == 'seg' and layer in SIDES:
        return f'segmentation.side_convs.{SIDES.index(layer)}.{KIND[kind]}'
    return f'segmentation.fuse.{KIND[kind]}' if net == 'seg' and layer == 'upscore-fuse' else None


def convert_file(source: str | Path, out: str | Path, head: str = 'propagation_head') -> str:
    """Convert the arrays of a released checkpoint, ``.npz`` or ``.pth``, for a model with an OSMNHead.

    Args:
        head: the head's key in the config.

    Returns:
        What was found and written, for the user.

    Raises:
        FileNotFoundError, CheckpointError: the file is missing, damaged or of another network.
    """
    count = convert_head_file(source, out, head, convert_state_dict, 'osmn_reference')
    return f'{source}: OSMN\nwrote {out}: {count} weights of {head}'
