"""Folders of PNGs whose values, or colours, are objects: DAVIS, SAM 2, YouTube-VOS and many tools."""

from __future__ import annotations

import warnings
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from maskprop.datasets.formats.frames import needed_images, place_by_name
from maskprop.datasets.formats.label_maps import LabelMaps, check_stems, save_png
from maskprop.datasets.formats.mask_reader import COLOURED, IGNORED, MaskReader
from maskprop.datasets.formats.pictures import INDEXED, picture_mode, split_values
from maskprop.datasets.formats.registry import Format
from maskprop.datasets.formats.source import Source
from maskprop.datasets.formats.tracks import (
    Category,
    Reading,
    ReadOptions,
    ReadVideo,
    Track,
    TrackBuilder,
    VideoFrames,
    VideoInfo,
    encode,
)
from maskprop.datasets.json_files import AnnotationError, read_json
from maskprop.utils.files import fill_when_done, write_json

CLASSES = 'classes.json'


def davis_palette() -> list[int]:
    """The palette of PASCAL VOC and DAVIS: bits of a value spread over red, green and blue."""
    palette = []
    for value in range(256):
        # three bits at a time, lowest first, become the highest of red, green and blue
        bits = [(value >> (3 * digit)) & 7 for digit in range(3)]
        palette += [sum((bit >> channel & 1) << (7 - d) for d, bit in enumerate(bits)) for channel in range(3)]
    return palette


def write_masks(out: Path, videos: Iterable[VideoFrames], categories: Sequence[Category]) -> list[Path]:
    """Writes OUT/VIDEO/FRAME.png, indexed with DAVIS's palette, and OUT/classes.json; streamed.

    A pixel's value is its object's number in the video, 0 is none. Where objects overlap, see :class:`LabelMaps`.
    Crowds become 255, which is ignored.

    Returns:
        The folder.

    Raises:
        AnnotationError: more than 254 objects in a video, or two frames of one name.
    """
    maps, palette, classes = LabelMaps(out), davis_palette(), {}
    with fill_when_done(out) as folder:
        for info, frames in videos:
            of_video: dict[str, str] = {}
            for stem, objects in zip(check_stems(info), frames, strict=True):
                values = {found.id: IGNORED if found.crowd else found.id for found in objects}
                if any(found.id >= IGNORED and not found.crowd for found in objects):
                    raise AnnotationError(f'video {info.name}: more than 254 objects; use mots, coco, cvat or csv')
                of_video.update({str(found.id): found.category for found in objects if not found.crowd})
                picture = Image.fromarray(maps.draw(info, objects, values).astype('uint8')).convert('P')
                picture.putpalette(palette)
                save_png(folder / info.name / f'{stem}.png', picture)
            classes[info.name] = of_video
        write_json(folder / CLASSES, classes)
    maps.warn()
    return [out]


def recognise(source: Source) -> bool:
    """A folder of folders of PNGs, indexed, grey of 8 bits or coloured."""
    pngs = source.of_suffix('.png')
    if not pngs or source.path.is_file() or any(path.parts[0] == 'instances' for path in pngs):
        return False
    others = (path for path in source.files if path.suffix.lower() in ('.jpg', '.jpeg', '.json', '.xml'))
    if any(path.name not in (CLASSES, 'meta.json') for path in others):  # meta.json: YouTube-VOS
        return False
    return picture_mode(source.locate(pngs[0])) in (*INDEXED, *COLOURED)


def read(source: Source, options: ReadOptions) -> Reading:
    """Reads a folder of PNGs for each video: indexed or grey ones by values, coloured ones by colours.

    Values 0 and 255, and black, are no objects. A frame without objects has a PNG of zeros; one without a PNG
    counts as not annotated. The class of each object comes from the options or from a classes.json beside them;
    without either all are ``object``.

    Raises:
        AnnotationError: no folder of frames, a picture that is damaged, of another size or of no frame, an object
            without a class, palettes that differ between the frames of a video, or edges that were smoothed.
    """
    folders: dict[str, list[Path]] = {}
    for path in source.of_suffix('.png'):
        folders.setdefault(path.parent.as_posix(), []).append(source.locate(path))
    return Reading(_videos(source, with_classes(source, options, folders), folders), len(folders))


def with_classes(source: Source, options: ReadOptions, videos: Iterable[str | PurePosixPath]) -> ReadOptions:
    """The options or, if they have no classes, those of each classes.json at the top or beside the videos."""
    if options.classes is not None:
        return options
    beside = {source.path, *(source.path / PurePosixPath(video).parent for video in videos)}
    found = [read_json(path) for path in sorted(folder / CLASSES for folder in beside) if path.is_file()]
    if not found:
        return options
    # what is no dict, class_of refuses
    classes: Any = dict(ChainMap(*found)) if all(isinstance(each, dict) for each in found) else found
    return replace(options, classes=classes)


def _videos(source: Source, options: ReadOptions, folders: dict[str, list[Path]]) -> Iterator[ReadVideo]:
    images = needed_images(options.images, source.given)
    for folder, pngs in folders.items():
        where = source.name(source.path / folder)
        video = source.given.name if folder == '.' else folder
        info = images.frames(images.find(video, where))
        places = place_by_name(info, [path.name for path in pngs], where, str(images.root))
        tracks = _read_video(dict(zip(places, pngs, strict=True)), info, where, options)
        yield ReadVideo(info, tracks, set(places), where)
    images.warn_of_others()


def _read_video(pngs: dict[int, Path], info: VideoInfo, where: str, options: ReadOptions) -> list[Track]:
    """pngs: by index of the frame."""
    reader = MaskReader(info, where, options)
    builder = TrackBuilder(where)
    for place, path in sorted(pngs.items()):
        for value, mask in split_values(reader.read(path)):
            if value != reader.ignored:
                key = reader.key(value)
                builder.add(value, place, class_of(options.classes, info.name, key, where), encode(mask))
    reader.check()
    tracks = builder.tracks()
    if not tracks and reader.saw_ignored:
        raise AnnotationError(f'{where}: no object, all values are 0 or 255: pass --binary if that is one object')
    if not tracks:
        warnings.warn(f'{where}: no object in any frame; the video is kept without annotations', stacklevel=4)
    return tracks


def class_of(classes: Mapping[str, Any] | None, video: str, key: str, where: str) -> str:
    """Class of an object, ``'object'`` where there are no classes.

    Args:
        classes: {video: {object: class}} or {video: class}.
        video, key: of the object.
        where: names its part of the source in messages.

    Raises:
        AnnotationError: ``classes`` has none for it.
    """
    if classes is None:
        return 'object'
    found = classes.get(video, classes.get(video.split('/')[-1])) if isinstance(classes, Mapping) else None
    name = found.get(key) if isinstance(found, Mapping) else found
    if not isinstance(name, str) or not name:
        raise AnnotationError(
            f'{where}: classes: none for object {key} of the video {video}; {CLASSES}, or the file of --classes, '
            f'is to have {{"VIDEO": {{"{key}": "CLASS"}}}}'
        )
    return name


FORMAT = Format('masks', 'PNGs of objects (DAVIS, SAM 2)', recognise, read, write_masks, folder=True)
