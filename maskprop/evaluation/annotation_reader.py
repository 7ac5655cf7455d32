"""The records of a YouTube-VIS annotation file, checked; all three forms of masks become compressed RLE."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskprop.datasets.rle import POLYGON_REACH, is_absent
from maskprop.utils.json_values import LARGEST_ID, MAX_PIXELS, is_finite_number

from .progress import with_progress
from .validation import (
    EvalInputError,
    fail,
    plain_counts,
    require,
    require_dict,
    require_id,
    require_list,
    require_mask,
    require_size,
    shown,
)

NO_ANNOTATIONS = (
    'no annotations, so video AP cannot be computed. The public validation and test sets have none: '
    'write a submission instead (format_only=True of YTVISMetric, --submission results.zip of '
    'maskprop test), or split a set that has them with maskprop split'
)


def require_annotation_file(data: Any, source: str) -> dict:
    """The content of a file of annotations, which must be an object; of a list the error says what it is."""
    if isinstance(data, list):
        fail(
            source,
            '',
            '',
            'a list at the top, as in a results file',
            'Give the annotation file first, then the results',
        )
    return require_dict(data, source, '')


def check_has_annotations(data: Any, source: str) -> None:
    """Raise the one clear error for a file without annotations, such as the public validation sets."""
    require_annotation_file(data, source)
    if not data.get('annotations'):
        raise EvalInputError(f'{source}: {NO_ANNOTATIONS}.')
    if not isinstance(data['annotations'], list):
        fail(source, '', 'annotations', f'found {shown(data["annotations"])}', 'It must be a list of annotations')


def _own_id(record: Any, source: str, name: str) -> int:
    """The ``id`` of a record, in the range that the checker takes; -1 stands for all in the metrics."""
    number = require_id(require_dict(record, source, name), 'id', source, name)
    if not 0 <= number <= LARGEST_ID:
        fail(source, name, 'id', f'found {number}', f'It must be an integer from 0 to {LARGEST_ID}')
    return number


def read_categories(data: dict, source: str) -> dict[int, str]:
    """{category id: name} of a file, by ascending id."""
    listed = require(data, 'categories', source, '', 'a list of {"id", "name"}')
    if not isinstance(listed, list) or not listed:
        fail(source, '', 'categories', f'found {shown(listed)}', 'List at least one {"id", "name"}')
    names: dict[int, str] = {}
    for index, record in enumerate(listed):
        name = f'categories[{index}]'
        number = _own_id(record, source, name)
        if number in names:
            fail(source, name, 'id', f'{number} is already taken', 'Give every category an id of its own')
        title = record.get('name')
        if title is not None and not (isinstance(title, str) and title.strip()):
            fail(source, name, 'name', f'found {shown(title)}', 'It must be a text with a letter, or absent')
        names[number] = str(number) if title is None else title
    return {number: names[number] for number in sorted(names)}


def read_videos(data: dict, source: str) -> dict[int, tuple[tuple[int, int], int]]:
    """{video id: ((h, w), frames)} of a file, in file order.

    Raises:
        EvalInputError: If a video lacks an id, a size or a length, or an id comes twice.
    """
    listed = require(data, 'videos', source, '', 'a list of videos')
    if not isinstance(listed, list) or not listed:
        fail(source, '', 'videos', f'found {shown(listed)}', 'List at least one video')
    videos: dict[int, tuple[tuple[int, int], int]] = {}
    for index, record in enumerate(listed):
        name = f'videos[{index}]'
        number = _own_id(record, source, name)
        name = f'{name} (id {number})'
        if number in videos:
            fail(source, name, 'id', f'{number} is already taken', 'Give every video an id of its own')
        size = require_size(record, 'height', source, name), require_size(record, 'width', source, name)
        if size[0] * size[1] > MAX_PIXELS:
            fail(
                source, name, 'height', f'frames of {size[0]} x {size[1]}', f'At most {MAX_PIXELS} pixels a frame'
            )
        videos[number] = size, _video_length(record, source, name)
    return videos


def _video_length(record: dict, source: str, name: str) -> int:
    files = record.get('file_names')
    if files is None:
        return require_size(record, 'length', source, name)
    if not isinstance(files, list):
        fail(source, name, 'file_names', f'found {shown(files)}', 'It must be the list of the frames')
    length = len(files) if record.get('length') is None else require_size(record, 'length', source, name)
    if length != len(files):
        fail(
            source,
            name,
            'length',
            f'found {length}, but "file_names" lists {len(files)} frames',
            'Make them agree',
        )
    return length


@dataclass
class Track:
    """One annotation: ``name`` for messages, mean of its ``areas``, compressed RLE or None per frame."""

    name: str
    category: int
    crowd: bool
    mean_area: float
    counts: list[str | bytes | None]


def read_annotations(data: dict, videos: dict, categories: dict, source: str) -> dict[int, list[Track]]:
    """{video id: its tracks, in file order}; those of categories that the file does not list are left out."""
    tracks: dict[int, list[Track]] = {video: [] for video in videos}
    seen: dict[int, int] = {}
    unlisted: set[int] = set()
    for index, record in enumerate(with_progress(data['annotations'], 'checking annotations', 'track')):
        name = f'annotations[{index}]'
        number = _own_id(record, source, name)
        name = f'{name} (id {number})'
        if number == 0:
            fail(source, name, 'id', 'found 0', 'Ids start at 1: 0 stands for "not matched" in the metric')
        if number in seen:
            fail(
                source,
                name,
                'id',
                f'{number} is already the id of annotations[{seen[number]}]',
                'Give every annotation an id of its own',
            )
        seen[number] = index
        video = require_id(record, 'video_id', source, name)
        if video not in videos:
            fail(source, name, 'video_id', f'no video has id {video}', 'Add the video or remove the annotation')
        category = require_id(record, 'category_id', source, name)
        track = _read_track(record, source, name, video, category, *videos[video])
        if category in categories:
            tracks[video].append(track)
        else:
            unlisted.add(category)
    if unlisted:
        warnings.warn(
            f'{source}: annotations of categories {sorted(unlisted)} are left out: "categories" does not '
            'list them',
            stacklevel=4,
        )
    return tracks


def _read_track(
    record: dict, source: str, name: str, video: int, category: int, size: tuple[int, int], length: int
) -> Track:
    if record.get('box_only'):
        fail(source, name, 'box_only', 'an object without masks', 'Leave it out: video AP compares masks')
    crowd = require(record, 'iscrowd', source, name, '0 or 1')
    if crowd not in (0, 1):
        fail(source, name, 'iscrowd', f'found {shown(crowd)}', 'It must be 0 or 1')
    areas = require_list(record, 'areas', length, source, name, video)
    for frame, area in enumerate(areas):
        if area is not None and not (is_finite_number(area) and area >= 0):
            fail(
                source,
                f'{name} frame {frame}',
                'areas',
                f'found {shown(area)}',
                'It must be a number of pixels, or null without a mask',
            )
    present = [area for area in areas if area]
    mean_area = float(np.array(present).mean()) if present else 0.0
    masks = require_list(record, 'segmentations', length, source, name, video)
    counts = plain_counts(masks, list(size)) or [
        None if is_absent(mask) else _compressed(mask, size, source, f'{name} frame {frame}')
        for frame, mask in enumerate(masks)
    ]
    return Track(name, category, bool(crowd), mean_area, counts)


def _compressed(mask: Any, size: tuple[int, int], source: str, name: str) -> str | bytes:
    """The compressed counts of any of COCO's three forms: polygons, uncompressed and compressed RLE."""
    height, width = size
    if isinstance(mask, list):
        return _rasterized(mask, size, source, name)
    require_mask(mask, source, name)
    found = mask.get('size')
    if not isinstance(found, (list, tuple)) or list(found) != [height, width]:
        fail(
            source,
            name,
            'segmentations',
            f'mask size {shown(found)}, but the video is [{height}, {width}]',
            'Give "size" as [height, width] of the video',
        )
    counts = mask.get('counts')
    if isinstance(counts, (str, bytes)):
        return counts
    if not isinstance(counts, list) or not {*map(type, counts)} <= {int} or min(counts, default=0) < 0:
        fail(
            source,
            name,
            'segmentations',
            f'RLE counts {shown(counts)}',
            'They must be a compressed string or a list of run lengths',
        )
    if sum(counts) != height * width:
        fail(
            source,
            name,
            'segmentations',
            f'RLE counts sum to {sum(counts)}, but the frame has {height} x {width} = {height * width} pixels',
            'Encode the mask at the size of the video',
        )
    from pycocotools import mask as mask_api

    return mask_api.frPyObjects({'size': [height, width], 'counts': counts}, height, width)['counts']


def _rasterized(polygons: list, size: tuple[int, int], source: str, name: str) -> bytes:
    for polygon in polygons:
        numbers = isinstance(polygon, list) and all(map(is_finite_number, polygon))
        if not numbers or len(polygon) < 6 or len(polygon) % 2:
            fail(
                source,
                name,
                'segmentations',
                f'polygon {shown(polygon)}',
                'A polygon is a list [x, y, x, y, ...] of 3 or more points',
            )
        farthest = max(polygon, key=abs)
        if abs(farthest) > POLYGON_REACH * max(size):
            fail(
                source,
                name,
                'segmentations',
                f'a polygon with a coordinate of {farthest:g}, far outside of the {size[0]} x {size[1]} picture',
                'Clip polygons to the picture',
            )
    from pycocotools import mask as mask_api

    return mask_api.merge(mask_api.frPyObjects(polygons, *size))['counts']
