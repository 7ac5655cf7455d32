"""JSON from anywhere: read fast and without surprises, and its numbers checked."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import math
from collections import Counter
from collections.abc import Callable
from numbers import Real
from typing import IO, Any

from maskprop.utils.garbage import without_garbage_collection
from maskprop.utils.text import not_utf8

LARGEST_ID = 2**31 - 1  # of an annotation file: ids go through int32 arrays on their way to a model
MAX_PIXELS = 2**31 - 1  # of a frame: areas and ends of runs are kept as int32


def parse_json(file: IO) -> Any:
    """``json.load``, four times as fast where msgspec is installed; its only errors are ValueErrors.

    What msgspec refuses is read by ``json``, which takes more (NaN, lone surrogates, numbers beyond float64), and
    has the last word: values and messages are those of ``json``.

    Args:
        file: of bytes, or opened as UTF-8 text, from its beginning; it may be a pipe.

    Raises:
        ValueError: the file is no JSON, or its lists and objects are nested deeper than Python can follow.
    """
    text = file if isinstance(file, io.TextIOWrapper) else None
    content = file.read() if text is None else text.buffer.read()
    fast = _fast_parser()
    with without_garbage_collection():
        if fast is not None:
            with contextlib.suppress(ValueError, RecursionError):
                return fast(content)
        try:
            return json.loads(content if text is None else _decoded(content, text))
        except RecursionError:
            raise ValueError('lists or objects are nested too deeply') from None


def _decoded(content: bytes, file: io.TextIOWrapper) -> str:
    return io.TextIOWrapper(io.BytesIO(content), encoding=file.encoding, errors=file.errors).read()


@functools.cache
def _fast_parser() -> Callable[[bytes], Any] | None:
    """msgspec's, which gives what ``json`` gives, or an error. (orjson would make floats of large integers.)"""
    try:
        import msgspec.json
    except ImportError:
        return None
    return msgspec.json.decode


_UTF_16 = 'its text is UTF-16: save it as UTF-8'
_OTHER_CONTENT = {
    b'\x1f\x8b': 'it is compressed by gzip: unpack it (gunzip)',
    b'PK\x03\x04': 'it is a zip: unpack it; if that fails, it is cut short',
    b'\xff\xfe': _UTF_16,
    b'\xfe\xff': _UTF_16,
    b'version https://git-lfs': 'it is a pointer of Git LFS: fetch the file (git lfs pull)',
    b'<': 'it is a web page or XML, maybe the message of a server in place of the file',
}


def other_content(content: bytes) -> str | None:
    """What a file is that is no JSON, and what to do, if its beginning says so, or a byte that is not UTF-8."""
    if words := marked_content(content):
        return words
    if (content[:1] == b'\0') != (content[1:2] == b'\0'):
        return _UTF_16
    try:
        content.decode('utf-8')
    except UnicodeDecodeError as error:
        return f'it is {not_utf8(error)}' if error.end < len(content) else None  # else its last letter is cut
    return None


def marked_content(content: bytes) -> str | None:
    """What a file is, and what to do, if it begins as files of a known kind do."""
    return next((words for mark, words in _OTHER_CONTENT.items() if content.startswith(mark)), None)


def repeated_key(content: bytes, data: Any) -> str | None:
    """A key that the object at the top of a JSON text has twice, of which one value is lost; None: there is none.

    Args:
        content: the text. data: what it holds.
    """
    if not isinstance(data, dict) or all(content.count(_quoted(key)) == 1 for key in data):
        return None  # nearly always: so far it is fast
    pairs: list[tuple[str, Any]] = []

    def keep(found: list[tuple[str, Any]]) -> None:  # of the object at the top last
        pairs[:] = found

    json.loads(content.decode('utf-8-sig', 'replace'), object_pairs_hook=keep)
    return next((key for key, times in Counter(key for key, _ in pairs).items() if times > 1), None)


def _quoted(key: str) -> bytes:
    return json.dumps(key, ensure_ascii=False).encode('utf-8', 'surrogatepass')


def is_finite_number(value: Any) -> bool:
    """Whether a value is a number that a float64 holds: no bool, nan or infinity, no integer of 309 digits."""
    if type(value) not in (float, int) and (isinstance(value, bool) or not isinstance(value, Real)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def whole_number(value: Any) -> int | None:
    """The integer that a value is, also as a float without a fraction; None: it is none, as a bool is none."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None
