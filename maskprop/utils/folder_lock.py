"""One process at a time in a folder, on any number of machines that share it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from maskprop.utils.files import name_in_errors

BEAT = 20.0  # seconds between two signs of life
SILENT = 120.0  # so many without one: the holder hangs, or is stopped


class FolderInUse(OSError):
    """Another process holds the folder, and is not, or no longer, waited for."""


@contextlib.contextmanager
def hold_folder(
    folder: Path,
    say: Callable[[str], None] = print,
    poll: float = 2.0,
    name: str = 'lock',
    wait: bool = True,
) -> Iterator[float]:
    """Hold the kernel's lock on ``folder/name`` while the block runs; waits for another process that holds it.

    The kernel (on a network file system its server) releases the lock when its process ends, however it ends.
    The file says which host and process holds it; one that is left over is of a holder that died. A holder that
    is stopped keeps the lock, and is not waited for once it has given no sign of life for ``SILENT`` seconds.

    Yields:
        seconds that a holder which died had spent here.

    Args:
        folder: made if missing.
        say: told of what is waited for, and of holders that died.
        poll: seconds between two looks.
        name: of the lock; locks of other names don't touch.
        wait: False: raise if it is held.

    Raises:
        FolderInUse: it is held, and ``wait`` is False or the holder gives no sign of life.
        OSError: the file system has no locks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    with contextlib.closing(_open_locked(path, say, poll, wait)) as file:
        spent = _seconds_of_the_dead(path, file, say)
        _sign(path, file)
        ended = threading.Event()
        beat = threading.Thread(target=_beat, args=(path, ended), daemon=True)
        beat.start()
        try:
            yield spent
        finally:
            ended.set()
            beat.join()
            path.unlink(missing_ok=True)


def _open_locked(path: Path, say: Callable[[str], None], poll: float, wait: bool) -> TextIO:
    """The file, once this process has its lock."""
    told, last, since = False, None, 0.0
    while True:
        file = path.open('a+')
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, file):
                return file
        except BlockingIOError:
            holder = _read(file)
            by = f'process {holder["pid"]} on {holder["host"]}' if holder else 'another process'
            beat = os.fstat(file.fileno()).st_mtime_ns
            if beat != last:
                last, since = beat, time.monotonic()
            if not wait:
                file.close()
                raise FolderInUse(f'{path.parent}: {by} is at it') from None
            if time.monotonic() - since > SILENT:
                file.close()
                fix = 'is it stopped? Let it go on or end it, then start this again'
                raise FolderInUse(
                    f'{path}: held by {by}, without a sign of life for {SILENT:.0f} s; {fix}'
                ) from None
            if not told:
                told = True
                say(f'{path.parent}: {by} is at it, waiting')
            time.sleep(poll)
        except BaseException:
            file.close()
            raise
        file.close()


def _sign(path: Path, file: TextIO) -> None:
    file.seek(0)
    file.truncate()
    left = json.dumps(dict(host=socket.gethostname(), pid=os.getpid(), started=time.time())).encode()
    try:
        with name_in_errors(path):
            while left:  # not by file.write: what a full disk did not take would fail again at close
                left = left[os.write(file.fileno(), left) :]
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _is_at(path: Path, file: TextIO) -> bool:
    """Whether the file still has its name: the one who held it before may have removed it."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _read(file: TextIO) -> dict | None:
    """What a holder wrote; None if it has not, or not all of it."""
    file.seek(0)
    try:
        return json.load(file)
    except json.JSONDecodeError:
        return None


def _seconds_of_the_dead(path: Path, file: TextIO, say: Callable[[str], None]) -> float:
    """Seconds from its start to its last sign of life of one who left the file behind, 0 without."""
    holder = _read(file)
    if holder is None:
        return 0.0
    say(f'{path.parent}: taken over from process {holder["pid"]} on {holder["host"]}, which is gone')
    return max(path.stat().st_mtime - holder['started'], 0.0)


def _beat(path: Path, ended: threading.Event) -> None:
    while not ended.wait(BEAT):
        with contextlib.suppress(FileNotFoundError):
            os.utime(path)
