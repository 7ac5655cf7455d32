"""Checkpoints of the reference ObjProp and MaskTrack R-CNN (mmdet 0.x and 1.x) for this project's models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from maskprop.conversion.state_dicts import check_files, read_state_dict, write_checkpoint
from maskprop.engine.checkpoint import CheckpointError
from maskprop.engine.state_dicts import as_tensors, describe_layout


class _Group(NamedTuple):
    target: str  # prefix here
    layers: str  # regular expression: the layers that it may have
    required: tuple[str, ...]  # one weight of each layer that it must have


_NORM = r'\.(weight|bias|running_mean|running_var|num_batches_tracked)'
_LAYER = r'\.(weight|bias)'
GROUPS = {
    'backbone': _Group('detector.backbone', r'(conv1|bn1|layer\d)\..+', ('conv1', 'bn1', 'layer1.0.conv1')),
    'neck': _Group(
        'detector.neck', rf'(lateral|fpn)_convs\.\d+\.conv{_LAYER}', ('lateral_convs.0.conv', 'fpn_convs.0.conv')
    ),
    'rpn_head': _Group('detector.rpn_head', rf'rpn_(conv|cls|reg){_LAYER}', ('rpn_conv', 'rpn_cls', 'rpn_reg')),
    'bbox_head': _Group(
        'detector.roi_head.bbox_head', rf'(shared_fcs\.\d+|fc_cls|fc_reg){_LAYER}', ('fc_cls', 'fc_reg')
    ),
    'mask_head': _Group(
        'detector.roi_head.mask_head',
        rf'(convs\.\d+\.conv|upsample|conv_logits){_LAYER}',
        ('upsample', 'conv_logits'),
    ),
    'track_head': _Group('track_head.embed_head', rf'fcs\.\d+{_LAYER}', ('fcs.0',)),
    'prop_head': _Group(
        'attention_head',
        rf'(convs\.[036]|mask_convs\.\d+\.conv|upsample|conv_logits){_LAYER}|convs\.[14]{_NORM}',
        ('convs.0', 'convs.1', 'convs.3', 'convs.4', 'convs.6', 'mask_convs.0.conv', 'upsample', 'conv_logits'),
    ),
}
_EXPECTED = (
    'expected a reference ObjProp or MaskTrack R-CNN checkpoint in the layout of mmdet 0.x or 1.x: '
    + ', '.join(f'{group}.*' for group in list(GROUPS)[:-1])
    + ' and, for ObjProp, prop_head.*'
)


def convert_state_dict(
    state: Mapping[str, Any], partial: bool = False, name: str = 'the state dict'
) -> dict[str, Tensor]:
    """A reference state dict under this project's names, with classes in today's order.

    The reference counts the background as class 0, mmdet as the last class of the box head and nowhere else.

    Args:
        state: tensors or numpy arrays by name; class count and widths are whatever they are.
        partial: some of the groups (``backbone``, ``neck``, ``rpn_head``, ``bbox_head``, ``mask_head``,
            ``track_head``, ``prop_head``) may be absent. ``prop_head`` always may: MaskTrack R-CNN has none.
        name: of the checkpoint, for errors.

    Returns:
        ``detector.*``, ``track_head.embed_head.*`` and ``attention_head.*``; new tensors where values change.

    Raises:
        CheckpointError: it is in another layout, incomplete, or contradicts itself.
    """
    tensors = as_tensors(state, name)
    _check_names(tensors, partial, name)
    _check_rpn(tensors, name)
    infer_num_classes(tensors, name)  # raises where layers disagree
    converted = {}
    for key, value in tensors.items():
        group, _, rest = key.partition('.')
        converted[f'{GROUPS[group].target}.{rest}'] = _move_background(key, value)
    return converted


def absent_groups(state: Mapping[str, Any]) -> list[str]:
    """The groups of which a reference state dict has no weight."""
    present = {key.removeprefix('module.').partition('.')[0] for key in state}
    return [group for group in GROUPS if group not in present]


def infer_num_classes(state: Mapping[str, Tensor], name: str = 'the state dict') -> int | None:
    """Number of classes, without the background; None where no weight tells.

    Raises:
        CheckpointError: layers disagree.
    """
    rows = {key: len(value) for key, value in state.items() if _is_class_layer(key)}
    counts = {}
    for key, count in rows.items():
        layer = key.rpartition('.')[0]
        if layer == 'bbox_head.fc_reg':
            if count != 4:  # 4: the same box for every class
                counts[key] = count / 4 - 1
        elif layer != 'mask_head.conv_logits' or count != 1:  # 1: the same mask for every class
            counts[key] = count - 1
    if len(set(counts.values())) > 1 or any(count < 1 or count % 1 for count in counts.values()):
        listed = ', '.join(f'{key} has {rows[key]} rows' for key in counts)
        raise CheckpointError(
            f'{name}: its layers disagree about the number of classes: {listed}. Expected C + 1 (background '
            'first) in fc_cls and conv_logits, 4 (C + 1) or 4 in fc_reg'
        )
    return int(next(iter(counts.values()))) if counts else None


def convert_file(source: str | Path, out: str | Path, partial: bool = False) -> str:
    """Convert a reference checkpoint, ``.pth`` or ``.npz``.

    Returns:
        What was found and written, for the user.

    Raises:
        FileNotFoundError, CheckpointError: see :func:`read_state_dict`, :func:`convert_state_dict`.
    """
    check_files(source, out)
    state = read_state_dict(source)
    converted = convert_state_dict(state, partial, f'checkpoint {source}')
    absent = absent_groups(state)
    num_classes = infer_num_classes(state)
    # The classes' names aren't recorded: YouTube-VIS 2019 and 2021 both have 40, in different orders.
    write_checkpoint(out, converted, dict(converted_from='objprop_reference', num_classes=num_classes))
    lines = [f'{source}: {"MaskTrack R-CNN" if "prop_head" in absent else "ObjProp"}, {num_classes} classes']
    if absent:
        lines.append(f'absent: {", ".join(absent)}')
    if len(state.get('bbox_head.fc_reg.bias', ())) == 4:
        lines.append('class-agnostic boxes: set model.detector.roi_head.bbox_head.reg_class_agnostic=True')
    if len(state.get('mask_head.conv_logits.bias', ())) == 1:
        lines.append('class-agnostic masks: set model.detector.roi_head.mask_head.class_agnostic=True')
    return '\n'.join([*lines, f'wrote {out}: {len(converted)} weights'])


def _check_names(state: Mapping[str, Tensor], partial: bool, name: str) -> None:
    unknown = [key for key in state if key.partition('.')[0] not in GROUPS]
    if unknown or not any(key.partition('.')[2] for key in state):
        raise CheckpointError(f'{name}: {_EXPECTED}. Found {describe_layout(state)}{_advice(unknown)}')
    for key in state:
        group, _, rest = key.partition('.')
        if not re.fullmatch(GROUPS[group].layers, rest):
            unknown.append(key)
    if unknown:
        more = f' and {len(unknown) - 4} more' if len(unknown) > 4 else ''
        raise CheckpointError(
            f'{name}: {_EXPECTED}. Found weights that the two have not: {", ".join(unknown[:4])}{more}'
        )
    absent = absent_groups(state)
    missing = [group for group in absent if group != 'prop_head']
    if missing and not partial:
        raise CheckpointError(
            f'{name}: {_EXPECTED}. It lacks {", ".join(missing)}. To convert what there is, give --partial'
        )
    for group, (_, _, required) in GROUPS.items():
        kinds = ('weight',) if group == 'backbone' else ('weight', 'bias')
        wanted = [f'{group}.{layer}.{kind}' for layer in required for kind in kinds]
        lacking = [key for key in wanted if key not in state]
        if lacking and group not in absent:
            raise CheckpointError(f'{name}: {group} is incomplete, it lacks {", ".join(lacking)}')


def _advice(unknown: list[str]) -> str:
    if any(key.startswith(('detector.', 'attention_head.', 'propagation_head.')) for key in unknown):
        return '. If this project wrote it, use it as it is'
    if any(key.startswith('roi_head.') for key in unknown):
        return '. A detector of mmdet 2.x or 3.x needs no converter: give it as load_from (docs/checkpoints.md)'
    if any(key.startswith(('roi_heads.', 'rpn.')) for key in unknown):
        return '. For torchvision: use tools/model_converters/torchvision_maskrcnn.py'
    return ''


def _check_rpn(state: Mapping[str, Tensor], name: str) -> None:
    if 'rpn_head.rpn_cls.bias' not in state:
        return
    scores, deltas = len(state['rpn_head.rpn_cls.bias']), len(state['rpn_head.rpn_reg.bias'])
    if deltas != 4 * scores:
        raise CheckpointError(
            f'{name}: rpn_head has {scores} scores and {deltas} box deltas a cell, expected one score for four '
            'deltas (an RPN with two scores an anchor, of use_sigmoid_cls=False, cannot be converted)'
        )


def _is_class_layer(key: str) -> bool:
    return bool(re.fullmatch(r'(bbox_head\.fc_(cls|reg)|(mask|prop)_head\.conv_logits)\.(weight|bias)', key))


def _move_background(key: str, value: Tensor) -> Tensor:
    """Moves or drops the rows of the background, which come first in the reference."""
    if not _is_class_layer(key):
        return value
    layer = key.rpartition('.')[0]
    if layer == 'bbox_head.fc_cls':
        return torch.cat([value[1:], value[:1]])
    if layer == 'bbox_head.fc_reg':
        return value if len(value) == 4 else value[4:].clone()
    return value if len(value) == 1 else value[1:].clone()
