"""One copy of a data set's list for all that load the same file: twice in a process, or in several on a machine.

mmengine keeps the list of a data set as bytes in one array, which the data workers that a process forks share
with it. Here a second data set of the process takes the array of the first, and the ranks of a machine map the
memory of the one that was first to load: it is read-only, has no name in the file system, and goes with the last
process, however that ends. Where a system cannot do that each process loads its own, as with mmengine.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import pickle
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
from mmengine.dataset import BaseDataset

from maskprop import __version__
from maskprop.utils.folder_lock import hold_folder
from maskprop.utils.processes import count_processes

_OWN = ('pipeline', 'data_list', 'data_bytes', 'data_address')  # what a data set does not take from another one
_POLL = 0.1  # seconds between two looks for the process that loads

_held: dict[str, tuple[bytes, weakref.ref[np.ndarray]]] = {}  # by key: what _state gave, and data_bytes


def load_once(dataset: BaseDataset, load: Callable[[], None]) -> None:
    """Load a data set, or give it what was loaded from the same file with the same options.

    Args:
        dataset: built, and not yet loaded. Its list goes into ``data_bytes`` and ``data_address``.
        load: loads it.
    """
    key = _key(dataset)
    if key is None:
        load()
    elif not _take(dataset, key):
        if count_processes() > 1 and hasattr(os, 'memfd_create'):
            _load_for_all(dataset, load, key)
        else:
            load()
        _keep(dataset, key)


def _key(dataset: BaseDataset) -> str | None:
    """Of the file as it is now, and of all options; None if the list cannot be shared."""
    if not dataset.serialize_data:
        return None
    try:
        file = os.stat(dataset.ann_file)
    except (OSError, TypeError, ValueError):  # elsewhere than on a disk, or missing
        return None
    options = {name: value for name, value in vars(dataset).items() if name not in _OWN}
    identity = file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns
    text = json.dumps([__version__, type(dataset).__qualname__, identity, options], default=repr, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _state(dataset: BaseDataset) -> bytes | None:
    """What loading has set, but for the list; None if an attribute of a subclass cannot be copied."""
    try:
        return pickle.dumps(
            ({name: value for name, value in vars(dataset).items() if name not in _OWN}, dataset.data_address)
        )
    except (AttributeError, TypeError, pickle.PicklingError):
        return None


def _keep(dataset: BaseDataset, key: str) -> None:
    """For a data set that comes later, as long as this one lives."""
    if (state := _state(dataset)) is not None:
        _held[key] = state, weakref.ref(dataset.data_bytes)


def _take(dataset: BaseDataset, key: str) -> bool:
    state, reference = _held.get(key, (b'', None))
    array = reference() if reference is not None else None
    if array is None:
        _held.pop(key, None)
        return False
    _fill(dataset, state, array)
    return True


def _fill(dataset: BaseDataset, state: bytes | memoryview, array: np.ndarray) -> None:
    attributes, address = pickle.loads(state)
    vars(dataset).update(attributes, data_list=[], data_address=address, data_bytes=array)


def _load_for_all(dataset: BaseDataset, load: Callable[[], None], key: str) -> None:
    """Map what another process of this machine has loaded; if none has, load it and let the others map it."""
    with contextlib.ExitStack() as stack:
        try:
            folder = _private_folder()
            stack.enter_context(hold_folder(folder, lambda _: None, _POLL, f'{key}.lock'))
        except OSError:  # of somebody else, or the one who loads hangs
            load()
            return
        note = folder / f'{key}.json'
        if not _map(dataset, note):
            load()
            _publish(dataset, note)


def _private_folder() -> Path:
    """Of this user only, since what is found by its files is unpickled.

    Raises:
        OSError: there is a folder of the name that is somebody else's.
    """
    folder = Path(tempfile.gettempdir()) / f'maskprop-{os.getuid()}'
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not folder.is_dir() or folder.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise PermissionError(f'{folder}: not a folder of this user alone')
    return folder


def _publish(dataset: BaseDataset, note: Path) -> None:
    """Move the bytes into memory that has no name, and note where other processes find it."""
    head = _state(dataset)
    if head is None:
        return
    descriptor = os.memfd_create(f'maskprop-{note.stem[:8]}')
    try:
        with os.fdopen(os.dup(descriptor), 'wb') as file:
            file.write(len(head).to_bytes(8, 'little') + head)
            file.write(memoryview(dataset.data_bytes))
    except OSError:  # no memory left for a copy
        os.close(descriptor)
        return
    array = _mapped(descriptor)
    dataset.data_bytes = array[8 + len(head) :]
    inode = os.fstat(descriptor).st_ino
    note.write_text(json.dumps(dict(pid=os.getpid(), descriptor=descriptor, inode=inode)), encoding='ascii')
    weakref.finalize(array, _withdraw, note, descriptor, os.getpid())


def _withdraw(note: Path, descriptor: int, pid: int) -> None:
    os.close(descriptor)
    if os.getpid() == pid:  # and not a data worker
        note.unlink(missing_ok=True)


def _map(dataset: BaseDataset, note: Path) -> bool:
    """Take what the note tells of; False if its process is gone."""
    try:
        place = json.loads(note.read_text(encoding='ascii'))
        with open(f'/proc/{place["pid"]}/fd/{place["descriptor"]}', 'rb') as file:
            status = os.fstat(file.fileno())
            # another process may have got the number
            if status.st_ino != place['inode'] or status.st_uid != os.getuid() or status.st_nlink:
                return False
            array = _mapped(file.fileno())
    except (OSError, ValueError, KeyError, TypeError):
        return False
    start = 8 + int.from_bytes(array[:8].tobytes(), 'little')
    _fill(dataset, memoryview(array)[8:start], array[start:])
    return True


def _mapped(descriptor: int) -> np.ndarray:
    """(n,) uint8, read-only."""
    return np.frombuffer(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ), dtype=np.uint8)
