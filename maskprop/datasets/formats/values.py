"""Values of records as many programs write them, checked."""

from __future__ import annotations

import re
import reprlib
from typing import Any

from maskprop.datasets.json_files import AnnotationError
from maskprop.utils.json_values import whole_number

MOST_PIXELS = 2**31 - 1  # of a frame: runs of masks are int32
_WHOLE = re.compile(r'([0-9]{1,18})(?:\.0*)?')


def whole_of_text(text: str) -> int | None:
    """The number of 0 or more that a cell of a table or line is, also of ``1.0``; None: it is none."""
    match = _WHOLE.fullmatch(text.strip())
    return int(match[1]) if match else None


def object_id(value: Any) -> tuple[int, str] | None:
    """Key of an object whose id is a number or a text; all keys can be sorted. None: it is neither, or empty."""
    if isinstance(value, str) and value.strip():
        number = whole_of_text(value)
        if number is None:
            return 0, value
        return number, '' if value.strip().partition('.')[0] == str(number) else value  # 01 is not 1
    number = whole_number(value)
    return None if number is None else (number, '')


def shown(value: Any) -> str:
    """A value of any size, for messages."""
    return 'nothing' if value is None else reprlib.repr(value)


def records(data: dict, key: str, where: str) -> list[dict]:
    """The list of objects ``data[key]``; empty if it is missing or null.

    Raises:
        AnnotationError: it is no list, or one of its entries no object.
    """
    found = data.get(key)
    if found is not None and not isinstance(found, list):
        raise AnnotationError(f'{where}: {key}: found {shown(found)}; expected a list')
    for place, record in enumerate(found or []):
        if not isinstance(record, dict):
            raise AnnotationError(f'{where}: {key}[{place}]: found {shown(record)}; expected an object {{...}}')
    return found or []


def inside(record: dict, key: str) -> dict:
    """The object ``record[key]``; empty if it is anything else."""
    found = record.get(key)
    return found if isinstance(found, dict) else {}


def name_of(record: dict, key: str, where: str) -> str:
    """The text ``record[key]``.

    Raises:
        AnnotationError: it is no text, or empty.
    """
    found = record.get(key)
    if not isinstance(found, str) or not found.strip():
        raise AnnotationError(f'{where}: {key}: found {shown(found)}; expected a name')
    return found


def id_of(record: dict, key: str, where: str) -> int | str:
    """The id ``record[key]``: 1.0 is 1, but "1" is a text.

    Raises:
        AnnotationError: it is neither a whole number nor a text.
    """
    found: Any = record.get(key)
    number = whole_number(found)
    if number is None and not isinstance(found, str):
        raise AnnotationError(f'{where}: {key}: found {shown(found)}; expected an id, a whole number')
    return found if number is None else number


def by_id(listed: list[dict], key: str, where: str) -> dict[int | str, dict]:
    """The records of a list by their ``id``.

    Raises:
        AnnotationError: one has none, or two the same.
    """
    found: dict[int | str, dict] = {}
    for place, record in enumerate(listed):
        number = id_of(record, 'id', f'{where}: {key}[{place}]')
        if number in found:
            raise AnnotationError(f'{where}: {key}[{place}]: id: a second one of {number!r}; give each its own')
        found[number] = record
    return found


def size_of(height: Any, width: Any, where: str) -> tuple[int, int]:
    """(height, width) in pixels.

    Raises:
        AnnotationError: they are no whole numbers above 0, or too large for masks.
    """
    rows, columns = whole_number(height) or 0, whole_number(width) or 0
    if min(rows, columns) < 1 or rows * columns > MOST_PIXELS:
        raise AnnotationError(f'{where}: height, width: found {shown(height)}, {shown(width)}; expected pixels')
    return rows, columns
