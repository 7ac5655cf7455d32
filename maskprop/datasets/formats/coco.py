"""COCO's JSON with tracks: CVAT's export, CocoVID and mmdet's converters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import cast

from pycocotools import mask as coco_mask

from maskprop.datasets.formats.frames import in_natural_order
from maskprop.datasets.formats.registry import Format
from maskprop.datasets.formats.source import Source, walk_json
from maskprop.datasets.formats.tracks import (
    Category,
    FrameObject,
    Reading,
    ReadOptions,
    ReadVideo,
    TrackBuilder,
    VideoFrames,
    VideoInfo,
    plain,
)
from maskprop.datasets.formats.values import by_id, id_of, inside, name_of, object_id, records, size_of
from maskprop.datasets.json_files import AnnotationError
from maskprop.datasets.rle import compress, inspect_masks, is_absent
from maskprop.utils.files import replace_when_done
from maskprop.utils.json_values import LARGEST_ID, whole_number

WHOLE = 'every_frame_annotated'  # of our own files' info: a frame without annotations has no objects


def write_coco(out: Path, videos: Iterable[VideoFrames], categories: Sequence[Category]) -> list[Path]:
    """Writes one file: ``videos``, ``images`` (``video_id``, ``frame_id``) and ``annotations``.

    The object is both CocoVID's ``instance_id`` and CVAT's ``attributes.track_id``; results have their ``score``.

    Returns:
        The file.
    """
    numbers = {category.name: category.id for category in categories}
    content: dict[str, list] = dict(videos=[], images=[], annotations=[])
    instances = 0
    for video_id, (info, frames) in enumerate(videos, start=1):
        size = dict(height=info.height, width=info.width)
        content['videos'].append(dict(id=video_id, name=info.name, **size))
        most = 0
        for index, (name, objects) in enumerate(zip(info.file_names, frames, strict=True)):
            image_id = len(content['images']) + 1
            image = dict(id=image_id, file_name=name, video_id=video_id, frame_id=index, **size)
            content['images'].append(image)
            for found in objects:
                most = max(most, found.id)
                record = _record(found, numbers[found.category], instances)
                ids = dict(id=len(content['annotations']) + 1, image_id=image_id, video_id=video_id)
                content['annotations'].append({**ids, **record})
        instances += most
    listed = [dict(id=category.id, name=category.name) for category in categories]
    whole = dict(info={WHOLE: True}, licenses=[], **content, categories=listed)
    with replace_when_done(out) as temporary:
        temporary.write_text(json.dumps(whole), encoding='utf-8')
    return [out]


def _record(found: FrameObject, category: int, before: int) -> dict:
    rle = plain(found.mask)
    record = dict(
        category_id=category,
        instance_id=before + found.id,
        segmentation=rle,
        bbox=coco_mask.toBbox(rle).tolist(),
        area=int(coco_mask.area(rle)),
        iscrowd=int(found.crowd),
        attributes=dict(track_id=found.id, occluded=False),
    )
    return record if found.score is None else {**record, 'score': float(found.score)}


def recognise(source: Source) -> bool:
    """Images and annotations of which one has a track."""
    data = source.first_json()
    if not isinstance(data, dict) or not isinstance(data.get('images'), list) or 'annotations' not in data:
        return False
    listed = data['annotations'] if isinstance(data['annotations'], list) else []
    images = [r for r in data['images'][:1] if isinstance(r, dict)]
    return any(_track_id(r) is not None for r in listed[:1000] if isinstance(r, dict)) or any(
        'video_id' in r for r in images
    )


def recognise_stills(source: Source) -> bool:
    """COCO without tracks."""
    data = source.first_json()
    return isinstance(data, dict) and isinstance(data.get('images'), list) and not recognise(source)


def read(source: Source, options: ReadOptions) -> Reading:
    """Reads COCO with tracks.

    A video is the images of one ``video_id``, or without that of one folder; frames are in the order of
    ``frame_id``, or without that of their names. The object is ``instance_id``, ``track_id`` or
    ``attributes.track_id``, anew in each video.

    Raises:
        AnnotationError: a record that lacks something, or names an image or category that is not listed.
    """
    contents = [(path, data) for path, data in walk_json(source) if isinstance(data, dict) and 'images' in data]
    categories = _categories(contents, source)
    jobs = [job for path, data in contents for job in _jobs(data, source.name(source.locate(path)), source)]
    return Reading((_video(*job) for job in jobs), len(jobs), categories)


def _categories(contents: list, source: Source) -> list[Category]:
    found: dict[str, Category] = {}
    for path, data in contents:
        for name, number in _names(data, source.name(source.locate(path))):
            found.setdefault(name, Category(cast(int, number), name))
    listed = list(found.values())
    ids = [category.id for category in listed]
    # as files that number them differently, or by what is no id of YouTube-VIS
    if not all(isinstance(i, int) and 0 <= i <= LARGEST_ID for i in ids) or len(set(ids)) < len(ids):
        listed = [Category(number, name) for number, name in enumerate(found, start=1)]
    return listed


def _names(data: dict, where: str) -> Iterator[tuple[str, int | str]]:
    """Names and ids of a file's categories."""
    for number, record in by_id(records(data, 'categories', where), 'categories', where).items():
        yield name_of(record, 'name', f'{where}: categories: id {number}'), number


def _jobs(data: dict, where: str, source: Source) -> Iterator[tuple]:
    """Arguments of :func:`_video`, one for each video of a file."""
    images = by_id(records(data, 'images', where), 'images', where)
    groups: dict[int | str, list[dict]] = {}
    for number, record in images.items():
        name = f'{where}: image {number}'
        sides = size_of(record.get('height'), record.get('width'), name)
        path = name_of(record, 'file_name', name).replace('\\', '/')
        group: int | str = PurePosixPath(path).parent.as_posix()
        if record.get('video_id') is not None:
            group = id_of(record, 'video_id', name)
        image = dict(id=number, file_name=path, size=sides, frame_id=whole_number(record.get('frame_id')))
        groups.setdefault(group, []).append(image)
    videos = by_id(records(data, 'videos', where), 'videos', where)
    titles = {number: video.get('name') for number, video in videos.items()}
    names = {number: name for name, number in _names(data, where)}
    of_image: dict[int | str, list[dict]] = {}
    for place, record in enumerate(records(data, 'annotations', where)):
        name = f'{where}: annotations[{place}]'
        number = id_of(record, 'image_id', name)
        if number not in images:
            alike = ', but there is one whose id is written otherwise' if str(number) in map(str, images) else ''
            raise AnnotationError(
                f'{name}: image_id: {number!r}: no such image in the file{alike}; correct the id'
            )
        of_image.setdefault(number, []).append(record)
    whole = bool(inside(data, 'info').get(WHOLE))
    for group, of_group in groups.items():
        title = titles.get(group) or (group if isinstance(group, str) else None)
        title = source.given.stem if title in (None, '.') else str(title)
        yield title, of_group, of_image, names, f'{where}: video {title}', whole


def _video(title: str, images: list[dict], of_image: dict, names: dict, where: str, whole: bool) -> ReadVideo:
    if all(image['frame_id'] is not None for image in images):
        images = sorted(images, key=lambda image: image['frame_id'])
        for before, after in pairwise(images):
            if before['frame_id'] == after['frame_id']:
                both = f'{before["file_name"]} and {after["file_name"]}'
                raise AnnotationError(f'{where}: frame_id: {both} have {after["frame_id"]}; number the frames')
    else:
        place = {name: n for n, name in enumerate(in_natural_order([i['file_name'] for i in images]))}
        images = sorted(images, key=lambda image: place[image['file_name']])
    height, width = images[0]['size']
    builder, annotated = TrackBuilder(where), set(range(len(images))) if whole else set()
    for index, image in enumerate(images):
        if image['size'] != (height, width):
            found = '{1}x{0}, but others of its video {3}x{2}'.format(*image['size'], height, width)
            raise AnnotationError(f'{where}: image {image["file_name"]}: {found}; a video has one size')
        for record in of_image.get(image['id'], []):
            annotated.add(index)
            name = f'{where}: annotation {record.get("id")}'
            key, mask = _track_id(record), _mask(record, height, width, name)
            if key is None:
                raise AnnotationError(
                    f'{name}: no track (instance_id, track_id or attributes.track_id); draw it as a track, or '
                    'leave shapes without one out of the export'
                )
            category = id_of(record, 'category_id', name)
            if category not in names:
                raise AnnotationError(f'{name}: category_id: {category!r} is not listed in categories; add it')
            builder.add(key, index, names[category], mask, _is_crowd(record))
    info = VideoInfo(title, height, width, [image['file_name'] for image in images])
    return ReadVideo(info, builder.tracks(), annotated, where)


def _track_id(record: dict) -> tuple[int, str] | None:
    found = [record.get('instance_id'), record.get('track_id'), inside(record, 'attributes').get('track_id')]
    return object_id(next((value for value in found if value is not None), None))


def _is_crowd(record: dict) -> bool:
    """CVAT and Datumaro write ``iscrowd`` of every drawn mask, so that theirs says nothing."""
    own = record.get('instance_id') is not None or record.get('track_id') is not None
    return own and bool(record.get('iscrowd'))


def _mask(record: dict, height: int, width: int, where: str) -> dict:
    segmentation = record.get('segmentation')
    if is_absent(segmentation):
        raise AnnotationError(
            f'{where}: a box without a mask. Masks are needed: draw polygons or masks, or make masks of boxes '
            'with a segmenter such as SAM 2'
        )
    faults, _ = inspect_masks([segmentation], height, width)
    if faults:
        raise AnnotationError(f'{where}: segmentation: {faults[0].found}; {faults[0].fix}')
    return compress(segmentation, height, width)


FORMAT = Format('coco', 'COCO with tracks', recognise, read, write_coco)
STILLS = Format(
    'coco-stills',
    'COCO of single images',
    recognise_stills,
    instead='it has no tracks. As still images: maskprop stills coco {source} OUT.json '
    '(docs/stills.md); of a video, export tracks (docs/formats.md)',
)
