"""Annotation sets and results of YouTube-VIS as frames of objects, which the writers of all formats take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from maskprop.datasets.formats.tracks import Category, FrameObject, VideoFrames, VideoInfo, video_names
from maskprop.datasets.formats.values import id_of, shown
from maskprop.datasets.json_files import AnnotationError
from maskprop.datasets.rle import compress, inspect_masks, is_absent
from maskprop.utils.json_values import is_finite_number


def categories_of(gt: Mapping[str, Any]) -> list[Category]:
    """The categories of a set, by id."""
    return sorted(Category(record['id'], record['name']) for record in gt['categories'])


def frames_of_set(
    gt: Mapping[str, Any], results: Iterable[dict] | None = None, source: str = ''
) -> Iterator[VideoFrames]:
    """Videos of a set with their frames; an object's number is its place among those of its video, from 1.

    Args:
        gt: a loaded file. It may lack annotations if there are results.
        results: records of a results file of the set; its tracks are given in place of the annotations.
        source: the file of the results, or else of the set, for messages.

    Raises:
        AnnotationError: a result is of a video or category that the set lacks, has another number of frames, or a
            mask that is not of its video's size.
    """
    records = gt['annotations'] if results is None else results
    of_video: dict[int | str, list[dict]] = defaultdict(list)
    where = f'{source}: ' if source else ''
    for number, record in enumerate(records or []):
        name = f'{where}results[{number}]'
        if not isinstance(record, dict):
            raise AnnotationError(f'{name}: found {shown(record)}; expected an object {{...}}')
        if results is None:
            name = f'{where}annotation {record["id"]}'
        of_video[id_of(record, 'video_id', name)].append(dict(record, name=name))
    unknown = set(of_video) - {video['id'] for video in gt['videos']}
    if unknown:
        record = of_video[min(unknown, key=str)][0]
        raise AnnotationError(
            f'{record["name"]}: video_id: {record.get("video_id")} is no video of the set; '
            'give the set that the results are of'
        )
    names = {category.id: category.name for category in categories_of(gt)}
    of_videos = [video['file_names'] for video in gt['videos']]
    titles = video_names(of_videos, [video['id'] for video in gt['videos']])
    for video, title in zip(gt['videos'], titles, strict=True):
        info = VideoInfo(title, video['height'], video['width'], video['file_names'])
        yield info, objects_by_frame(of_video.get(video['id'], []), info, names)


def objects_by_frame(
    records: Sequence[dict], info: VideoInfo, names: Mapping[int, str]
) -> list[list[FrameObject]]:
    """The objects of each frame of a video.

    Args:
        records: annotations or results of the video: ``category_id``, ``segmentations``, and ``score`` of results.
        info: the video.
        names: of the categories, by id.

    Raises:
        AnnotationError: as :func:`frames_of_set`.
    """
    frames: list[list[FrameObject]] = [[] for _ in info.file_names]
    for number, record in enumerate(records, start=1):
        where = record.get('name', f'record {number}')
        masks = record.get('segmentations')
        if not isinstance(masks, list) or len(masks) != len(frames):
            found = f'{len(masks)} entries' if isinstance(masks, list) else repr(masks)
            raise AnnotationError(
                f'{where}: segmentations: {found}; {info.name} has {len(frames)} frames, and each needs one'
            )
        if id_of(record, 'category_id', where) not in names:
            raise AnnotationError(f'{where}: category_id: {record["category_id"]} is no category of the set')
        faults, _ = inspect_masks(masks, info.height, info.width)
        if faults:
            raise AnnotationError(f'{where}: segmentations[{faults[0].frame}]: {faults[0].found}; {faults[0].fix}')
        category, score = names[record['category_id']], record.get('score')
        if score is not None and not is_finite_number(score):
            raise AnnotationError(f'{where}: score: found {shown(score)}; expected a finite number')
        for frame, mask in zip(frames, masks, strict=True):
            if not is_absent(mask):
                rle = compress(mask, info.height, info.width)
                frame.append(FrameObject(number, category, score, rle, bool(record.get('iscrowd'))))
    return frames


def drop_scores_below(videos: Iterable[VideoFrames], least: float) -> Iterator[VideoFrames]:
    """The videos without objects of a lower score."""
    for info, frames in videos:
        yield info, ([o for o in objects if o.score is None or o.score >= least] for objects in frames)


def tracks_of_frames(frames: Iterable[Sequence[FrameObject]]) -> dict[int, dict[str, Any]]:
    """Frames of objects turned round: id -> ``category``, ``score``, ``crowd``, ``masks`` {frame: RLE}.

    Category and score are those of the object's first frame.
    """
    tracks: dict[int, dict[str, Any]] = {}
    for index, objects in enumerate(frames):
        for found in objects:
            new: dict[str, Any] = dict(category=found.category, score=found.score, crowd=found.crowd, masks={})
            tracks.setdefault(found.id, new)['masks'][index] = found.mask
    return dict(sorted(tracks.items()))
