"""State dicts: found in a checkpoint's content, whoever wrote it, and told apart by the names of their weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskprop.engine.checkpoint import CheckpointError

# Where a checkpoint has its weights; the first that is there counts. mmengine's EMAHook saves the average under
# state_dict.
PLACES = ('state_dict', 'model', 'ema_state_dict', 'model_ema')
_OF_FLOATS = ('weight', 'bias', 'running_mean', 'running_var')
MMDET_1, MMDET_3, TORCHVISION = 'mmdet 0.x or 1.x', 'mmdet 2.x or 3.x', 'torchvision detection'
# Of each layout: beginnings of names that no other one has. The first that fits decides.
_LAYOUTS = {
    'this project': (
        'detector.',
        'track_head.embed_head.',
        'attention_head.',
        'propagation_head.',
    ),
    TORCHVISION: ('backbone.body.', 'roi_heads.', 'rpn.head.'),
    'detectron2': ('backbone.bottom_up.', 'backbone.fpn_', 'proposal_generator.'),
    MMDET_3: ('roi_head.',),
    MMDET_1: ('bbox_head.fc_', 'bbox_head.0.', 'mask_head.conv_logits.', 'track_head.fcs.', 'prop_head.'),
    'mmdet one-stage or query detector': ('bbox_head.', 'panoptic_head.', 'mask_head.'),
    'image classifier': ('conv1.', 'layer1.', 'features.', 'stem.', 'patch_embed.'),
}


def find_weights(content: Any, name: str) -> dict[str, Tensor]:
    """The weights in a checkpoint's content, without ``module.`` prefixes.

    Args:
        content: a state dict, or a dict that has one under a key of ``PLACES``.
        name: of the checkpoint, for errors.

    Raises:
        CheckpointError: there is no state dict.
    """
    if isinstance(content, Mapping):
        content = next((content[key] for key in PLACES if isinstance(content.get(key), Mapping)), content)
    return as_tensors(content, name)


def as_tensors(state: Any, name: str) -> dict[str, Tensor]:
    """A state dict of tensors or numpy arrays as one of tensors, without ``module.`` prefixes.

    Raises:
        CheckpointError: it is no state dict, or one of nan, of integers, or without values.
    """
    expected = f'{name}: expected a state dict, that is names with tensors or arrays'
    if not isinstance(state, Mapping):
        raise CheckpointError(f'{expected}, found {_describe(state)}')
    if not state:
        raise CheckpointError(f'{expected}, found an empty one')
    tensors = {}
    for key, value in state.items():
        if isinstance(value, np.ndarray):
            try:
                value = torch.from_numpy(np.array(value))  # a copy: arrays may be read-only
            except TypeError:
                value = value.tolist()
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(f'{expected}, found {key!r}: {_describe(value)} among {list_some(state)}')
        if fault := _fault(key, value):
            raise CheckpointError(f'{name}: {key}: {fault}; it cannot be used. Take another checkpoint')
        tensors[key.removeprefix('module.')] = value
    return tensors


def _fault(key: str, value: Tensor) -> str | None:
    """Why a model would make nothing of a tensor, and not say so; None if it has no fault."""
    if value.is_meta:
        return 'a tensor without its values (device meta)'
    if value.layout != torch.strided or value.is_quantized:
        return f'a tensor of layout {value.layout} and type {value.dtype}'
    if value.is_complex() or (key.endswith(_OF_FLOATS) and not value.is_floating_point()):
        return f'a weight of type {value.dtype}'
    if value.is_floating_point() and (nans := int(value.isnan().sum())):
        return f'nan in {nans} of {value.numel()} places, as after a training that diverged'
    return None


def find_layout(state: Iterable[str]) -> str | None:
    """Which project's names a state dict has, None if they are of none that is known."""
    for layout, beginnings in _LAYOUTS.items():
        if any(key.startswith(beginnings) for key in state):
            return layout
    return None


def describe_layout(state: Mapping[str, Any]) -> str:
    """What is found in a state dict, for errors: the layout and a few names."""
    layout = find_layout(state)
    return f'{"an unknown layout" if layout is None else f"the layout of {layout}"} ({list_some(state)})'


def list_some(names: Iterable[Any], most: int = 4) -> str:
    """The first of some names, and how many more there are."""
    names = [str(name) for name in names]
    return ', '.join(names[:most]) + (f' and {len(names) - most} more' if len(names) > most else '')


def _describe(value: Any) -> str:
    if isinstance(value, Mapping):
        return f'a dict of {list_some(value)}' if value else 'an empty dict'
    return f'a {type(value).__name__}'
