"""What is wrong with a source that is of no known format, as far as its files tell."""

from __future__ import annotations

from pathlib import PurePosixPath
from xml.etree import ElementTree

from maskprop.datasets.formats.csv_table import COLUMNS
from maskprop.datasets.formats.source import Source
from maskprop.datasets.json_files import AnnotationError, read_json
from maskprop.utils.json_values import other_content

_LOSSY = ('.jpg', '.jpeg', '.webp')
_PICTURES = ('.png', *_LOSSY, '.bmp', '.tif', '.tiff')


def explain_unknown(source: Source) -> str | None:
    """A sentence that says why a source is of no known format, and what to do; None: its files do not tell."""
    if not source.files:
        return 'has no files'
    path = next((path for path in source.files if path.suffix.lower() not in _PICTURES), None)
    if path is None:
        return _of_pictures(source)
    name = source.name(source.locate(path))
    with open(source.locate(path), 'rb') as file:
        head = file.read(1024)
    if not head:
        return f'{name} is empty; write or download it again'
    if path.suffix.lower() != '.xml' and (found := other_content(head)):
        return f'{name}: {found}'
    if b'\0' in head:
        return f'{name}: is no text, and no format that is read has such files'
    return _of_text(source, path, name)


def _of_pictures(source: Source) -> str | None:
    if all(path.suffix.lower() in _LOSSY for path in source.files):
        return (
            'holds JPEG or WebP pictures alone. If they are frames, give the annotations; if they are masks, '
            'write them as PNG: these formats change the values of pixels, and so the objects'
        )
    return None


def _of_text(source: Source, path: PurePosixPath, name: str) -> str | None:
    suffix = path.suffix.lower()
    if suffix == '.json':
        try:
            read_json(source.locate(path))
        except AnnotationError as error:
            return str(error).replace(str(source.locate(path)), name)
    elif suffix == '.xml':
        try:
            ElementTree.parse(source.locate(path))
        except ElementTree.ParseError as error:
            return f'{name}: no XML that can be read ({error}); export it again'
        return f'{name}: is XML, but not of CVAT: it has no tracks of CVAT for video 1.1 (<annotations>, <track>)'
    elif suffix in ('.csv', '.tsv'):
        return f'{name}: the columns of its first line are not those of this project ({", ".join(COLUMNS)})'
    elif suffix == '.txt':
        first = next((line for line in source.head(path).splitlines() if line.strip()), '')
        return (
            f'{name}: its first line, {first[:60]!r}, is neither MOTS ("frame id class height width rle") nor YOLO'
        )
    elif suffix == '.zip':
        return f'{name}: a zip beside other files; unpack it, and give its folder'
    return None
