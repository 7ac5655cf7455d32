"""COCO's JSON with tracks: CVAT's export, CocoVID and mmdet's converters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from pycocotools import mask as coco_mask

from maskprop.datasets.formats.tracks import Category, FrameObject, VideoFrames, plain
from maskprop.utils.files import replace_when_done

WHOLE = 'every_frame_annotated'  # of our own files' info: a frame without annotations has no objects


def write_coco(out: Path, videos: Iterable[VideoFrames], categories: Sequence[Category]) -> list[Path]:
    """Writes one file: ``videos``, ``images`` (``video_id``, ``frame_id``) and ``annotations`` with the object both as
    CocoVID's ``instance_id`` and as CVAT's ``attributes.track_id``; results have their ``score``.

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
