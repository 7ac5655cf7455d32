"""State dicts: read safely from a file, told apart by the names of their weights, written."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskprop.engine.checkpoint import CheckpointError, load_checkpoint_file
from maskprop.engine.state_dicts import as_tensors, find_weights
from maskprop.utils.files import replace_when_done


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """The weights in a checkpoint, without ``module.`` prefixes.

    Args:
        path: what torch.save wrote, a state dict or a dict that has one, see
            :func:`~maskprop.engine.state_dicts.find_weights`; or ``.npz``, one array for each weight. Neither can
            run code: ``weights_only=True``, ``allow_pickle=False``.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: it is damaged, holds a class that isn't allowed, or no state dict.
    """
    if Path(path).suffix == '.npz':
        return as_tensors(_read_npz(path), f'checkpoint {path}')
    return find_weights(load_checkpoint_file(path), f'checkpoint {path}')


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


def write_checkpoint(path: str | Path, state: Mapping[str, Tensor], meta: dict[str, Any]) -> None:
    """Write a checkpoint as mmengine's are: ``dict(state_dict=..., meta=...)``, under a temporary name first."""
    content = io.BytesIO()  # in a file torch's error of a full disk would be no OSError
    torch.save(dict(state_dict=dict(state), meta=meta), content)
    with replace_when_done(path) as temporary:
        temporary.write_bytes(content.getbuffer())


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


def convert_head_file(
    source: str | Path,
    out: str | Path,
    head: str,
    convert: Callable[[Mapping[str, Any], str], Mapping[str, Tensor]],
    origin: str,
) -> int:
    """Convert a checkpoint to that of one head of a model.

    Args:
        source: ``.npz`` or ``.pth``. out: is written. head: the head's key in the config.
        convert: from the state dict and its name in messages to the head's. origin: of the weights, for ``meta``.

    Returns:
        how many weights were written.

    Raises:
        FileNotFoundError, CheckpointError: the file is missing, damaged or of another network.
    """
    check_files(source, out)
    converted = convert(read_state_dict(source), f'checkpoint {source}')
    state = {f'{head}.{key}': value for key, value in converted.items()}
    write_checkpoint(out, state, dict(converted_from=origin))
    return len(state)
