"""JSON from anywhere: read fast and without surprises, and its numbers checked."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import math
from collections.abc import Callable
from numbers import Real
from typing import IO, Any

from maskprop.utils.garbage import without_garbage_collection


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


def is_finite_number(value: Any) -> bool:
    """Whether a value is a number that a float64 holds: no bool, nan or infinity, no integer of 309 digits."""
    if type(value) not in (float, int) and (isinstance(value, bool) or not isinstance(value, Real)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
