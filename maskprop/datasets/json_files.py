"""Annotation files as JSON, and the one error that all readers of annotations raise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from maskprop.utils.errors import UserError
from maskprop.utils.json_values import parse_json


class AnnotationError(UserError, ValueError):
    """An annotation file that cannot be used. The message names file, record, field and the fix."""


def read_json(path: str | Path) -> Any:
    """Parses a JSON file.

    Raises:
        AnnotationError: There is no such file, or it is not valid JSON.
    """
    try:
        with open(path, encoding='utf-8-sig') as file:
            return parse_json(file)
    except OSError as error:
        fix = 'see docs/data.md for where the files of a data set are expected'
        raise AnnotationError(f'{path}: cannot be read ({error.strerror}); {fix}') from None
    except ValueError as error:
        fix = f'its {Path(path).stat().st_size} bytes are cut short or damaged: download or write it again'
        raise AnnotationError(f'{path}: not valid JSON ({error}); {fix}') from None
