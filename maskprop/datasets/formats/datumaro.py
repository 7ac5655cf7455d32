"""Datumaro's own JSON, with tracks as attributes of masks and polygons."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from maskprop.datasets.formats.frames import ImageFolder, in_natural_order, place_by_name
from maskprop.datasets.formats.registry import Format
from maskprop.datasets.formats.source import Source, walk_json
from maskprop.datasets.formats.tracks import Category, Reading, ReadOptions, ReadVideo, TrackBuilder, VideoInfo
from maskprop.datasets.json_files import AnnotationError
from maskprop.datasets.rle import compress, inspect_masks

SKIPPED = ('label', 'caption')  # of whole pictures


def recognise(source: Source) -> bool:
    """Datumaro's JSON: items, and categories by kind."""
    data = source.first_json()
    return (
        isinstance(data, dict) and isinstance(data.get('items'), list) and isinstance(data.get('categories'), dict)
    )


def read(source: Source, options: ReadOptions) -> Reading:
    """Reads Datumaro's annotations/SUBSET.json, or a folder with it.

    A video is the items whose ids lie in one folder (in a subset without folders, the subset); frames are in the
    order of the attribute ``frame``, or without that of their ids. The object is the attribute ``track_id``, or
    ``object_id``. An item without annotations counts as not annotated.

    Raises:
        AnnotationError: an annotation without a track or of a kind without an area, or frames without a size.
    """
    jobs, labels = [], {}
    for inside, data in walk_json(source):
        if not isinstance(data, dict) or 'items' not in data:
            continue
        listed = (data['categories'].get('label') or {}).get('labels') or []
        names = [label['name'] for label in listed]
        labels.update(dict.fromkeys(names))
        groups: dict[str, list[dict]] = {}
        for item in data['items']:
            groups.setdefault(PurePosixPath(str(item.get('id'))).parent.as_posix(), []).append(item)
        jobs += [(inside, folder, items, names) for folder, items in groups.items()]
    categories = [Category(number, name) for number, name in enumerate(labels, start=1)]
    images = ImageFolder(options.images) if options.images else None
    return Reading(_videos(source, images, jobs), len(jobs), categories)


def _videos(source: Source, images: ImageFolder | None, jobs: list) -> Iterator[ReadVideo]:
    for inside, folder, items, names in jobs:
        video = inside.stem if folder == '.' else folder
        where = f'{source.name(source.locate(inside))}: {video}'
        items = _sorted(items)
        if images:
            info = images.frames(images.find(video, where))
            places = place_by_name(info, [_file_name(item) for item in items], where, str(images.root))
        else:
            height, width = _size(items, where)
            info = VideoInfo(video, height, width, [_file_name(item) for item in items])
            places = list(range(len(items)))
        builder, annotated = TrackBuilder(where), set()
        for index, item in zip(places, items, strict=True):
            for annotation in item.get('annotations') or []:
                if annotation.get('type') in SKIPPED:
                    continue
                annotated.add(index)
                name = f'{where}: item {item.get("id")}: annotation {annotation.get("id")}'
                label, mask = _label(annotation, names, name), _mask(annotation, info, name)
                builder.add(_track(annotation, name), index, label, mask)
        yield ReadVideo(info, builder.tracks(), annotated, where)


def _sorted(items: list[dict]) -> list[dict]:
    frames: list[Any] = [(item.get('attr') or {}).get('frame') for item in items]
    if all(isinstance(frame, int) for frame in frames) and len(set(frames)) == len(frames):
        return [item for _, item in sorted(zip(frames, items, strict=True), key=lambda pair: pair[0])]
    place = {name: index for index, name in enumerate(in_natural_order([str(item.get('id')) for item in items]))}
    return sorted(items, key=lambda item: place[str(item.get('id'))])


def _size(items: list[dict], where: str) -> tuple[int, int]:
    sizes = {tuple((item.get('image') or {}).get('size') or ()) for item in items}
    sizes |= {
        tuple(annotation['rle']['size'])
        for item in items
        for annotation in item.get('annotations') or []
        if isinstance(annotation.get('rle'), dict)
    }
    found = sorted(size for size in sizes if len(size) == 2)
    if len(found) != 1:
        problem = f'frames of {len(found)} sizes' if found else 'no size of a frame'
        raise AnnotationError(f'{where}: {problem}; give the frames by --images, one size a video')
    return found[0]


def _file_name(item: dict) -> str:
    path = str((item.get('image') or {}).get('path') or '').replace('\\', '/')
    name = str(item.get('id'))
    return name + (PurePosixPath(path).suffix or '.jpg')


def _track(annotation: dict, where: str) -> tuple[int, str]:
    attributes = annotation.get('attributes') or {}
    key = attributes.get('track_id', annotation.get('object_id'))
    if key is None or key == -1:
        raise AnnotationError(
            f'{where}: no track_id among its attributes, which tells objects apart from frame to frame; export '
            'tracks, or give the objects one'
        )
    return (key, '') if isinstance(key, int) else (0, str(key))


def _label(annotation: dict, names: list[str], where: str) -> str:
    number: Any = annotation.get('label_id')
    if not isinstance(number, int) or not 0 <= number < len(names):
        raise AnnotationError(f'{where}: label_id: {number}; the file has {len(names)} labels')
    return names[number]


def _mask(annotation: dict, info: VideoInfo, where: str) -> dict:
    kind = annotation.get('type')
    if kind == 'mask':
        mask: Any = annotation.get('rle')
    elif kind == 'polygon':
        mask = [annotation.get('points') or []]
    else:
        raise AnnotationError(
            f'{where}: a {kind}, which says nothing of the pixels; masks and polygons are needed'
        )
    faults, _ = inspect_masks([mask], info.height, info.width)
    if faults:
        raise AnnotationError(f'{where}: {faults[0].found}; {faults[0].fix}')
    return compress(mask, info.height, info.width)


FORMAT = Format('datumaro', 'Datumaro JSON', recognise, read)
