"""Checkpoints are read with ``weights_only=True``, always: a checkpoint can hold arrays, never code to run.

mmengine reads them with ``weights_only=True`` first but falls back to ``weights_only=False`` by itself, and
reads downloads without it. :func:`install_safe_loading` (called on import) closes both ways, so everything
built on mmengine (``Runner.resume``, ``load_from``, ``init_cfg=dict(type='Pretrained')``, ``init_detector``)
is safe too.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer
from mmengine.runner import checkpoint as mmengine_checkpoint

from maskprop.engine.deprecation import with_current_names
from maskprop.engine.errors import CheckpointError
from maskprop.engine.model_files import PUBLISHED_SUFFIX, is_published, local_checkpoint
from maskprop.engine.published import read_published
from maskprop.utils.json_values import marked_content
from maskprop.zoo import download

MapLocation: TypeAlias = 'str | torch.device | Callable | None'

_CHUNK = 2**20  # bytes of a record that are in memory while its sum is computed
_DTYPES = 'bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64'.split()


def _history_buffer_method(owner: type, name: str) -> Callable:
    """Stands in for ``getattr``, by which mmengine's HistoryBuffer pickles its own statistics methods."""
    if owner is not HistoryBuffer or name not in ('min', 'max', 'mean', 'current'):
        raise UnpicklingError(
            f'Unsupported global: GLOBAL {getattr(owner, "__name__", owner)}.{name} was not an allowed global '
            'by default.'
        )
    return getattr(owner, name)


def allowed_classes() -> list[Any]:
    """What mmengine's checkpoints hold beside tensors and plain containers, and nothing more.

    HistoryBuffer (the message hub's logs), numpy arrays, scalars and numeric dtypes, under the names that
    numpy 1 and numpy 2 pickle them by.
    """
    multiarray = np._core.multiarray if hasattr(np, '_core') else np.core.multiarray
    names: list[Any] = [HistoryBuffer, np.ndarray, np.dtype, (_history_buffer_method, 'builtins.getattr')]
    names += [type(np.dtype(name)) for name in _DTYPES]
    for package in ('numpy.core', 'numpy._core'):
        for function in ('_reconstruct', 'scalar'):
            names.append((getattr(multiarray, function), f'{package}.multiarray.{function}'))
    return names


def load_checkpoint_file(file: str | os.PathLike | BinaryIO, map_location: MapLocation = 'cpu') -> Any:
    """Read a checkpoint, with ``weights_only=True``.

    Args:
        file: as of :func:`local_checkpoint`, or a binary file object.
        map_location: as in :func:`torch.load`.

    Raises:
        DownloadError, FileNotFoundError: as of :func:`local_checkpoint`.
        CheckpointError: the file is damaged or not a checkpoint, or holds a class that isn't allowed; nothing
            of it has been run.
    """
    _check_torch_version()
    name = str(file) if isinstance(file, str | os.PathLike) else getattr(file, 'name', 'the checkpoint')
    if isinstance(file, str | os.PathLike):
        file = local_checkpoint(file)
        if is_published(file):
            return _load_published(file, map_location)
    try:
        _check_sums(file, name)
        with torch.serialization.safe_globals(allowed_classes()):
            return with_current_names(torch.load(file, map_location=map_location, weights_only=True))
    except CheckpointError:
        raise
    except Exception as error:  # what a damaged file raises is anything: RuntimeError, EOFError, KeyError, ...
        if isinstance(file, Path) and (other := _other_file(file)):
            raise CheckpointError(f'checkpoint {name}: cannot be read: {other}') from None
        if isinstance(error, UnpicklingError):
            raise CheckpointError(_explain(name, str(error))) from None
        reason = f'{type(error).__name__}: {str(error).partition(". ")[0]}'  # torch's go on with general advice
        raise CheckpointError(_damaged(name, reason)) from error


def _check_sums(file: Path | BinaryIO, name: str) -> None:
    """See that the records of a checkpoint have the CRC-32 that was written with them; torch.load doesn't look.

    Files of before torch 1.6 are no zips and have no sums. Those of ``set_crc32_options(False)`` have 0 for all.

    Raises:
        CheckpointError: a record is damaged. BadZipFile, ValueError, OSError, NotImplementedError: the list of
            records is.
    """
    with file.open('rb') if isinstance(file, Path) else nullcontext(file) as opened:
        start = opened.tell()
        is_zip = opened.read(4) == b'PK\x03\x04'  # as torch.load tells them
        if is_zip:
            with zipfile.ZipFile(opened) as archive:
                for record in archive.infolist():
                    if record.CRC:
                        _read_through(archive, record, name)
        opened.seek(start)


def _read_through(archive: zipfile.ZipFile, record: zipfile.ZipInfo, name: str) -> None:
    try:
        with archive.open(record) as opened:
            while opened.read(_CHUNK):
                pass
    except Exception as error:  # BadZipFile of a wrong sum; anything of a damaged header
        raise CheckpointError(
            f'checkpoint {name}: its record {record.filename} is damaged ({error}). Copy or download it again, or '
            'use another one, as that of an earlier epoch'
        ) from error


def _load_published(file: Path, map_location: MapLocation) -> dict[str, Any]:
    try:
        return with_current_names(read_published(file, map_location))
    except ValueError as error:
        raise CheckpointError(_damaged(str(file), str(error))) from error


def _check_torch_version() -> None:
    # Before 2.6 weights_only=True could be broken out of (CVE-2025-32434).
    if tuple(int(part) for part in re.findall(r'\d+', torch.__version__)[:2]) < (2, 6):
        raise CheckpointError(
            f'torch {torch.__version__} cannot read checkpoints safely (CVE-2025-32434); install torch 2.6 or '
            'later'
        )


def _explain(name: str, message: str) -> str:
    found = re.search(r'GLOBAL ([\w.]+)', message) or re.search(r"but got <class '([\w.]+)'>", message)
    if found is None:
        reason = message.partition('WeightsUnpickler error:')[2].strip().partition('\n')[0]
        return _damaged(name, reason or message.partition('. ')[0])
    return (
        f'checkpoint {name}: refused, it holds {found[1]}, which is not among the classes that a checkpoint of '
        'mmengine may hold. Loading it could run code hidden in the file. If you trust where it comes from, '
        'load it yourself, keep its weights only and save them again: '
        "torch.save(dict(state_dict=checkpoint['state_dict']), NEW)"
    )


def _other_file(file: Path) -> str | None:
    """What a file is that is no checkpoint, and what to do, if its beginning or its contents say so."""
    with file.open('rb') as opened:
        start = opened.read(64)
    if not start:
        return 'it is empty. Copy or download it again, or use another one'
    if start[8:9] == b'{' and int.from_bytes(start[:8], 'little') < file.stat().st_size:
        return f'it is a safetensors file: rename it to {file.stem}{PUBLISHED_SUFFIX}'
    try:
        if not zipfile.is_zipfile(file):
            return None if start.startswith(b'PK') else marked_content(start)  # a checkpoint cut short is no zip
        with zipfile.ZipFile(file) as archive:
            names = [name.rpartition('/')[2] for name in archive.namelist()]
    except (ValueError, OSError, zipfile.BadZipFile, NotImplementedError):  # a damaged list of what is in it
        return None
    if 'constants.pkl' in names:
        return 'it is a TorchScript program, which holds code. Use the checkpoint that it was made of'
    return None if 'data.pkl' in names else 'it is a zip of other files: unpack it and give the checkpoint in it'


def _damaged(name: str, reason: str) -> str:
    return (
        f'checkpoint {name}: cannot be read, it is damaged (cut short while it was written or copied?) or not a '
        f'checkpoint. Use another one or copy it again. ({reason})'
    )


def load_url(
    url: str,
    model_dir: str | None = None,
    map_location: MapLocation = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
) -> Any:
    """Like :func:`torch.hub.load_state_dict_from_url` but always ``weights_only=True``.

    A file already in the cache is not downloaded again; the digest in a file's name is always checked.

    Raises:
        DownloadError: as :func:`maskprop.zoo.downloads.download`.
        CheckpointError: as :func:`load_checkpoint_file`.
    """
    return load_checkpoint_file(download(url, folder=model_dir, name=file_name, progress=progress), map_location)


def saved_classes(checkpoint: Mapping[str, Any]) -> dict[str, list]:
    """Class names, and category ids if they are there too, by which the checkpoint was trained; {} if it has none.

    mmengine's ``meta/dataset_meta``, or ``meta/CLASSES`` of files of before 2023.
    """
    meta = checkpoint.get('meta') or {}
    saved = {key.lower(): value for key, value in (meta.get('dataset_meta') or meta).items()}
    return {key: list(saved[key]) for key in ('classes', 'category_ids') if saved.get(key)}


def _safe_torch_load(
    file: str | BinaryIO, map_location: MapLocation = None, weights_only: bool | None = None
) -> Any:
    """Takes the place of mmengine's; ``weights_only=False`` is not to be had."""
    return load_checkpoint_file(file, map_location)


def install_safe_loading() -> None:
    """Make every checkpoint loader of mmengine read by :func:`load_checkpoint_file`.

    All its schemes (local, http, torchvision, open-mmlab, mmcls, ceph, pavi) end in one of two functions of
    ``mmengine.runner.checkpoint``: ``_safe_torch_load`` or ``load_url``. Replacing those two covers them all,
    also the ones that call each other by name, which ``CheckpointLoader.register_scheme`` would miss.
    """
    mmengine_checkpoint._safe_torch_load = _safe_torch_load
    mmengine_checkpoint.load_url = load_url


install_safe_loading()
