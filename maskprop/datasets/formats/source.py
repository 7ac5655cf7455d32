"""A source of annotations: a file, a folder, a zip or a folder of zips, looked at without reading all of it."""

from __future__ import annotations

import errno
import functools
import lzma
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from maskprop.datasets.json_files import AnnotationError, read_json

MOST_UNPACKED = 32 * 2**30  # bytes; more is unpacked by hand
_ZIP = b'PK\x03\x04'
_HEAD = 65536  # bytes that tell a format


class Source:
    """A file or folder of annotations; zips are unpacked into a temporary folder, which :meth:`close` removes.

    In a folder of zips and nothing else each zip becomes a folder of its name.

    Args:
        path: the file, folder or zip.
        data: what the file holds, if it was read as JSON before.

    Attributes:
        given: the path as it was given, for messages.
        path: where the file or folder is.

    Raises:
        AnnotationError: there is no such file, or the zip is damaged, holds paths outside itself, or unpacks to
            more than 32 GiB.
    """

    def __init__(self, path: str | Path, data: Any = None) -> None:
        self._data = data
        self.given = self.path = Path(path)
        self._temporary: tempfile.TemporaryDirectory | None = None
        if not self.path.exists():
            raise AnnotationError(f'{path}: no such file or folder')
        if not (self.path.is_file() or self.path.is_dir()):
            raise AnnotationError(f'{path}: neither a file nor a folder; give what can be read more than once')
        archives = _archives(self.path)
        if archives:
            self._temporary = tempfile.TemporaryDirectory(prefix='maskprop_import_')
            self.path = Path(self._temporary.name)
            try:
                for archive in archives:
                    _unpack(archive, self.path if archive == self.given else self.path / archive.stem)
            except BaseException:
                self.close()
                raise

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Removes what was unpacked."""
        if self._temporary is not None:
            self._temporary.cleanup()

    @property
    def is_unpacked(self) -> bool:
        """Whether the source is a zip."""
        return self._temporary is not None

    def name(self, path: Path) -> str:
        """A file of the source as it is to be named in messages."""
        inside = os.path.relpath(path, self.path)
        return str(self.given) if inside == '.' else f'{self.given}/{inside}'

    def is_file(self, suffix: str) -> bool:
        """Whether the source is one file of this suffix."""
        return self.path.is_file() and self.path.suffix.lower() == suffix

    @functools.cached_property
    def files(self) -> list[PurePosixPath]:
        """All files of a folder, relative to it, without hidden ones; of a file its name alone."""
        if not self.path.is_dir():
            return [PurePosixPath(self.path.name)]
        found, seen = [], {self.path.resolve()}
        for folder, folders, names in os.walk(self.path, followlinks=True):
            real = {name: (Path(folder) / name).resolve() for name in folders}
            shown = (name for name in folders if name[0] != '.' and name != '__MACOSX')
            folders[:] = sorted(name for name in shown if real[name] not in seen)  # links may go round in a circle
            seen.update(real.values())
            place = PurePosixPath(Path(folder).relative_to(self.path).as_posix())
            found += [place / name for name in sorted(names) if name[0] != '.']
        return found

    def of_suffix(self, suffix: str) -> list[PurePosixPath]:
        """The files of a suffix."""
        return [path for path in self.files if path.suffix.lower() == suffix]

    def locate(self, inside: PurePosixPath) -> Path:
        """Where a file of :attr:`files` is."""
        return self.path / inside if self.path.is_dir() else self.path

    def head(self, inside: PurePosixPath | None = None) -> str:
        """The beginning of a text file."""
        with open(self.path if inside is None else self.locate(inside), 'rb') as file:
            content = file.read(_HEAD)
        wide = content.startswith((b'\xff\xfe', b'\xfe\xff'))
        return content.decode('utf-16' if wide else 'utf-8', 'replace').removeprefix('\ufeff')

    @functools.cached_property
    def json(self) -> Any:
        """What a JSON file holds, parsed once; None where the source is no JSON file."""
        if self._data is not None:
            return self._data
        return read_json(self.path) if self.is_file('.json') else None

    @functools.cached_property
    def json_files(self) -> list[PurePosixPath]:
        """The JSON files, of a folder or the source itself."""
        return self.of_suffix('.json')

    def first_json(self) -> Any:
        """The first JSON file's content, parsed once; None: there is none, or it is no JSON."""
        return self._first_json

    @functools.cached_property
    def _first_json(self) -> Any:
        if self.json is not None:
            return self.json
        for inside in self.json_files[:1]:
            try:
                return read_json(self.locate(inside))
            except AnnotationError:
                return None
        return None


def _archives(path: Path) -> list[Path]:
    """The zips that a source consists of."""
    if path.is_file():
        if zipfile.is_zipfile(path):
            return [path]
        with path.open('rb') as file:
            head = file.read(4)
        if head and (head == _ZIP or path.suffix.lower() == '.zip'):
            found = 'a zip that is cut short or damaged' if head == _ZIP else 'named as a zip, but none'
            raise AnnotationError(f'{path}: {found}; download or write it again')
        return []
    inside = [entry for entry in sorted(path.iterdir()) if not entry.name.startswith('.')]
    return inside if all(entry.suffix.lower() == '.zip' and entry.is_file() for entry in inside) else []


def _unpack(archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as file:
            _check_members(archive, file)
            file.extractall(folder)
    # zipfile raises NotImplementedError at a compression that it lacks, RuntimeError where it wants a password
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError) as error:
        raise AnnotationError(f'{archive}: cannot be unpacked ({error}); download or write it again') from None
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL):
            raise
        found = f'a name that no file here can have ({error.strerror})'
        raise AnnotationError(f'{archive}: holds {found}; unpack it yourself and give the folder') from None


def _check_members(archive: Path, file: zipfile.ZipFile) -> None:
    size = sum(member.file_size for member in file.infolist())
    if size > MOST_UNPACKED:
        found = f'unpacks to {size / 2**30:.0f} GiB'
        raise AnnotationError(f'{archive}: {found}, more than 32; unpack it yourself and give the folder')
    for name in file.namelist():
        if name[:1] in ('/', '\\') or '..' in PurePosixPath(name.replace('\\', '/')).parts:
            raise AnnotationError(f'{archive}: holds {name!r}, a path outside of itself; do not trust this file')


def walk_json(source: Source) -> Iterator[tuple[PurePosixPath, Any]]:
    """Every JSON file of a source with its content, one at a time."""
    if source.json is not None:
        yield source.json_files[0], source.json
        return
    for inside in source.json_files:
        yield inside, read_json(source.locate(inside))
