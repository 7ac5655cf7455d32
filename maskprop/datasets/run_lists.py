"""Lists of runs become compressed RLE in the text of an annotation file, before Python makes objects of them.

The masks of YouTube-VIS 2019 and 2021 are such lists, nearly all of the files. As strings they take a third of the
text, and none of the time and memory of some hundred million integers.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np

from maskprop.datasets.mask_kernels import compiled
from maskprop.utils.json_values import parse_json, repeated_key

LEAST_BYTES = 4 * 2**20  # of a file; a smaller one is read faster than the compiled loop is loaded
_KEY = b'"counts"'
_LIST = re.compile(rb'[ \n\t\r]*:[ \n\t\r]*\[')
_STRING = re.compile(rb'[ \n\t\r]*:[ \n\t\r]*"')


def read_with_strings(path: str | Path) -> Any | None:
    """What a JSON file holds, with lists of whole numbers under the key ``counts`` as compressed RLE.

    Lists that hold anything else stay lists.

    Returns:
        None if the file is small, has no such list at first, or cannot be read: then it is to be read as usual.
    """
    try:
        with Path(path).open('rb') as file:
            head = file.read(LEAST_BYTES)
            if len(head) < LEAST_BYTES or _has_strings(head):
                return None
            file.seek(0)
            content = file.read()
    except OSError:
        return None
    shorter = compress_lists(content)
    del content
    if shorter is None:
        return None
    try:
        data = parse_json(io.TextIOWrapper(io.BytesIO(shorter), encoding='utf-8-sig'))
    except ValueError:
        return None
    return None if repeated_key(shorter, data) else data


def _has_strings(head: bytes) -> bool:
    """Whether the first ``counts`` is in these first bytes of a file, and a string."""
    first = head.find(_KEY)
    return first >= 0 and bool(_STRING.match(head, first + len(_KEY)))


def compress_lists(content: bytes) -> bytes | None:
    """The text with lists of runs as strings; None if the first ``counts`` is no list, or numba is missing."""
    first = content.find(_KEY)
    if first < 0 or not _LIST.match(content, first + len(_KEY)) or (loops := compiled()) is None:
        return None
    starts = [place + len(_KEY) for place in _places(content)]
    found = np.empty(len(content) + 64, dtype=np.uint8)
    length = loops.compress_lists(np.frombuffer(content, dtype=np.uint8), np.array(starts), found)
    return None if length < 0 else found[:length].tobytes()


def _places(content: bytes) -> list[int]:
    """Where the key begins; in a string its quotes have a backslash before them."""
    places = []
    place = content.find(_KEY)
    while place >= 0:
        if content[place - 1 : place] in (b'{', b',', b' ', b'\n', b'\t', b'\r'):
            places.append(place)
        place = content.find(_KEY, place + 1)
    return places
