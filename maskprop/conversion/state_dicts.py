"""State dicts: read safely from a file, told apart by the names of their weights, written."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskprop.engine.checkpoint import CheckpointError, load_checkpoint_file

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


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """The weights in a checkpoint, without ``module.`` prefixes.

    Args:
        path: what torch.save wrote, a state dict or a dict that has one under ``state_dict`` or ``model``; or
            ``.npz``, one array for each weight. Neither can run code: ``weights_only=True``,
            ``allow_pickle=False``.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: it is damaged, holds a class that isn't allowed, or no state dict.
    """
    if Path(path).suffix == '.npz':
        return as_tensors(_read_npz(path), f'checkpoint {path}')
    content = load_checkpoint_file(path)
    if isinstance(content, Mapping):
        nested = [content[name] for name in ('state_dict', 'model') if isinstance(content.get(name), Mapping)]
        content = nested[0] if nested else content
    return as_tensors(content, f'checkpoint {path}')


def _read_npz(path: str | Path) -> dict[str, np.ndarray]:
    if not Path(path).is_file():
        raise FileNotFoundError(f'checkpoint {path}: no such file')
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise CheckpointError(
            f'checkpoint {path}: cannot be read as .npz, an archive of one numeric array for each weight (it is '
            f'damaged, or holds pickled objects): {error}'
        ) from error


def as_tensors(state: Any, name: str) -> dict[str, Tensor]:
    """A state dict of tensors or numpy arrays as one of tensors, without ``module.`` prefixes.

    Raises:
        CheckpointError: it is no state dict.
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
            raise CheckpointError(f'{expected}, found {key!r}: {_describe(value)} among {_some(state)}')
        tensors[key.removeprefix('module.')] = value
    return tensors


def find_layout(state: Mapping[str, Tensor]) -> str | None:
    """Which project's names a state dict has, None if they are of none that is known."""
    for layout, beginnings in _LAYOUTS.items():
        if any(key.startswith(beginnings) for key in state):
            return layout
    return None


def describe_layout(state: Mapping[str, Tensor]) -> str:
    """What is found in a state dict, for errors: the layout and a few names."""
    layout = find_layout(state)
    return f'{"an unknown layout" if layout is None else f"the layout of {layout}"} ({_some(state)})'


def write_checkpoint(path: str | Path, state: Mapping[str, Tensor], meta: dict[str, Any]) -> None:
    """Write a checkpoint as mmengine's are: ``dict(state_dict=..., meta=...)``, under a temporary name first."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    try:
        torch.save(dict(state_dict=dict(state), meta=meta), temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_files(source: str | Path, out: str | Path) -> None:
    """Before long work: the source is there, and the output is a file of another name.

    Raises:
        FileNotFoundError: no such source.
        CheckpointError: the output cannot be written there.
    """
    if not Path(source).is_file():
        raise FileNotFoundError(f'checkpoint {source}: no such file')
    if Path(out).is_dir():
        raise CheckpointError(f'output {out}: is a folder; give the name of a file, such as {Path(out) / "x.pth"}')
    if Path(out).suffix != '.pth':
        raise CheckpointError(f'output {out}: expected a file name that ends in .pth')
    if Path(out).exists() and Path(out).samefile(source):
        raise CheckpointError(f'output {out}: is the source itself; give another name')


def _describe(value: Any) -> str:
    if isinstance(value, Mapping):
        return f'a dict of {_some(value)}' if value else 'an empty dict'
    return f'a {type(value).__name__}'


def _some(names: Mapping, count: int = 4) -> str:
    names = [str(name) for name in names]
    return ', '.join(names[:count]) + (f' and {len(names) - count} more' if len(names) > count else '')
