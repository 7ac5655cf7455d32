"""Checkpoints of the reference STEm-Seg for this project's model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from maskprop.conversion.state_dicts import check_files, read_state_dict, write_checkpoint
from maskprop.engine.checkpoint import CheckpointError
from maskprop.engine.state_dicts import as_tensors, describe_layout

_DECODER = r'(block_(?:32|16|8|4)x\.\d+|conv_(?:16|8|4)|conv_\w+)\.(?:weight|bias)'
_NORM = 'weight|bias|running_mean|running_var'
# what is found there, its name here
_NAMES = (
    (re.compile(rf'backbone\.body\.stem\.((?:conv1|bn1)\.(?:{_NORM}))'), r'backbone.\1'),
    (re.compile(rf'backbone\.body\.(layer\d\..+\.(?:{_NORM}))'), r'backbone.\1'),
    (re.compile(r'backbone\.fpn\.fpn_inner(\d)\.(weight|bias)'), r'neck.lateral_convs.{}.conv.\2'),
    (re.compile(r'backbone\.fpn\.fpn_layer(\d)\.(weight|bias)'), r'neck.fpn_convs.{}.conv.\2'),
    (re.compile(rf'embedding_head\.({_DECODER})'), r'embedding_head.\1'),
    (re.compile(rf'semseg_head\.({_DECODER})'), r'class_head.\1'),
    (re.compile(rf'seediness_head\.({_DECODER})'), r'seediness_head.\1'),
)
_BUFFERS = ('embedding_head.time_scale', 'embedding_loss_criterion.free_dim_bandwidths')  # constants here
_PARTS = ('backbone.conv1.weight', 'neck.lateral_convs.0.conv.weight')
_HEADS = ('embedding_head.conv_embedding.weight', 'class_head.conv_out.weight')


def convert_state_dict(
    state: Mapping[str, Any], partial: bool = False, name: str = 'the state dict'
) -> dict[str, Tensor]:
    """A reference state dict under this project's names; no value changes.

    Args:
        state: tensors or numpy arrays by name.
        partial: backbone and FPN may be absent.
        name: of the checkpoint, for errors.

    Returns:
        ``backbone.*``, ``neck.*``, ``embedding_head.*``, ``class_head.*`` and, of a model for DAVIS,
        ``seediness_head.*``.

    Raises:
        CheckpointError: it is in another layout, or incomplete.
    """
    tensors = {key: value for key, value in as_tensors(state, name).items() if key not in _BUFFERS}
    names = {key: renamed for key in tensors if (renamed := _rename(key)) is not None}
    unknown = [key for key in tensors if key not in names]
    converted = {renamed: tensors[key] for key, renamed in names.items()}
    if unknown:
        raise CheckpointError(
            f'{name}: expected a checkpoint of STEm-Seg (backbone.body, backbone.fpn, embedding_head, '
            f'semseg_head), found {describe_layout(tensors)}, of which {unknown[0]} is unknown'
        )
    missing = [key for key in ((() if partial else _PARTS) + _HEADS) if key not in converted]
    if missing:
        raise CheckpointError(
            f'{name}: expected a checkpoint of STEm-Seg, but what is here {missing[0]} is missing there'
            + ('' if partial else '; --partial does without backbone and FPN')
        )
    return converted


def _rename(key: str) -> str | None:
    for pattern, target in _NAMES:
        if match := pattern.fullmatch(key):
            name = match.expand(target)
            return name.format(int(match[1]) - 1) if '{}' in name else name
    return None


def convert_file(source: str | Path, out: str | Path, partial: bool = False) -> str:
    """Convert a reference checkpoint, ``.pth`` or ``.npz``.

    Returns:
        What was found and written, for the user.

    Raises:
        FileNotFoundError, CheckpointError: see :func:`read_state_dict`, :func:`convert_state_dict`.
    """
    check_files(source, out)
    converted = convert_state_dict(read_state_dict(source), partial, f'checkpoint {source}')
    num_classes = len(converted['class_head.conv_out.weight']) - 2
    write_checkpoint(out, converted, dict(converted_from='stem_seg_reference', num_classes=num_classes))
    return f'{source}: STEm-Seg, {num_classes} classes\nwrote {out}: {len(converted)} weights'
