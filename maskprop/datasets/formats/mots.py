"""MOTS: 16-bit PNGs of class * 1000 + id (CVAT's export, KITTI-MOTS, MOTS20), and the same as lines of text."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from maskprop.datasets.formats.frames import (
    ImageFolder,
    check_size,
    frame_numbers,
    needed_images,
    place_by_name,
    place_by_number,
)
from maskprop.datasets.formats.label_maps import LabelMaps, check_stems, save_png
from maskprop.datasets.formats.pictures import check_same_size, open_picture, picture_mode, split_values
from maskprop.datasets.formats.registry import Format
from maskprop.datasets.formats.source import Source
from maskprop.datasets.formats.tracks import (
    Category,
    FrameObject,
    Reading,
    ReadOptions,
    ReadVideo,
    TrackBuilder,
    VideoFrames,
    VideoInfo,
    encode,
    plain,
)
from maskprop.datasets.json_files import AnnotationError
from maskprop.datasets.rle import inspect_masks
from maskprop.utils.files import replace_when_done

INSTANCES = 'instances'
SIXTEEN_BITS = ('I;16', 'I;16B', 'I')
KITTI = ('car', 'pedestrian')  # classes 1 and 2 where no labels.txt says otherwise
_LINE = re.compile(r'\s*\d+ \d+ \d+ \d+ \d+ \S+')
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
    folder = out / INSTANCES
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
    numbers in their names do, or from 0 where names have none. Of results (objects with scores) masks are cut
    where they overlap, as the benchmark asks.

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
            f'video {info.name}: object {found.id}: MOTS has numbers up to 999; use coco, cvat or csv'
        )
    return numbers[found.category] * PER_CLASS + found.id


def _write_labels(path: Path, categories: Sequence[Category]) -> None:
    with replace_when_done(path) as temporary:
        temporary.write_text(''.join(f'{category.name}\n' for category in categories), encoding='utf-8')


def recognise_png(source: Source) -> bool:
    """PNGs in a folder named instances, or of 16 bits."""
    pngs = source.of_suffix('.png')
    if not pngs or source.path.is_file():
        return False
    of_instances = [path for path in pngs if INSTANCES in path.parts[:-1]]
    return bool(of_instances) or picture_mode(source.locate(pngs[0])) in SIXTEEN_BITS


def read_png(source: Source, options: ReadOptions) -> Reading:
    """Reads MOTS pictures: CVAT's zip or folder, KITTI-MOTS, MOTS20.

    Class k is line k of labels.txt; without it 1 is car and 2 pedestrian. Regions of class 10 that labels.txt does
    not have are ignored ones: they are left out.

    Raises:
        AnnotationError: no folder of frames, a picture that is damaged, of another size or of no frame, or a value
            of no class.
    """
    folders = _png_folders(source)
    labels = {root: _labels(source.path / root) for root, _ in folders}
    known = [names for names in labels.values() if names]
    categories = _categories([name for names in known or [KITTI] for name in names])
    return Reading(_png_videos(source, options, folders, labels), len(folders), categories)


def _png_folders(source: Source) -> dict[tuple[PurePosixPath, str], list[PurePosixPath]]:
    """(root of the masks, video) -> its pictures."""
    found: dict[tuple[PurePosixPath, str], list[PurePosixPath]] = {}
    has_instances = any(INSTANCES in path.parts[:-1] for path in source.of_suffix('.png'))
    for path in source.of_suffix('.png'):
        parts = path.parts[:-1]
        if has_instances and INSTANCES not in parts:
            continue  # frames, not masks
        end = len(parts) - parts[::-1].index(INSTANCES) if has_instances else 0
        found.setdefault((PurePosixPath(*parts[:end]), '/'.join(parts[end:])), []).append(path)
    return found


def _png_videos(source, options, folders, labels) -> Iterator[ReadVideo]:
    ignored = 0
    images: dict[PurePosixPath, ImageFolder] = {}
    for (root, video), pngs in folders.items():
        if root not in images:
            images[root] = _images(source, options, root)
        name = video or (root.parent.as_posix() if root.parts[:-1] else source.given.stem)
        where = source.name(source.path / root / video)
        info = images[root].frames(images[root].find(name, where))
        builder = TrackBuilder(where)
        places = place_by_name(info, [path.name for path in pngs], where, str(images[root].root))
        for path, place in zip(pngs, places, strict=True):
            for value, mask in split_values(_read_png(source.locate(path), info)):
                category = _class_of(
                    value // PER_CLASS, labels[root], f'{source.name(source.locate(path))}: {value}'
                )
                ignored += category is None
                if category is not None:
                    builder.add(_key(value), place, category, encode(mask))
        yield ReadVideo(info, builder.tracks(), set(places), where)
    _warn_of_ignored(ignored, source)
    for folder in images.values():
        folder.warn_of_others()


def _images(source: Source, options: ReadOptions, root: PurePosixPath) -> ImageFolder:
    """As given, else the folder images beside the masks, as CVAT and Datumaro have it."""
    beside = source.path / root.parent / 'images'
    if options.images is None and root.parts and beside.is_dir():
        return ImageFolder(beside)
    return needed_images(options.images, source.given)


def _read_png(path: Path, info: VideoInfo) -> np.ndarray:
    with open_picture(path) as picture:
        check_same_size(path, picture.size, (info.width, info.height))
        if picture.mode not in (*SIXTEEN_BITS, 'L', '1'):
            raise AnnotationError(f'{path}: a picture of mode {picture.mode}; MOTS has grey PNGs of 16 bits')
        return np.asarray(picture).astype(np.int64)


def recognise_txt(source: Source) -> bool:
    """Text files whose lines are those of MOTS."""
    found = [path for path in source.of_suffix('.txt') if path.name not in (LABELS, 'seqinfo.txt')]
    return any(_LINE.match(source.head(path if source.path.is_dir() else None)) for path in found[:3])


def read_txt(source: Source, options: ReadOptions) -> Reading:
    """Reads MOTS lines: VIDEO.txt or VIDEO/gt/gt.txt.

    Classes as of :func:`read_png`. A frame without a line counts as one without annotation.

    Raises:
        AnnotationError: no folder of frames, a line that is none of MOTS, a mask of another size than the frames.
    """
    files = [path for path in source.of_suffix('.txt') if path.name != LABELS]
    names = next((n for p in {p.parent for p in files} if (n := _labels(source.path / p))), None)
    return Reading(_txt_videos(source, options, files, names), len(files), _categories(names or KITTI))


def _txt_videos(source, options, files, names) -> Iterator[ReadVideo]:
    images, ignored = needed_images(options.images, source.given), 0
    for path in files:
        parts = path.with_suffix('').parts
        video = '/'.join(parts[:-2] if parts[-2:] == ('gt', 'gt') else parts)
        where = source.name(source.locate(path))
        info = images.frames(images.find(video, where))
        with open(source.locate(path), encoding='utf-8-sig') as file:
            rows = [_row(line, info, f'{where}: line {n}') for n, line in enumerate(file, 1) if line.strip()]
        places = place_by_number(info, [row[0] for row in rows], where)
        builder = TrackBuilder(where)
        for number, (frame, value, label, mask) in enumerate(rows, 1):
            category = _class_of(label, names, f'{where}: line {number}')
            ignored += category is None
            if category is not None:
                builder.add(_key(value), places[frame], category, mask)
        yield ReadVideo(info, builder.tracks(), {places[row[0]] for row in rows}, where)
    _warn_of_ignored(ignored, source)
    images.warn_of_others()


def _row(line: str, info: VideoInfo, where: str) -> tuple[int, int, int, dict]:
    """frame, id, class and mask of a line."""
    cells = line.split()
    if len(cells) != 6 or not all(cell.isdecimal() for cell in cells[:5]):
        raise AnnotationError(f'{where}: {line.strip()[:40]!r}; expected "frame id class height width rle"')
    frame, value, label, height, width = map(int, cells[:5])
    check_size(info, height, width, where)
    mask = dict(size=[height, width], counts=cells[5])
    faults, _ = inspect_masks([mask], height, width)
    if faults:
        raise AnnotationError(f'{where}: {faults[0].found}; {faults[0].fix}')
    return frame, value, label, mask


def _labels(folder: Path) -> list[str] | None:
    path = folder / LABELS
    if not path.is_file():
        return None
    lines = path.read_text(encoding='utf-8-sig').splitlines()
    return [line.strip() for line in lines if line.strip()]


def _categories(names: Sequence[str]) -> list[Category]:
    return [Category(number, name) for number, name in enumerate(dict.fromkeys(names), start=1)]


def _class_of(number: int, labels: Sequence[str] | None, where: str) -> str | None:
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


def _key(value: int) -> tuple[int, int]:
    """Sorts objects by number, then by class."""
    return value % PER_CLASS, value


def _warn_of_ignored(count: int, source: Source) -> None:
    if count:
        warnings.warn(f'{source.given}: {count} masks of ignored regions (class 10) are left out', stacklevel=3)


PNG = Format('mots', 'MOTS PNG', recognise_png, read_png, write_mots_png, folder=True)
TXT = Format('mots-txt', 'MOTS txt', recognise_txt, read_txt, write_mots_txt, folder=True)
