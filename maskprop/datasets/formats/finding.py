"""Which format a source is of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from maskprop.datasets.formats import (
    coco,
    csv_table,
    cvat_xml,
    datumaro,
    labelme,
    masks,
    mots_png,
    mots_txt,
    results_files,
    sam2,
    ultralytics,
)
from maskprop.datasets.formats.registry import Format
from maskprop.datasets.formats.source import Source
from maskprop.datasets.formats.unknown import describe
from maskprop.datasets.json_files import AnnotationError

#: All formats. What is not read, but recognised, is here too.
FORMATS: tuple[Format, ...] = (
    masks.FORMAT,
    mots_png.FORMAT,
    mots_txt.FORMAT,
    cvat_xml.FORMAT,
    cvat_xml.IMAGES,
    coco.FORMAT,
    coco.STILLS,
    labelme.FORMAT,
    sam2.FOLDERS,
    sam2.JSON,
    datumaro.FORMAT,
    csv_table.FORMAT,
    ultralytics.TXT,
    ultralytics.JSON,
    ultralytics.BOXES,
    results_files.TRACKS,
    results_files.DETECTIONS,
)
READABLE = {form.name: form for form in FORMATS if form.read or form.detect}
WRITABLE = {form.name: form for form in FORMATS if form.write}


def candidates(source: Source) -> list[Format]:
    """The formats that a source may be of."""
    return [form for form in FORMATS if form.recognise and form.recognise(source)]


def find_format(source: Source, name: str | None = None) -> Format:
    """The format of a source, or the one that the user names.

    Raises:
        AnnotationError: none or several fit; or it is recognised, but not read: says why.
    """
    if name is not None:
        return READABLE[name]
    if _is_ytvis(source):
        raise AnnotationError(f'{source.given}: is in YouTube-VIS format already: the tools take it as it is')
    found = candidates(source)
    if len(found) > 1:
        names = ', '.join(f'--from {form.name} ({form.title})' for form in found)
        raise AnnotationError(f'{source.given}: may be of {len(found)} formats; say which: {names}')
    if not found:
        raise AnnotationError(f'{source.given}: {describe(source)}. docs/formats.md shows what can be imported')
    if found[0].instead:
        raise AnnotationError(f'{source.given}: {found[0].title}: {found[0].instead.format(source=source.given)}')
    return found[0]


def import_hint(path: str | Path, data: Any = None) -> str | None:
    """What to do with a file that is no YouTube-VIS annotation file, but of another format that is known.

    Args:
        path: the file or folder that was given in place of one.
        data: what it holds, if it was read as JSON.

    Returns:
        A sentence with the command; None if the format is not recognised.
    """
    try:
        with Source(path, data) as source:
            found = candidates(source)
    except (OSError, AnnotationError):
        return None
    if not found:
        return None
    if found[0].instead:
        return f'this is {found[0].title}: {found[0].instead.format(source=path)}'
    options = ' --set ANNOTATIONS.json' if found[0].detect else ''
    return f'this is {found[0].title}: maskprop import {path} OUT.json{options} (docs/formats.md)'


def _is_ytvis(source: Source) -> bool:
    data = source.json if source.is_file('.json') else None
    videos = data.get('videos') if isinstance(data, dict) else None
    return bool(isinstance(videos, list) and videos and isinstance(videos[0], dict) and 'file_names' in videos[0])
