"""JSON from anywhere: read without surprises, and its numbers checked."""

from __future__ import annotations

import json
import math
from numbers import Real
from typing import IO, Any


def parse_json(file: IO) -> Any:
    """``json.load``, whose only errors are ValueErrors.

    Raises:
        ValueError: the file is no JSON, or its lists and objects are nested deeper than Python can follow.
    """
    try:
        return json.load(file)
    except RecursionError:
        raise ValueError('lists or objects are nested too deeply') from None


def is_finite_number(value: Any) -> bool:
    """Whether a value is a number that a float64 holds: no bool, nan or infinity, no integer of 309 digits."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
