"""Checks shared by the readers of ground truth and results: every failure is one error that says what to do."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NoReturn

from maskprop.utils.errors import UserError
from maskprop.utils.json_values import is_finite_number, other_content, parse_json

from .progress import announce_reading

_LONGEST_SHOWN = 100
#: Types of a frame's counts that need no closer look.
_OF_COUNTS = {str, bytes, type(None)}


class EvalInputError(UserError, ValueError):
    """Ground truth or results that cannot be evaluated; the message names file, record, field, value and fix."""


def fail(source: str, record: str, field: str, found: str, fix: str) -> NoReturn:
    """Raise :class:`EvalInputError` in the one form that all messages have."""
    where = ': '.join(part for part in (source, record, field and f'"{field}"') if part)
    raise EvalInputError(f'{where}: {found}. {fix}')


def shown(value: Any) -> str:
    """A short repr of a value of any size."""
    text = reprlib.repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f'{text[: _LONGEST_SHOWN - 3]}...'


def load_json(path: str | Path) -> Any:
    """Parse a JSON file.

    Raises:
        EvalInputError: If the file is missing or isn't JSON.
    """
    path = Path(path)
    try:
        announce_reading(path)
        with path.open(encoding='utf-8-sig') as file:
            return parse_json(file)
    except FileNotFoundError:
        fail(str(path), '', '', 'no such file', 'Check the path')
    except OSError as error:
        fail(str(path), '', '', f'cannot be read ({error.strerror})', 'Check the path and its permissions')
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
        other = other_content(path.read_bytes())
        fix = other[0].upper() + other[1:] if other else 'Was it written to the end? Write it anew'
        fail(str(path), '', '', f'not valid JSON ({error})', fix)


def require(record: dict, field: str, source: str, name: str, expected: str) -> Any:
    """``record[field]``; a missing or null field is an error."""
    value = record.get(field)
    if value is None:
        state = 'is null' if field in record else 'is missing'
        fail(source, name, field, state, f'It must be {expected}')
    return value


def require_id(record: dict, field: str, source: str, name: str) -> int:
    """``record[field]`` as an integer id."""
    value = record.get(field)
    if type(value) is int and -(2**63) < value < 2**63:  # nearly always
        return value
    value = require(record, field, source, name, 'an integer id')
    whole = isinstance(value, Integral) or (isinstance(value, Real) and float(value).is_integer())
    if isinstance(value, bool) or not whole or abs(value) >= 2**63:  # kept in int64
        fail(source, name, field, f'found {shown(value)}', 'It must be an integer id')
    return int(value)


def require_number(record: dict, field: str, source: str, name: str) -> float:
    """``record[field]`` as a finite float64."""
    value = require(record, field, source, name, 'a finite number')
    if not is_finite_number(value):
        hint = '; look for a division by zero' if isinstance(value, float) else ''
        fail(source, name, field, f'found {shown(value)}', f'It must be a finite number{hint}')
    return float(value)


def require_size(record: dict, field: str, source: str, name: str) -> int:
    """``record[field]`` as a positive integer."""
    value = require_id(record, field, source, name)
    if value < 1:
        fail(source, name, field, f'found {value}', 'It must be 1 or more')
    return value


def require_list(record: dict, field: str, length: int, source: str, name: str, video_id: int) -> Sequence:
    """``record[field]`` as a list with one entry per frame."""
    value = require(record, field, source, name, f'a list with one entry for each of the {length} frames')
    if not isinstance(value, (list, tuple)):
        fail(source, name, field, f'found {shown(value)}', 'It must be a list with one entry per frame')
    if len(value) != length:
        fail(
            source,
            name,
            field,
            f'{len(value)} entries, but video {video_id} has {length} frames',
            'Give one entry per frame, null where the object is not in the frame',
        )
    return value


def require_dict(record: Any, source: str, name: str) -> dict:
    """The record itself, which must be an object."""
    if not isinstance(record, dict):
        fail(source, name, '', f'found {shown(record)}', 'It must be an object {...}')
    return record


def require_mask(mask: Any, source: str, name: str) -> dict:
    """A frame's mask as an object with something in it; 0 or {} do not stand for null."""
    if not isinstance(mask, dict) or not mask:
        fix = 'Give its RLE {"size", "counts"}, or null where the object is not in the frame'
        fail(source, name, 'segmentations', f'found {shown(mask)}', fix)
    return mask


def plain_counts(masks: Sequence[Any], size: list[int]) -> list[str | bytes | None] | None:
    """The counts of a track's masks, without a step of Python for each.

    Args:
        masks: one per frame. size: [h, w] that they must have.

    Returns:
        The counts, None where a frame has no mask; None for all if any is neither null nor compressed RLE of that
        size.
    """
    try:
        counts = [None if mask is None else mask['counts'] for mask in masks]
        sizes = [mask['size'] for mask in masks if mask is not None]
        plain = sizes.count(size) == len(sizes) == len(counts) - counts.count(None)
    except (TypeError, KeyError, ValueError, IndexError):  # no dict, no such entry, an array
        return None
    return counts if plain and {*map(type, counts)} <= _OF_COUNTS else None
