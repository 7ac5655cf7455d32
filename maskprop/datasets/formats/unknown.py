"""What a source is that is of no known format, as far as it shows, and what to do."""

from __future__ import annotations

from collections import Counter

from maskprop.datasets.formats.source import Source
from maskprop.datasets.image_folders import IMAGE_SUFFIXES
from maskprop.datasets.json_files import read_json
from maskprop.utils.json_values import other_content
from maskprop.utils.text import one_line

JPEG = ('.jpg', '.jpeg')


def describe(source: Source) -> str:
    """A sentence of what is in the source and, where that shows, what to do.

    Raises:
        AnnotationError: it is JSON, or the first file of a folder that is, and cannot be read.
    """
    if not source.path.is_dir():
        return _of_file(source)
    if not source.files:
        return 'holds no file; give the folder of the annotations'
    found = Counter(path.suffix.lower() or path.name for path in source.files)
    if archives := source.of_suffix('.zip'):
        return f'holds zips, as {archives[0]}; unpack them, and give the folder'
    if set(found) <= set(JPEG):
        return (
            f'holds {_counted(found)}: frames, which go to --images, or masks that JPEG has changed beyond use; '
            'write masks as PNG, which keeps every value'
        )
    if source.json_files:
        return f'holds {_counted(found)}; its first JSON, {source.json_files[0]}, {_of_json(source)}'
    if set(found) <= set(IMAGE_SUFFIXES):
        return f'holds {_counted(found)}; of masks it must have PNGs and nothing else, frames go to --images'
    return f'holds {_counted(found)}, of no known format'


def _of_file(source: Source) -> str:
    with source.path.open('rb') as file:
        head = file.read(512)
    if not head:
        return 'is empty (0 bytes); export or download it again'
    suffix = source.path.suffix.lower()
    if suffix == '.json':
        return f'JSON that {_of_json(source)}'
    if suffix == '.xml':
        return 'XML that is not CVAT\'s (an <annotations> with a <track>); export "CVAT for video 1.1"'
    if suffix in IMAGE_SUFFIXES:
        return 'is one picture; give the folder of the masks of all frames'
    if suffix in ('.csv', '.txt'):
        line = source.head().split('\n', 1)[0].strip()
        line = one_line(line if len(line) <= 60 else f'{line[:57]}...')
        return f'of no known format; its first line is "{line}"'
    return other_content(head) or f'a file {suffix or "without suffix"}; expected .json, .xml, .csv, .txt or .zip'


def _of_json(source: Source) -> str:
    data = read_json(source.locate(source.json_files[0]))
    if not isinstance(data, dict):
        return f'holds a {type(data).__name__}, as no format has'
    return f'has the keys {sorted(data)[:8]}, as no format has'


def _counted(found: Counter[str]) -> str:
    return ', '.join(f'{count} {name}' for name, count in found.most_common(4))
