"""Files of the Hugging Face Hub, by ``hf://OWNER/NAME``."""

from __future__ import annotations

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
    try:
        folder = Path(
            snapshot_download(
                found['repo'], revision=found['revision'], allow_patterns=found['file'] or '*.safetensors'
            )
        )
    except Exception as error:  # of several libraries: no network, no such repository, no right to read it
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DownloadError(
            f'cannot download {address} ({type(error).__name__}: {reason}). Without network access, download the '
            'file elsewhere and give its path in place of this address'
        ) from error
    files = sorted(folder.glob(found['file'] or '*.safetensors'))
    if len(files) != 1:
        listed = ', '.join(f'hf://{found["repo"]}/{path.name}' for path in files)
        raise DownloadError(
            f'{address} has {len(files)} such files' + (f': name one of {listed}' if files else '')
        )
    return files[0]
