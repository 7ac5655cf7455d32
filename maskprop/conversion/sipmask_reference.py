"""Checkpoints of the published SipMask and SipMask-VIS (mmdet 1.0) for this project's models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from maskprop.conversion.state_dicts import check_files, read_state_dict, write_checkpoint
from maskprop.engine.checkpoint import CheckpointError
from maskprop.engine.state_dicts import as_tensors, describe_layout
from maskprop.methods.sipmask.feature_align import KERNEL

HEAD = 'detector.bbox_head.'
# layer of the reference -> layer here; those that are absent keep their names in the detector's head
LAYERS = {
    'fcos_cls': f'{HEAD}conv_cls',
    'fcos_reg': f'{HEAD}conv_reg',
    'fcos_centerness': f'{HEAD}conv_centerness',
    'sip_cof': f'{HEAD}conv_coefficients',
    'sip_mask_lat0': f'{HEAD}basis_conv1',
    'sip_mask_lat': f'{HEAD}basis_conv2',
    'sipmask_track': 'track_head.conv_embed',
    'fovea_track': 'track_head.conv_embed',  # an earlier name
}
OWN = r'(cls_convs|reg_convs)\.\d+\.(conv|gn)|scales\.\d+|feat_align\.(conv_offset|conv_adaption|norm)'
TRACK = r'track_convs\.\d+\.(conv|gn)'
_BACKBONE = r'backbone\.(conv1|bn1|layer\d)\..+|neck\.(lateral|fpn)_convs\.\d+\.conv\.(weight|bias)'
REQUIRED = ('fcos_cls', 'fcos_reg', 'fcos_centerness', 'sip_cof', 'sip_mask_lat0', 'sip_mask_lat')
_EXPECTED = (
    'expected a SipMask or SipMask-VIS checkpoint of mmdet 1.0: backbone.*, neck.*, bbox_head.* with sip_cof'
)


def convert_state_dict(
    state: Mapping[str, Any], name: str = 'the state dict', partial: bool = False
) -> dict[str, Tensor]:
    """A reference state dict under this project's names; no value changes, as its classes have no background row.

    Args:
        state: tensors or numpy arrays by name; depths, widths and kernel sizes are whatever they are.
        name: of the checkpoint, for errors.
        partial: backbone and neck may be absent.

    Returns:
        ``detector.*`` and, of SipMask-VIS, ``track_head.*``.

    Raises:
        CheckpointError: it is in another layout, has a layer that is not known, or lacks one.
    """
    tensors = as_tensors(state, name)
    names = {key: converted for key in tensors if (converted := _converted_name(key)) is not None}
    unknown = [key for key in tensors if key not in names]
    if unknown:
        raise CheckpointError(f'{name}: {_EXPECTED}. Found {describe_layout({key: 0 for key in unknown})}')
    wanted = [f'bbox_head.{layer}.weight' for layer in REQUIRED]
    if not partial:
        wanted += ['backbone.conv1.weight', 'neck.lateral_convs.0.conv.weight']
    missing = [key for key in wanted if key not in tensors]
    if missing:
        raise CheckpointError(f'{name}: {_EXPECTED}. It lacks {", ".join(missing)}')
    return {names[key]: value for key, value in tensors.items()}


def _converted_name(key: str) -> str | None:
    """None: there is no such weight."""
    if re.fullmatch(_BACKBONE, key):
        return f'detector.{key}'
    group, _, rest = key.partition('.')
    layer, _, kind = rest.rpartition('.')
    if group != 'bbox_head' or kind not in ('weight', 'bias', 'scale'):
        return None
    if layer in LAYERS:
        return f'{LAYERS[layer]}.{kind}'
    if re.fullmatch(TRACK, layer):
        return f'track_head.{rest}'
    return f'{HEAD}{rest}' if re.fullmatch(OWN, layer) else None


def architecture(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The keys of a config, below ``model``, that fit converted weights; heads alone suffice."""
    head = 'detector.bbox_head'
    keys = {
        f'{head}.num_classes': len(state[f'{HEAD}conv_cls.weight']),
        f'{head}.in_channels': state[f'{HEAD}reg_convs.0.conv.weight'].shape[1],
        f'{head}.feat_channels': len(state[f'{HEAD}reg_convs.0.conv.weight']),
        f'{head}.stacked_convs': _depth(state, f'{HEAD}reg_convs.'),
        f'{head}.align_groups': len(state[f'{HEAD}feat_align.conv_offset.weight']) // (2 * KERNEL**2),
        f'{head}.num_bases': len(state[f'{HEAD}basis_conv2.weight']),
        f'{head}.basis_channels': len(state[f'{HEAD}basis_conv1.weight']),
        f'{head}.basis_kernel': state[f'{HEAD}basis_conv1.weight'].shape[-1],
    }
    if 'track_head.conv_embed.weight' in state:
        keys |= {
            'track_head.in_channels': state['track_head.track_convs.0.conv.weight'].shape[1],
            'track_head.feat_channels': len(state['track_head.track_convs.0.conv.weight']),
            'track_head.stacked_convs': _depth(state, 'track_head.track_convs.'),
            'track_head.embed_channels': len(state['track_head.conv_embed.weight']),
            'track_head.kernel_size': state['track_head.conv_embed.weight'].shape[-1],
        }
    return keys


def _depth(state: Mapping[str, Tensor], prefix: str) -> int:
    return len({key.removeprefix(prefix).partition('.')[0] for key in state if key.startswith(prefix)})


def convert_file(source: str | Path, out: str | Path) -> str:
    """Convert a whole checkpoint, ``.pth`` or ``.npz``.

    Returns:
        What was found and written, for the user: also the keys of a config that fit it.

    Raises:
        FileNotFoundError, CheckpointError: see :func:`read_state_dict`, :func:`convert_state_dict`.
    """
    check_files(source, out)
    converted = convert_state_dict(read_state_dict(source), f'checkpoint {source}')
    keys = architecture(converted)
    num_classes = keys['detector.bbox_head.num_classes']
    # The classes' names aren't recorded: YouTube-VIS 2019 and 2021 both have 40, in different orders.
    write_checkpoint(out, converted, dict(converted_from='sipmask_reference', num_classes=num_classes))
    kind = 'SipMask-VIS' if 'track_head.kernel_size' in keys else 'SipMask, without tracking'
    options = ' '.join(f'model.{key}={value}' for key, value in keys.items() if not key.endswith('num_classes'))
    return '\n'.join(
        [
            f'{source}: {kind}, {num_classes} classes',
            f'its config has: {options}',
            f'wrote {out}: {len(converted)} weights',
        ]
    )
