"""labelme: a JSON beside each frame; shapes of one ``group_id`` and label are one object."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from maskprop.datasets.formats.frames import ImageFolder, check_size, in_natural_order, place_by_name
from maskprop.datasets.formats.registry import Format
from maskprop.datasets.formats.source import Source
from maskprop.datasets.formats.tracks import Reading, ReadOptions, ReadVideo, TrackBuilder, VideoInfo, encode
from maskprop.datasets.formats.values import name_of, object_id, records, shown, size_of
from maskprop.datasets.image_folders import IMAGE_SUFFIXES
from maskprop.datasets.json_files import AnnotationError, read_json
from maskprop.datasets.rle import compress, inspect_masks
from maskprop.utils.json_values import is_finite_number

SHAPES = ('polygon', 'mask')


def recognise(source: Source) -> bool:
    """Labelme's JSON."""
    return _is_labelme(source.first_json())


def _is_labelme(data: Any) -> bool:
    is_record = isinstance(data, dict) and isinstance(data.get('shapes'), list)
    return is_record and isinstance(data.get('imagePath'), str) and bool(_name(data['imagePath']))


def _name(path: str) -> str:
    """Of the frame, without its folders, which may be those of Windows."""
    return PurePosixPath(path.replace('\\', '/')).name


def read(source: Source, options: ReadOptions) -> Reading:
    """Reads a folder of JSON files, or folders of such, one for each video.

    Frames are the pictures of ``--images``; without it those beside the JSON files, or the ``imagePath`` of the
    files alone. A JSON without shapes says that nothing is visible.

    Raises:
        AnnotationError: a shape without a ``group_id`` or of a kind without an area, a file that names no frame,
            or frames of different sizes.
    """
    folders: dict[PurePosixPath, list[PurePosixPath]] = {}
    for path in source.json_files:
        folders.setdefault(path.parent, []).append(path)
    root = options.images
    if root is None and any(path.suffix.lower() in IMAGE_SUFFIXES for path in source.files):
        root = source.path
    return Reading(_videos(source, ImageFolder(root) if root else None, folders), len(folders))


def _videos(source: Source, images: ImageFolder | None, folders: dict) -> Iterator[ReadVideo]:
    for folder, files in folders.items():
        where = source.name(source.path / folder) if source.path.is_dir() else str(source.given)
        contents = {path: read_json(source.locate(path)) for path in files}
        for path, data in contents.items():
            if not _is_labelme(data):
                raise AnnotationError(
                    f'{source.name(source.locate(path))}: no file of labelme (shapes, imagePath)'
                )
        name = source.given.stem if folder.as_posix() == '.' else folder.as_posix()
        info = _info(images, folder, name, contents, where)
        named = [data['imagePath'] for data in contents.values()]
        places = place_by_name(info, named, where, str(images.root) if images else where)
        if len(set(places)) < len(places):
            twice = next(named[n] for n, place in enumerate(places) if place in places[:n])
            raise AnnotationError(f'{where}: imagePath: two files are of the frame {twice}; keep one of them')
        builder = TrackBuilder(where)
        for (path, data), place in sorted(zip(contents.items(), places, strict=True), key=lambda pair: pair[1]):
            file = source.name(source.locate(path))
            size = data.get('imageHeight') or info.height, data.get('imageWidth') or info.width
            check_size(info, *size, file)
            for number, shape in enumerate(records(data, 'shapes', file)):
                key, mask = _shape(shape, info, f'{file}: shapes[{number}]')
                builder.add(key, place, key[1], mask)
        yield ReadVideo(info, builder.tracks(), set(places), where)
    if images:
        images.warn_of_others()


def _info(images: ImageFolder | None, folder: PurePosixPath, name: str, contents: dict, where: str) -> VideoInfo:
    if images:
        return images.frames(folder.as_posix() if folder.as_posix() in images.videos else images.find(name, where))
    first = next(iter(contents.values()))
    if first.get('imageHeight') is None or first.get('imageWidth') is None:
        raise AnnotationError(f'{where}: no imageHeight and imageWidth; give the frames by --images')
    height, width = size_of(first['imageHeight'], first['imageWidth'], where)
    names = [f'{name}/{_name(data["imagePath"])}' for data in contents.values()]
    if len(set(names)) < len(names):
        twice = next(each for each in names if names.count(each) > 1)
        raise AnnotationError(f'{where}: imagePath: two files are of the frame {twice}; keep one of them')
    return VideoInfo(name, height, width, in_natural_order(names))


def _shape(shape: dict, info: VideoInfo, where: str) -> tuple[tuple[tuple[int, str], str], dict]:
    """Key of the object (its group and label), and its mask."""
    label = name_of(shape, 'label', where)
    kind = shape.get('shape_type') or 'polygon'
    if kind not in SHAPES:
        raise AnnotationError(
            f'{where}: a {kind}, which says nothing of the pixels; draw polygons or masks (labelme makes them of '
            'points and boxes by "AI-Polygon" and "AI-Mask"), or delete it'
        )
    group = object_id(shape.get('group_id'))
    if group is None:
        raise AnnotationError(
            f'{where}: {label} has no group_id (a number or a text), which tells objects apart from frame to '
            'frame: edit the label in labelme and give the object the same group_id in all frames'
        )
    points = shape.get('points')
    if not isinstance(points, list) or not all(_is_point(point) for point in points):
        raise AnnotationError(f'{where}: points: found {shown(points)}; expected [[x, y], ...], finite numbers')
    if kind == 'mask':
        return (group, label), encode(_pasted(shape, points, info, where))
    polygon = [[float(value) for point in points for value in point]]
    faults, _ = inspect_masks([polygon], info.height, info.width)
    if faults:
        raise AnnotationError(f'{where}: {faults[0].found}; {faults[0].fix}')
    return (group, label), compress(polygon, info.height, info.width)


def _is_point(point: Any) -> bool:
    return isinstance(point, list) and len(point) == 2 and all(map(is_finite_number, point))


def _pasted(shape: dict, points: list, info: VideoInfo, where: str) -> np.ndarray:
    """A mask, which labelme keeps as the PNG of its box."""
    try:
        crop = np.asarray(Image.open(io.BytesIO(base64.b64decode(shape['mask'])))) > 0
        left, top = (round(value) for value in points[0])
    except Exception as error:  # Pillow's parsers raise anything on damaged files
        raise AnnotationError(f'{where}: a mask that cannot be read ({error}); save it again') from None
    height, width = crop.shape[:2]
    mask = np.zeros((info.height, info.width), bool)
    if crop.ndim != 2 or left < 0 or top < 0 or left + width > info.width or top + height > info.height:
        raise AnnotationError(f'{where}: a mask that lies outside of the frame; save it again')
    mask[top : top + height, left : left + width] = crop
    return mask


FORMAT = Format('labelme', 'labelme JSON', recognise, read)
