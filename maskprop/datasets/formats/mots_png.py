"""MOTS as PNGs of 16 bits, of class * 1000 + number: CVAT's export, KITTI-MOTS, MOTS20."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from maskprop.datasets.formats.frames import (
    ImageFolder,
    needed_images,
    place_by_name,
)
from maskprop.datasets.formats.label_maps import LabelMaps, check_stems, save_png
from maskprop.datasets.formats.mots_classes import (
    KITTI,
    LABELS,
    PER_CLASS,
    class_numbers,
    class_of,
    listed_categories,
    object_key,
    object_value,
    read_labels,
    warn_of_ignored,
    without_crowds,
    write_labels,
)
from maskprop.datasets.formats.pictures import check_same_size, open_picture, picture_mode, split_values
from maskprop.datasets.formats.registry import Format
from maskprop.datasets.formats.source import Source
from maskprop.datasets.formats.tracks import (
    Category,
    Reading,
    ReadOptions,
    ReadVideo,
    TrackBuilder,
    VideoFrames,
    VideoInfo,
    encode,
)
from maskprop.datasets.json_files import AnnotationError
from maskprop.utils.files import fill_when_done

INSTANCES = 'instances'
SIXTEEN_BITS = ('I;16', 'I;16B', 'I')


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
    numbers = class_numbers(categories)
    if len(numbers) > 64:
        raise AnnotationError(f'{out}: {len(numbers)} classes; 16 bits hold 64: use coco, or mots-txt')
    maps = LabelMaps(out)
    with fill_when_done(folder) as unfinished:
        for info, frames in videos:
            values: dict[int, int] = {}
            for stem, objects in zip(check_stems(info), frames, strict=True):
                objects = without_crowds(objects)
                for found in objects:
                    values.setdefault(found.id, object_value(info, numbers, found))
                label_map = maps.draw(info, objects, values)
                save_png(unfinished / info.name / f'{stem}.png', Image.fromarray(label_map))
        write_labels(unfinished / LABELS, categories)
    maps.warn()
    return [folder]


def recognise(source: Source) -> bool:
    """PNGs in a folder named instances, or of 16 bits."""
    pngs = source.of_suffix('.png')
    if not pngs or source.path.is_file():
        return False
    of_instances = [path for path in pngs if INSTANCES in path.parts[:-1]]
    return bool(of_instances) or picture_mode(source.locate(pngs[0])) in SIXTEEN_BITS


def read(source: Source, options: ReadOptions) -> Reading:
    """Reads MOTS pictures: CVAT's zip or folder, KITTI-MOTS, MOTS20.

    Class k is line k of labels.txt; without it 1 is car and 2 pedestrian. Regions of class 10 that labels.txt does
    not have are ignored ones: they are left out.

    Raises:
        AnnotationError: no folder of frames, a picture that is damaged, of another size or of no frame, or a value
            of no class.
    """
    folders = _png_folders(source)
    labels = {root: read_labels(source.path / root) for root, _ in folders}
    known = [names for names in labels.values() if names]
    categories = listed_categories([name for names in known or [list(KITTI)] for name in names])
    return Reading(_videos(source, options, folders, labels), len(folders), categories)


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


def _videos(source: Source, options: ReadOptions, folders: dict, labels: dict) -> Iterator[ReadVideo]:
    ignored = 0
    shared = ImageFolder(options.images) if options.images else None
    images: dict[PurePosixPath, ImageFolder] = {}
    for (root, video), pngs in folders.items():
        if root not in images:
            images[root] = shared or _images(source, root)
        where = source.name(source.path / root / video)
        # CVAT's export of one video has no folder for it: VIDEO.zip, VIDEO/instances, VIDEO/default/instances
        names = [video] if video else [*root.parts[:1], source.given.stem]
        name = next((name for name in names if name in images[root].videos), names[-1])
        info = images[root].frames(images[root].find(name, where))
        builder = TrackBuilder(where)
        places = place_by_name(info, [path.name for path in pngs], where, str(images[root].root))
        for path, place in zip(pngs, places, strict=True):
            for value, mask in split_values(_read_picture(source.locate(path), info)):
                category = class_of(
                    value // PER_CLASS, labels[root], f'{source.name(source.locate(path))}: {value}'
                )
                ignored += category is None
                if category is not None:
                    builder.add(object_key(value), place, category, encode(mask))
        yield ReadVideo(info, builder.tracks(), set(places), where)
    warn_of_ignored(ignored, source)
    for folder in {id(folder): folder for folder in images.values()}.values():
        folder.warn_of_others()


def _images(source: Source, root: PurePosixPath) -> ImageFolder:
    """The folder images beside the masks, as CVAT and Datumaro have it."""
    beside = source.path / root.parent / 'images'
    return ImageFolder(beside) if root.parts and beside.is_dir() else needed_images(None, source.given)


def _read_picture(path: Path, info: VideoInfo) -> np.ndarray:
    with open_picture(path) as picture:
        check_same_size(path, picture.size, (info.width, info.height))
        if picture.mode not in (*SIXTEEN_BITS, 'L', '1'):
            raise AnnotationError(f'{path}: a picture of mode {picture.mode}; MOTS has grey PNGs of 16 bits')
        return np.asarray(picture).astype(np.int64)


FORMAT = Format('mots', 'MOTS PNG', recognise, read, write_mots_png, folder=True)
