"""What both forms of MOTS share: classes, and values of class * 1000 + number of the object."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from maskprop.datasets.formats.source import Source
from maskprop.datasets.formats.tracks import Category, FrameObject, VideoInfo
from maskprop.datasets.json_files import AnnotationError, read_text
from maskprop.utils.files import replace_when_done

PER_CLASS = 1000  # value = class * 1000 + number of the object
IGNORE = 10  # class of regions that no class is looked for in
LABELS = 'labels.txt'
KITTI = ('car', 'pedestrian')  # classes 1 and 2 where no labels.txt says otherwise


def without_crowds(objects: Sequence[FrameObject]) -> list[FrameObject]:
    """The objects that are no crowds."""
    return [found for found in objects if not found.crowd]


def class_numbers(categories: Sequence[Category]) -> dict[str, int]:
    """Number of each class by name: its place in the list, from 1."""
    return {category.name: number for number, category in enumerate(categories, start=1)}


def object_value(info: VideoInfo, numbers: dict[str, int], found: FrameObject) -> int:
    """Class * 1000 + number of an object.

    Args:
        numbers: of :func:`class_numbers`.

    Raises:
        AnnotationError: the object's number has more than three digits.
    """
    if found.id >= PER_CLASS:
        raise AnnotationError(
            f'video {info.name}: object {found.id}: MOTS has numbers up to 999; use coco, cvat or csv'
        )
    return numbers[found.category] * PER_CLASS + found.id


def write_labels(path: Path, categories: Sequence[Category]) -> None:
    """Write labels.txt: a name a line, in the order of the classes' numbers.

    Raises:
        AnnotationError: a name has a line break.
    """
    broken = [category.name for category in categories if len(category.name.splitlines()) != 1]
    if broken:
        raise AnnotationError(
            f'categories: name: {broken[0]!r} is not one line, as {LABELS} has it; rename it, or use coco'
        )
    with replace_when_done(path) as temporary:
        temporary.write_text(''.join(f'{category.name}\n' for category in categories), encoding='utf-8')


def read_labels(folder: Path) -> list[str] | None:
    """Names of the classes 1, 2, ... by the folder's labels.txt; None without one.

    Raises:
        AnnotationError: a line between others is empty, so that the numbers of those after it are in doubt.
    """
    path = folder / LABELS
    if not path.is_file():
        return None
    names = [line.strip() for line in read_text(path).rstrip().splitlines()]
    if '' in names:
        number = names.index('') + 1
        raise AnnotationError(f'{path}: line {number}: is empty, but line k names class k; name it, or delete it')
    return names


def listed_categories(names: Sequence[str]) -> list[Category]:
    """Categories of the names, each once, with ids from 1."""
    return [Category(number, name) for number, name in enumerate(dict.fromkeys(names), start=1)]


def class_of(number: int, labels: Sequence[str] | None, where: str) -> str | None:
    """Name of a class; None: an ignored region."""
    names = labels or KITTI
    if 0 < number <= len(names):
        return names[number - 1]
    if number == IGNORE:
        return None
    found = 'labels.txt has' if labels else 'without labels.txt there are'
    raise AnnotationError(
        f'{where}: class {number}, but {found} {len(names)}: {", ".join(names[:5])}. Values are class * 1000 + '
        'number of the object; masks whose values are numbers of objects alone: --from masks'
    )


def object_key(value: int) -> tuple[int, int]:
    """Sorts objects by number, then by class."""
    return value % PER_CLASS, value


def warn_of_ignored(count: int, source: Source) -> None:
    """Say how many masks of class 10 were left out, if any."""
    if count:
        warnings.warn(f'{source.given}: {count} masks of ignored regions (class 10) are left out', stacklevel=3)
