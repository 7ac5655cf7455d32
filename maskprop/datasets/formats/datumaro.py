"""Datumaro's own JSON, with tracks as attributes of masks and polygons."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from maskprop.datasets.formats.frames import ImageFolder, in_natural_order, place_by_name
from maskprop.datasets.formats.registry import Format
from maskprop.datasets.formats.source import Source, walk_json
from maskprop.datasets.formats.tracks import Category, Reading, ReadOptions, ReadVideo, TrackBuilder, VideoInfo
from maskprop.datasets.formats.values import id_of, inside, name_of, object_id, records, shown, size_of
from maskprop.datasets.json_files import AnnotationError
from maskprop.datasets.rle import compress, inspect_masks, is_absent
from maskprop.utils.json_values import whole_number

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
    for path, data in walk_json(source):
        if not isinstance(data, dict) or 'items' not in data:
            continue
        where = source.name(source.locate(path))
        listed = records(inside(inside(data, 'categories'), 'label'), 'labels', f'{where}: categories: label')
        names = [name_of(label, 'name', f'{where}: categories: labels[{n}]') for n, label in enumerate(listed)]
        labels.update(dict.fromkeys(names))
        groups: dict[str, list[dict]] = {}
        for place, item in enumerate(records(data, 'items', where)):
            number = str(id_of(item, 'id', f'{where}: items[{place}]'))
            groups.setdefault(PurePosixPath(number).parent.as_posix(), []).append(dict(item, id=number))
        jobs += [(path, folder, items, names) for folder, items in groups.items()]
    categories = [Category(number, name) for number, name in enumerate(labels, start=1)]
    images = ImageFolder(options.images) if options.images else None
    return Reading(_videos(source, images, jobs), len(jobs), categories)


def _videos(source: Source, images: ImageFolder | None, jobs: list) -> Iterator[ReadVideo]:
    for path, folder, items, names in jobs:
        video = path.stem if folder == '.' else folder
        where = f'{source.name(source.locate(path))}: {video}'
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
            for annotation in records(item, 'annotations', f'{where}: item {item["id"]}'):
                if annotation.get('type') in SKIPPED:
                    continue
                annotated.add(index)
                name = f'{where}: item {item["id"]}: annotation {annotation.get("id")}'
                label, mask = _label(annotation, names, name), _mask(annotation, info, name)
                builder.add(_track(annotation, name), index, label, mask)
        yield ReadVideo(info, builder.tracks(), annotated, where)


def _sorted(items: list[dict]) -> list[dict]:
    frames: list[Any] = [whole_number(inside(item, 'attr').get('frame')) for item in items]
    if None not in frames and len(set(frames)) == len(frames):
        return [item for _, item in sorted(zip(frames, items, strict=True), key=lambda pair: pair[0])]
    place = {name: index for index, name in enumerate(in_natural_order([item['id'] for item in items]))}
    return sorted(items, key=lambda item: place[item['id']])


def _size(items: list[dict], where: str) -> tuple[int, int]:
    """(height, width) that pictures and masks have."""
    listed = [inside(item, 'image').get('size') for item in items]
    listed += [inside(a, 'rle').get('size') for item in items for a in records(item, 'annotations', where)]
    sizes = {size_of(size[0], size[1], where) for size in listed if isinstance(size, list) and len(size) == 2}
    if len(sizes) != 1:
        problem = f'frames of {len(sizes)} sizes' if sizes else 'no size of a frame'
        raise AnnotationError(f'{where}: {problem}; give the frames by --images, one size a video')
    return sizes.pop()


def _file_name(item: dict) -> str:
    path = str(inside(item, 'image').get('path') or '').replace('\\', '/')
    return item['id'] + (PurePosixPath(path).suffix or '.jpg')


def _track(annotation: dict, where: str) -> tuple[int, str]:
    key = object_id(inside(annotation, 'attributes').get('track_id', annotation.get('object_id')))
    if key is None or key[0] == -1:
        raise AnnotationError(
            f'{where}: no track_id among its attributes, which tells objects apart from frame to frame; export '
            'tracks, or give the objects one'
        )
    return key


def _label(annotation: dict, names: list[str], where: str) -> str:
    number = whole_number(annotation.get('label_id'))
    if number is None or not 0 <= number < len(names):
        found = shown(annotation.get('label_id'))
        raise AnnotationError(f'{where}: label_id: found {found}; the file has {len(names)} labels')
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
    if is_absent(mask):
        raise AnnotationError(
            f'{where}: a {kind} without {"rle" if kind == "mask" else "points"}; export it again'
        )
    faults, _ = inspect_masks([mask], info.height, info.width)
    if faults:
        raise AnnotationError(f'{where}: {faults[0].found}; {faults[0].fix}')
    return compress(mask, info.height, info.width)


FORMAT = Format('datumaro', 'Datumaro JSON', recognise, read)
