"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_made: list[Path] = []  # folders that were made before what goes into them, the outer ones first
_LONGEST_NAME = 200  # bytes; file systems take 255, of which suffixes and temporary names need some


@contextlib.contextmanager
def name_in_errors(path: str | Path, temporary: str | Path | None = None) -> Iterator[None]:
    """Let an OSError name ``path`` where it names no file, as a full disk's does, or what is in ``temporary``."""
    try:
        yield
    except OSError as error:
        named = error.filename
        if error.errno is None:  # it has words of its own
            raise
        if named is None:
            error.filename = str(path)
        elif temporary is not None and isinstance(named, str) and Path(named).is_relative_to(temporary):
            error.filename = str(Path(path, Path(named).relative_to(temporary)))
        else:
            raise
        del error.filename2  # set to None it would be written out
        raise


@contextlib.contextmanager
def replace_when_done(path: str | Path, temporary_name: str | None = None) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to; it becomes ``path`` at the end, or goes on an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(temporary_name or f'.{path.name}.{os.getpid()}.{threading.get_ident()}.tmp')
    try:
        with name_in_errors(path, temporary):
            yield temporary
            os.replace(temporary, path)
    finally:
        if not temporary.is_dir():  # as some write checkpoints of several processes
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def fill_when_done(folder: str | Path) -> Iterator[Path]:
    """Give a temporary folder to write to; at the end its files get their places in ``folder``, on an error none.

    What is in ``folder`` under other names stays.
    """
    folder = Path(folder)
    _make_folder(folder)
    with (
        tempfile.TemporaryDirectory(prefix='.unfinished_', dir=folder) as unfinished,
        tempfile.TemporaryDirectory(prefix='.replaced_', dir=folder) as replaced,
        name_in_errors(folder, unfinished),
    ):
        yield Path(unfinished)
        _exchange(Path(unfinished), folder, Path(replaced))


def _exchange(new: Path, folder: Path, aside: Path) -> None:
    """Move the files below ``new`` to ``folder``, what they replace to ``aside``; on an error all move back."""
    moved: list[tuple[Path, Path]] = []  # from where, to where

    def move(source: Path, target: Path) -> None:
        os.replace(source, target)
        moved.append((source, target))

    try:
        for number, path in enumerate(sorted(path for path in new.rglob('*') if path.is_file())):
            target = folder / path.relative_to(new)
            _make_folder(target.parent)
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
            if os.path.lexists(target):
                move(target, aside / str(number))
            move(path, target)
    except BaseException:
        for source, target in reversed(moved):
            os.replace(target, source)
        raise


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, and remember which are new."""
    folder = folder.absolute()
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    _made.extend(reversed(new))


def remove_empty_folders() -> None:
    """Remove the folders that were made for files which then were not written; those of a tool that failed."""
    while _made:
        with contextlib.suppress(OSError):  # not empty, or gone
            _made.pop().rmdir()


def unique_names(names: Iterable[str]) -> list[str]:
    """Names as those of files or folders: inside of their folder, short enough for a suffix, no two alike.

    A name stays as it is where it can. Upper and lower case count as alike, as on some systems they are.
    """
    taken: set[str] = set()
    result = []
    for name in names:
        plain = re.sub(r'[/\\\0]', '_', name).strip() or '_'
        plain = plain.lstrip('.') or '_'  # no hidden file, nor the folder above
        plain = plain.encode('utf-8', 'replace')[:_LONGEST_NAME].decode('utf-8', 'ignore')
        number, chosen = 1, plain
        while chosen.lower() in taken:
            number += 1
            chosen = f'{plain}_{number}'
        taken.add(chosen.lower())
        result.append(chosen)
    return result


def is_file(path: Path) -> bool:
    """Whether there is such a file; never an error, also for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, or with a null character
        return False


def check_not_read(
    path: str | Path, option: str, sources: Iterable[str | Path | None], within: bool = False
) -> None:
    """See that what is to be written is none of what is read; ``within``: nor a folder around it.

    Raises:
        FileExistsError: It is; the message names ``option``.
    """
    target = Path(os.path.realpath(path))  # Path.resolve fails at links that go round in a circle
    for found in (Path(os.path.realpath(source)) for source in sources if source is not None):
        if found == target or (within and found.is_relative_to(target)):
            raise FileExistsError(f'{option} {path}: is read by this command and would be lost; give another name')


def check_writable(
    path: str | Path, option: str, folder: bool = False, sources: Iterable[str | Path | None] = ()
) -> None:
    """See before long work that a file can be written at ``path``, or files in the folder ``path``.

    Missing folders are made, which :func:`remove_empty_folders` takes back; no file is left behind, and none is
    changed.

    Args:
        sources: what is read, which it must not replace.

    Raises:
        OSError: It can't; the message names ``option``.
    """
    path = Path(path)
    check_not_read(path, option, sources)
    if folder and path.exists() and not path.is_dir():
        raise NotADirectoryError(f'{option} {path}: is a file; give the name of a folder')
    if not folder and path.is_dir():
        raise IsADirectoryError(f'{option} {path}: is a folder; give the name of a file')
    try:
        target = path if folder else path.parent
        _make_folder(target)
        tempfile.TemporaryFile(dir=target).close()
    except OSError as error:
        raise OSError(f'{option} {path}: cannot be written there ({error.strerror})') from None


def write_json(path: str | Path, data: Any) -> None:
    """Write any JSON data, whole or not at all; floats keep full precision."""
    with replace_when_done(path) as temporary:
        temporary.write_text(json.dumps(data, indent=1) + '\n', encoding='utf-8')
