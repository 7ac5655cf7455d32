"""One process at a time in a folder, on any number of machines that share it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

BEAT = 20.0  # seconds between two signs of life
STALE = 300.0  # seconds without one after which a holder is given up


@contextlib.contextmanager
def hold_folder(folder: Path, say: Callable[[str], None] = print, poll: float = 2.0) -> Iterator[float]:
    """Hold ``folder/lock`` while the block runs; waits for another process that holds it.

    The file says host and process. A lock whose process is gone, or that has shown no sign of life for
    ``STALE`` seconds, is taken over.

    Yields:
        seconds that a holder which died had spent here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, told, spent = folder / 'lock', False, 0.0
    while not _create(path):
        holder = _read(path)
        if holder is None:
            continue  # released, or not yet written
        if _is_stale(path, holder):
            say(f'{folder}: taken over from process {holder["pid"]} on {holder["host"]}, which is gone')
            spent += _remove_stale(path, holder)
            continue
        if not told:
            say(f'{folder}: process {holder["pid"]} on {holder["host"]} is at it, waiting')
            told = True
        time.sleep(poll)
    mine, ended = _read(path), threading.Event()
    beat = threading.Thread(target=_beat, args=(path, ended), daemon=True)
    beat.start()
    try:
        yield spent
    finally:
        ended.set()
        if _read(path) == mine:  # not that of one who took it over
            path.unlink(missing_ok=True)


def _create(path: Path) -> bool:
    """Make the lock, whole: it is written beside and then linked, which fails if there is one."""
    mine = path.with_name(f'.lock.{socket.gethostname()}.{os.getpid()}.{threading.get_ident()}')
    mine.write_text(json.dumps(dict(host=socket.gethostname(), pid=os.getpid(), started=time.time())))
    try:
        os.link(mine, path)
    except FileExistsError:
        return False
    finally:
        mine.unlink()
    return True


def _read(path: Path) -> dict | None:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


def _is_stale(path: Path, holder: dict) -> bool:
    if holder['host'] == socket.gethostname() and not _is_alive(holder['pid']):
        return True
    try:  # also here: the number of a process that is gone may be another's by now
        return time.time() - path.stat().st_mtime > STALE
    except FileNotFoundError:
        return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _remove_stale(path: Path, holder: dict) -> float:
    """Remove the lock of a holder that is gone; the seconds that it had spent."""
    grave = path.with_name(f'.stale.{socket.gethostname()}.{os.getpid()}.{threading.get_ident()}')
    try:
        os.rename(path, grave)  # of several processes that would remove it, one
    except FileNotFoundError:
        return 0.0
    if json.loads(grave.read_text()) != holder:  # another one has removed it and holds a new lock: give it back
        with contextlib.suppress(FileExistsError):
            os.link(grave, path)
        grave.unlink()
        return 0.0
    spent = grave.stat().st_mtime - holder['started']
    grave.unlink()
    return max(spent, 0.0)


def _beat(path: Path, ended: threading.Event) -> None:
    while not ended.wait(BEAT):
        with contextlib.suppress(FileNotFoundError):
            os.utime(path)
