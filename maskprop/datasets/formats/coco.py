"""COCO's JSON with tracks: CVAT's export, CocoVID and mmdet's converters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, cast

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
from maskprop.datasets.json_files import AnnotationError
from maskprop.datasets.rle import compress, inspect_masks, is_absent
from maskprop.utils.files import replace_when_done

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
    records = [r for r in (data.get('annotations') or [])[:1000] if isinstance(r, dict)]
    images = [r for r in data['images'][:1] if isinstance(r, dict)]
    return any(_track_id(r) is not None for r in records) or any('video_id' in r for r in images)


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
    contents = [
        (inside, data) for inside, data in walk_json(source) if isinstance(data, dict) and 'images' in data
    ]
    categories = _categories(contents, source)
    jobs = [job for inside, data in contents for job in _jobs(data, source.name(source.locate(inside)), source)]
    return Reading((_video(*job) for job in jobs), len(jobs), categories)


def _categories(contents: list, source: Source) -> list[Category]:
    found: dict[str, Category] = {}
    for _, data in contents:
        for record in data.get('categories') or []:
            if not isinstance(record, dict) or not isinstance(record.get('name'), str):
                raise AnnotationError(f'{source.given}: categories: {record!r:.60}; expected "id" and "name"')
            found.setdefault(record['name'], Category(cast(int, record.get('id')), record['name']))
    listed = list(found.values())
    ids = [category.id for category in listed]
    if not all(isinstance(i, int) for i in ids) or len(set(ids)) < len(
        ids
    ):  # as files that number them differently
        listed = [Category(number, name) for number, name in enumerate(found, start=1)]
    return listed


def _jobs(data: dict, where: str, source: Source) -> Iterator[tuple]:
    """Arguments of :func:`_video`, one for each video of a file."""
    groups: dict[Any, list[dict]] = {}
    for image in data['images']:
        if not isinstance(image, dict) or not {'id', 'file_name', 'width', 'height'} <= set(image):
            raise AnnotationError(f'{where}: images: {image!r:.80}; expected id, file_name, width and height')
        folder = PurePosixPath(str(image['file_name']).replace('\\', '/')).parent.as_posix()
        groups.setdefault(image.get('video_id', folder), []).append(image)
    titles = {video.get('id'): video.get('name') for video in data.get('videos') or [] if isinstance(video, dict)}
    names = {record.get('id'): record['name'] for record in data.get('categories') or []}
    image_ids = {image['id'] for image in data['images']}
    of_image: dict[Any, list[dict]] = {}
    for record in data.get('annotations') or []:
        if not isinstance(record, dict) or record.get('image_id') not in image_ids:
            raise AnnotationError(f'{where}: annotation {record!r:.60}: image_id: no such image in the file')
        of_image.setdefault(record['image_id'], []).append(record)
    whole = bool((data.get('info') or {}).get(WHOLE)) if isinstance(data.get('info') or {}, dict) else False
    for group, images in groups.items():
        title = titles.get(group) or (group if isinstance(group, str) else None)
        title = source.given.stem if title in (None, '.') else str(title)
        yield title, images, of_image, names, f'{where}: video {title}', whole


def _video(title: str, images: list[dict], of_image: dict, names: dict, where: str, whole: bool) -> ReadVideo:
    if all(isinstance(image.get('frame_id'), int) for image in images):
        images = sorted(images, key=lambda image: image['frame_id'])
        for before, after in pairwise(images):
            if before['frame_id'] == after['frame_id']:
                both = f'{before["file_name"]} and {after["file_name"]}'
                raise AnnotationError(f'{where}: frame_id: {both} have {after["frame_id"]}; number the frames')
    else:
        place = {name: n for n, name in enumerate(in_natural_order([str(i['file_name']) for i in images]))}
        images = sorted(images, key=lambda image: place[str(image['file_name'])])
    height, width = images[0]['height'], images[0]['width']
    builder, annotated = TrackBuilder(where), set(range(len(images))) if whole else set()
    for index, image in enumerate(images):
        if (image['height'], image['width']) != (height, width):
            found = f'{image["width"]}x{image["height"]}, but others of its video {width}x{height}'
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
            if record.get('category_id') not in names:
                raise AnnotationError(f'{name}: category_id: {record.get("category_id")} is not listed')
            builder.add(key, index, names[record['category_id']], mask, _is_crowd(record))
    info = VideoInfo(title, height, width, [str(i['file_name']).replace('\\', '/') for i in images])
    return ReadVideo(info, builder.tracks(), annotated, where)


def _track_id(record: dict) -> tuple[int, str] | None:
    attributes = record.get('attributes')
    found = [record.get('instance_id'), record.get('track_id')]
    found += [attributes.get('track_id')] if isinstance(attributes, dict) else []
    key = next((value for value in found if value is not None), None)
    if key is None:
        return None
    return (key, '') if isinstance(key, int) else (0, str(key))


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
