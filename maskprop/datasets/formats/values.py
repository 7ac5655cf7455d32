"""Numbers and ids of objects, as many programs write them: 1, 1.0 and "1" are one number."""

from __future__ import annotations

import re
from typing import Any

from maskprop.utils.json_values import whole_number

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
