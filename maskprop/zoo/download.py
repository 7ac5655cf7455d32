"""Files from the network: cached, whole, checked, and with one clear error where there is no network."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import unquote, urlparse
from urllib.request import Request, urlopen

import torch

from maskprop.utils.folder_lock import hold_folder

ATTEMPTS = 2
_CHUNK = 2**20  # bytes


class DownloadError(ConnectionError):
    """A file that could not be downloaded, or is not the one that was published; says where to put it by hand."""


def cache_folder() -> Path:
    """Where downloads are kept: torch hub's folder, which TORCH_HOME moves."""
    return Path(torch.hub.get_dir()) / 'checkpoints'


def download(
    url: str,
    digest: str | None = None,
    folder: str | Path | None = None,
    name: str | None = None,
    progress: bool = True,
) -> Path:
    """A file of the network, from the cache if it is there.

    A file that was put into the cache by hand is taken too. A download that is cut is begun anew; the file appears
    when it is whole. Other processes wait for the one that downloads.

    Args:
        url: its address.
        digest: hexadecimal SHA-256 or the first digits of it; None: those that the file's name ends in, if any.
        folder: None: :func:`cache_folder`.
        name: of the file in the cache; None: as in the address.
        progress: show a bar.

    Raises:
        DownloadError: no network, no such file, cut twice, or another digest.
    """
    folder = cache_folder() if folder is None else Path(folder)
    target = folder / (name or os.path.basename(unquote(urlparse(url).path)))
    found = torch.hub.HASH_REGEX.search(target.name)
    digest = digest or (found[1] if found else None)
    if not target.is_file():
        with _sole_downloader(target):
            if not target.is_file():  # another process may have been faster
                _download_anew(url, target, digest, progress)
                return target
    if digest and not file_digest(target).startswith(digest):
        raise DownloadError(
            f'{target} is not the file that was published at {url}: its SHA-256 does not begin with {digest}. It '
            'may be cut short: delete it to download it again. To use it all the same, give its path as CHECKPOINT'
        )
    return target


def file_digest(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _download_anew(url: str, target: Path, digest: str | None, progress: bool) -> None:
    for left in target.parent.glob(f'{glob.escape(target.name)}.*.partial'):
        left.unlink(missing_ok=True)  # of a download that was killed
    for attempt in range(1, ATTEMPTS + 1):
        try:
            torch.hub.download_url_to_file(url, str(target), digest, progress=progress)
            if digest is None:
                _check_size(url, target)
            return
        except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: the digest, or the size
            if attempt < ATTEMPTS and not isinstance(error, HTTPError):
                continue
            raise DownloadError(
                f'cannot download {url} ({error}). Without network access, download that file elsewhere and put '
                f'it at {target}'
            ) from error


def _check_size(url: str, target: Path) -> None:
    """Without a digest a file that was cut short shows by its size alone: torch's downloader does not look."""
    with urlopen(Request(url, method='HEAD')) as answer:
        size = answer.headers.get('Content-Length')
    if size is not None and int(size) != (found := target.stat().st_size):
        target.unlink()
        raise RuntimeError(f'it was cut short: {found} of {size} bytes')


@contextlib.contextmanager
def _sole_downloader(target: Path) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        # where the file system has no locks: each process writes a file of its own, so it works all the same
        with contextlib.suppress(OSError):
            stack.enter_context(hold_folder(target.parent, lambda _: None, 0.2, name=f'.{target.name}.lock'))
        yield
