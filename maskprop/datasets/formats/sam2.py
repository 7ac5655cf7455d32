"""What SAM 2 writes and SA-V holds: a folder of PNGs for each object, or JSON of masklets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from maskprop.datasets.formats.frames import check_size, needed_images, place_by_name, place_by_number
from maskprop.datasets.formats.masks import class_of, with_classes
from maskprop.datasets.formats.pictures import INDEXED, check_same_size, open_picture, picture_mode
from maskprop.datasets.formats.registry import Format
from maskprop.datasets.formats.source import Source, walk_json
from maskprop.datasets.formats.tracks import Reading, ReadOptions, ReadVideo, TrackBuilder, VideoInfo, encode
from maskprop.datasets.formats.values import object_id, shown, size_of
from maskprop.datasets.json_files import AnnotationError
from maskprop.datasets.rle import compress, inspect_masks

ANNOTATED_RATE = 4  # SA-V annotates every fourth frame


def recognise_folders(source: Source) -> bool:
    """VIDEO/OBJECT/FRAME.png, OBJECT being digits."""
    pngs = source.of_suffix('.png')
    fits = (len(path.parts) >= 3 and path.parent.name.isdecimal() for path in pngs[:1000])
    return bool(pngs) and all(fits) and picture_mode(source.locate(pngs[0])) in INDEXED


def read_folders(source: Source, options: ReadOptions) -> Reading:
    """Reads a folder of binary PNGs for each object; masks may overlap.

    A frame is annotated if any object has a PNG of it. Classes as of PNGs of objects; the object is its folder's
    number without zeros in front.

    Raises:
        AnnotationError: no folder of frames, or a picture that is damaged, of another size or of no frame.
    """
    videos: dict[PurePosixPath, list[PurePosixPath]] = {}
    for path in source.of_suffix('.png'):
        videos.setdefault(path.parent.parent, []).append(path)
    return Reading(_folder_videos(source, with_classes(source, options, videos), videos), len(videos))


def _folder_videos(source: Source, options: ReadOptions, videos: dict) -> Iterator[ReadVideo]:
    images = needed_images(options.images, source.given)
    for video, pngs in videos.items():
        where = source.name(source.path / video)
        info = images.frames(images.find(video.as_posix(), where))
        places = place_by_name(info, [path.name for path in pngs], where, str(images.root))
        builder = TrackBuilder(where)
        for path, place in sorted(zip(pngs, places, strict=True), key=lambda pair: pair[1]):
            number = int(path.parent.name)
            mask = _read(source.locate(path), (info.width, info.height))
            builder.add(number, place, class_of(options.classes, info.name, str(number), where), encode(mask))
        yield ReadVideo(info, builder.tracks(), set(places), where)
    images.warn_of_others()


def _read(path: Path, size: tuple[int, int]) -> np.ndarray:
    with open_picture(path) as picture:
        check_same_size(path, picture.size, size)
        if picture.mode not in INDEXED:
            raise AnnotationError(
                f'{path}: a picture of mode {picture.mode}; expected a binary mask of one object'
            )
        return np.asarray(picture) > 0


def recognise_json(source: Source) -> bool:
    """SA-V's JSON."""
    data = source.first_json()
    return isinstance(data, dict) and isinstance(data.get('masklet'), list) and 'video_id' in data


def read_json_files(source: Source, options: ReadOptions) -> Reading:
    """Reads SA-V: a file for each video, of which every fourth frame is annotated, by RLE for each object.

    Of a video with VIDEO_manual.json and VIDEO_auto.json both are read, the automatic objects after the others.

    Raises:
        AnnotationError: no folder of frames, or masks of another size or number than the file says.
    """
    videos: dict[str, list[tuple[PurePosixPath, dict]]] = {}
    for inside, data in walk_json(source):
        if isinstance(data, dict) and 'masklet' in data:
            videos.setdefault(str(data.get('video_id')), []).append((inside, data))
    return Reading(_json_videos(source, options, videos), len(videos))


def _json_videos(source: Source, options: ReadOptions, videos: dict) -> Iterator[ReadVideo]:
    images = needed_images(options.images, source.given)
    for video, files in videos.items():
        where = f'{source.given}: video {video}'
        info = images.frames(images.find(video, where))
        builder, annotated = TrackBuilder(where), set()
        files = sorted(files, key=lambda pair: 'auto' in pair[0].name)
        for part, (inside, data) in enumerate(files):
            name = source.name(source.locate(inside))
            annotated |= _add_masklets(builder, data, info, name, part, options)
        yield ReadVideo(info, builder.tracks(), annotated, where)
    images.warn_of_others()


def _add_masklets(
    builder: TrackBuilder, data: dict, info: VideoInfo, where: str, part: int, options: ReadOptions
) -> set[int]:
    """Adds a file's objects; the frames that it is of."""
    frames, numbers = data['masklet'], data.get('masklet_id')
    if not isinstance(frames, list) or not all(isinstance(masks, list) for masks in frames):
        raise AnnotationError(f'{where}: masklet: expected a list of masks for each annotated frame')
    sides = data.get('video_height', info.height), data.get('video_width', info.width)
    height, width = size_of(*sides, where)
    check_size(info, height, width, where)
    if len(frames) == len(info.file_names):
        places = list(range(len(frames)))
    else:
        by_number = place_by_number(info, [ANNOTATED_RATE * index for index in range(len(frames))], where)
        places = [by_number[ANNOTATED_RATE * index] for index in range(len(frames))]
    for index, (place, masks) in enumerate(zip(places, frames, strict=True)):
        faults, _ = inspect_masks(masks, height, width)
        if faults:
            field = f'masklet[{index}][{faults[0].frame}]'
            raise AnnotationError(f'{where}: {field}: {faults[0].found}; {faults[0].fix}')
        for column, mask in enumerate(masks):
            if not mask:
                continue
            number = numbers[column] if isinstance(numbers, list) and column < len(numbers) else column
            if (key := object_id(number)) is None:
                raise AnnotationError(f'{where}: masklet_id[{column}]: found {shown(number)}; expected a number')
            category = class_of(options.classes, info.name, key[1] or str(key[0]), where)
            builder.add((part, *key), place, category, compress(mask, height, width))
    return set(places)


FOLDERS = Format('sam2-folders', 'a folder of PNGs for each object (SAM 2, SA-V)', recognise_folders, read_folders)
JSON = Format('sa-v', 'SA-V JSON', recognise_json, read_json_files)
