"""Files of the Hugging Face Hub, by ``hf://OWNER/NAME``."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

from maskprop.zoo.downloads import DownloadError

PREFIX = 'hf://'
_ADDRESS = re.compile(r'hf://(?P<repo>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[\w.-]+))?(?:/(?P<file>.+))?')


def hub_file(address: str) -> Path:
    """The weights of a repository of the Hub, from huggingface_hub's cache if they are there.

    Args:
        address: ``hf://OWNER/NAME``, whose one ``.safetensors`` file is meant, ``hf://OWNER/NAME/FILE``, or with a
            revision, ``hf://OWNER/NAME@REVISION``.

    Raises:
        DownloadError: it is no such address, huggingface_hub is missing, there is no network, no such repository
            or file, or several files to choose from.
    """
    found = _ADDRESS.fullmatch(address)
    if not found:
        raise DownloadError(f'{address}: expected hf://OWNER/NAME or hf://OWNER/NAME/FILE.safetensors')
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise DownloadError(f'{address} needs huggingface_hub: pip install "maskprop[hub]"') from None
    repo, revision, wanted = found['repo'], found['revision'], found['file'] or '*.safetensors'
    if not found['file']:
        _require_one(address, repo, _names_on_the_hub(repo, revision, wanted))
    try:
        folder = Path(snapshot_download(repo, revision=revision, allow_patterns=wanted))
    except Exception as error:  # of several libraries: no network, no such repository, no right to read it
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DownloadError(
            f'cannot download {address} ({type(error).__name__}: {reason}). Without network access, download the '
            'file elsewhere and give its path in place of this address'
        ) from error
    files = sorted(folder.glob(wanted))
    _require_one(address, repo, [path.name for path in files])
    return files[0]


def _names_on_the_hub(repo: str, revision: str | None, wanted: str) -> list[str] | None:
    """Names of a repository's files, so that none of several is downloaded; None where the Hub doesn't say."""
    from huggingface_hub import HfApi

    try:
        return sorted(fnmatch.filter(HfApi().list_repo_files(repo, revision=revision), wanted))
    except Exception:  # no network, for one: the cache may have it
        return None


def _require_one(address: str, repo: str, names: list[str] | None) -> None:
    if names is not None and len(names) != 1:
        listed = ', '.join(f'hf://{repo}/{name}' for name in names)
        raise DownloadError(
            f'{address} has {len(names)} such files' + (f': name one of {listed}' if names else '')
        )
