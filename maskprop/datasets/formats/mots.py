"""MOTS: 16-bit PNGs of class * 1000 + id (CVAT's export, KITTI-MOTS, MOTS20), and the same as lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from maskprop.datasets.formats.frames import frame_numbers
from maskprop.datasets.formats.label_maps import LabelMaps, check_stems, save_png
from maskprop.datasets.formats.tracks import Category, FrameObject, VideoFrames, VideoInfo, encode, plain
from maskprop.datasets.json_files import AnnotationError
from maskprop.utils.files import replace_when_done

PER_CLASS = 1000  # value = class * 1000 + number of the object
IGNORE = 10  # class of regions that no class is looked for in
LABELS = 'labels.txt'


def write_mots_png(out: Path, videos: Iterable[VideoFrames], categories: Sequence[Category]) -> list[Path]:
    """Writes OUT/instances/VIDEO/FRAME.png and OUT/instances/labels.txt, as CVAT and Datumaro do; streamed.

    A class is the number of its line in labels.txt, from 1. Where objects overlap, see :class:`LabelMaps`. Crowds
    are left out, with a warning.

    Returns:
        The folder of the pictures.

    Raises:
        AnnotationError: more than 999 objects in a video, more than 64 classes, or two frames of one name.
    """
    folder = out / 'instances'
    numbers = _class_numbers(categories)
    if len(numbers) > 64:
        raise AnnotationError(f'{out}: {len(numbers)} classes; 16 bits hold 64: use coco, or mots-txt')
    maps = LabelMaps(out)
    for info, frames in videos:
        values: dict[int, int] = {}
        for stem, objects in zip(check_stems(info), frames, strict=True):
            objects = without_crowds(objects)
            for found in objects:
                values.setdefault(found.id, _value(info, numbers, found))
            label_map = maps.draw(info, objects, values)
            save_png(folder / info.name / f'{stem}.png', Image.fromarray(label_map))
    _write_labels(folder / LABELS, categories)
    maps.warn()
    return [folder]


def write_mots_txt(out: Path, videos: Iterable[VideoFrames], categories: Sequence[Category]) -> list[Path]:
    """Writes OUT/VIDEO.txt with a line for each object of a frame, and OUT/labels.txt; streamed.

    A line is ``frame id class height width rle``, the id being class * 1000 + number. Frames are counted as the
    numbers in their names do, or from 0 where names have none. Of results (objects with scores) masks are cut where
    they overlap, as the benchmark asks.

    Returns:
        The files.

    Raises:
        AnnotationError: more than 999 objects in a video.
    """
    numbers, files = _class_numbers(categories), []
    maps = LabelMaps(out)
    for info, frames in videos:
        target = out / f'{info.name}.txt'
        of_frame = frame_numbers(info.file_names) or list(range(len(info.file_names)))
        with replace_when_done(target) as temporary, temporary.open('w', encoding='utf-8') as file:
            for frame, objects in zip(of_frame, frames, strict=True):
                for found in _without_overlaps(maps, info, without_crowds(objects)):
                    value = _value(info, numbers, found)
                    counts = plain(found.mask)['counts']
                    head = f'{frame} {value} {numbers[found.category]}'
                    file.write(f'{head} {info.height} {info.width} {counts}\n')
        files.append(target)
    _write_labels(out / LABELS, categories)
    maps.warn()
    return files


def without_crowds(objects: Sequence[FrameObject]) -> list[FrameObject]:
    """The objects that are no crowds."""
    return [found for found in objects if not found.crowd]


def _without_overlaps(maps: LabelMaps, info: VideoInfo, objects: list[FrameObject]) -> list[FrameObject]:
    if not objects or objects[0].score is None:
        return objects
    label_map = maps.draw(info, objects, {found.id: found.id for found in objects})
    masks = [(found, label_map == found.id) for found in objects]
    return [found._replace(mask=encode(mask)) for found, mask in masks if mask.any()]


def _class_numbers(categories: Sequence[Category]) -> dict[str, int]:
    return {category.name: number for number, category in enumerate(categories, start=1)}


def _value(info: VideoInfo, numbers: dict[str, int], found: FrameObject) -> int:
    if found.id >= PER_CLASS:
        raise AnnotationError(
            f'video {info.name}: object {found.id}: MOTS has numbers up to 999; use coco, cvat or csv, or raise the '
            'least score'
        )
    return numbers[found.category] * PER_CLASS + found.id


def _write_labels(path: Path, categories: Sequence[Category]) -> None:
    with replace_when_done(path) as temporary:
        temporary.write_text(''.join(f'{category.name}\n' for category in categories), encoding='utf-8')
