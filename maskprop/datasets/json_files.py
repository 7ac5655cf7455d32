"""Annotation files as JSON or lines of text, and the one error that all readers of annotations raise."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from maskprop.utils.errors import UserError
from maskprop.utils.json_values import other_content, parse_json, repeated_key
from maskprop.utils.text import decode_text


class AnnotationError(UserError, ValueError):
    """An annotation file that cannot be used. The message names file, record, field and the fix."""


def read_json(path: str | Path) -> Any:
    """Parses a JSON file.

    Raises:
        AnnotationError: There is no such file, it is not valid JSON, or a key at its top comes twice.
    """
    try:
        content = Path(path).read_bytes()
        data = parse_json(io.TextIOWrapper(io.BytesIO(content), encoding='utf-8-sig'))
    except OSError as error:
        fix = 'see docs/data.md for where the files of a data set are expected'
        raise AnnotationError(f'{path}: cannot be read ({error.strerror}); {fix}') from error
    except ValueError as error:
        cut = f'its {len(content)} bytes are cut short or damaged: download or write it again'
        raise AnnotationError(f'{path}: not valid JSON ({error}); {other_content(content) or cut}') from None
    if key := repeated_key(content, data):
        raise AnnotationError(f'{path}: {key!r} comes twice, and one would be lost; write it once')
    return data


def read_text(path: str | Path) -> str:
    """The text of a file with its line ends as they are.

    Raises:
        AnnotationError: it is neither UTF-8 nor UTF-16 with a byte order mark.
    """
    try:
        return decode_text(Path(path).read_bytes())
    except ValueError as error:
        raise AnnotationError(f'{path}: {error}') from None
