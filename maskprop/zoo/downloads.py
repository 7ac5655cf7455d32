"""Files from the network: cached, whole, checked, and with one clear error where there is no network."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import uuid
from collections.abc import Iterator
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import unquote, urlparse
from urllib.request import Request, urlopen

from maskprop.utils.folder_lock import hold_folder
from maskprop.utils.progress import progress_bar

ATTEMPTS = 2  # in a row that bring nothing
TIMEOUT = 60.0  # seconds without an answer
_CHUNK = 2**20  # bytes


class DownloadError(ConnectionError):
    """A file that could not be downloaded, or is not the one that was published; says where to put it by hand."""


def cache_folder() -> Path:
    """Where downloads are kept: torch hub's folder, which TORCH_HOME moves."""
    import torch  # not at the top: names are looked up before the seconds that this takes

    return Path(torch.hub.get_dir()) / 'checkpoints'


def download(
    url: str,
    digest: str | None = None,
    folder: str | Path | None = None,
    name: str | None = None,
    progress: bool = True,
) -> Path:
    """A file of the network, from the cache if it is there.

    A file that was put into the cache by hand is taken too. A download that is cut goes on where it was cut, at
    the next call too, or begins anew if no digest is known or the server sends the whole; the file appears when
    it is whole. Other processes wait for the one that downloads.

    Args:
        url: its address.
        digest: hexadecimal SHA-256 or the first digits of it; None: those that the file's name ends in, if any.
        folder: None: :func:`cache_folder`.
        name: of the file in the cache; None: as in the address.
        progress: show a bar.

    Raises:
        DownloadError: no network, no such file, cut again and again, or another digest.
    """
    folder = cache_folder() if folder is None else Path(folder)
    target = folder / (name or os.path.basename(unquote(urlparse(url).path)))
    digest = digest or digest_of_name(target.name)
    if not target.is_file():
        with _sole_downloader(target) as part:
            if not target.is_file():  # another process may have been faster
                _download(url, target, part, digest, progress)
                return target
    if digest and not file_digest(target).startswith(digest):
        raise DownloadError(
            f'{target} is not the file that was published at {url}: its SHA-256 does not begin with {digest}. It '
            'may be cut short: delete it to download it again. To use it all the same, give its path as CHECKPOINT'
        )
    return target


def digest_of_name(name: str) -> str | None:
    """The first digits of the SHA-256 in a file's name, NAME-DIGITS.SUFFIX; None if there are none.

    Eight or more: torch's own pattern takes the 50 of resnet-50.pth for a digest.
    """
    found = re.search(r'-([a-f0-9]{8,64})\.', name)
    return found[1] if found else None


def file_digest(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _download(url: str, target: Path, part: Path, digest: str | None, progress: bool) -> None:
    """In pieces if need be: a cut download left some in ``part``, and a digest tells whether the rest fits."""
    fruitless = most = 0  # attempts in a row that brought nothing; the most bytes that there were
    if digest is None:
        part.unlink(missing_ok=True)
    elif _size(part) and file_digest(part).startswith(digest):  # killed when it was whole
        part.replace(target)
        return
    while True:
        most = max(most, _size(part))
        try:
            _fetch(url, part, progress)
            _check_digest(part, digest)
            part.replace(target)
            return
        except (OSError, HTTPException) as error:
            size = _size(part)
            if digest is None:
                part.unlink(missing_ok=True)
                size = 0
            refused = isinstance(error, HTTPError) and error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
            fruitless = 0 if size > most else fruitless + 1
            if fruitless == ATTEMPTS or refused:
                raise DownloadError(
                    f'cannot download {url} ({error}). Without network access, download that file elsewhere and '
                    f'put it at {target}'
                ) from error


def _fetch(url: str, part: Path, progress: bool) -> None:
    """Add to ``part`` what it lacks, or begin it anew if the server sends the whole.

    Raises:
        OSError, HTTPException: no network, no such file, a full disk; or it was cut, and what came is kept.
    """
    have = _size(part)
    headers = {'User-Agent': 'maskprop', **({'Range': f'bytes={have}-'} if have else {})}
    try:
        answer = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink()  # there is no more of it: it is of another file
        raise
    with answer:
        resumed = answer.headers.get('Content-Range', '').startswith(f'bytes {have}-')
        have = have if resumed else 0
        length = answer.headers.get('Content-Length')
        total = None if length is None else have + int(length)
        bar = progress_bar(
            total=total, initial=have, unit='B', unit_scale=True, desc=part.stem, disable=not progress
        )
        with bar, part.open('ab' if resumed else 'wb') as file:
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    if total is not None and (found := _size(part)) != total:
        raise OSError(f'it was cut short: {found} of {total} bytes')


def _check_digest(part: Path, digest: str | None) -> None:
    if digest and not (found := file_digest(part)).startswith(digest):
        part.unlink()
        raise OSError(f'its SHA-256 begins with {found[: len(digest)]}, not with {digest}')


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


@contextlib.contextmanager
def _sole_downloader(target: Path) -> Iterator[Path]:
    """Yields the file to download into."""
    with contextlib.ExitStack() as stack:
        part = target.with_name(f'{target.name}.partial')
        try:
            stack.enter_context(hold_folder(target.parent, lambda _: None, 0.2, name=f'.{target.name}.lock'))
        except OSError:  # a file system without locks: each process writes a file of its own
            part = target.with_name(f'{target.name}.{uuid.uuid4().hex}.partial')
            stack.callback(part.unlink, missing_ok=True)
        yield part
