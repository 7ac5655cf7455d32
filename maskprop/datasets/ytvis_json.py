"""Reading YouTube-VIS annotation files as they are published: 2019, 2021, 2022, OVIS and any set in their format.

Depends on NumPy and pycocotools only, so evaluation can use it without a deep-learning library. The format and the
rules are in ``docs/data.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict, cast

import numpy as np

from maskprop.datasets.json_files import AnnotationError, read_json
from maskprop.datasets.rle import decode_mask, is_absent
from maskprop.datasets.run_lists import read_with_strings
from maskprop.datasets.ytvis_checks import PER_FRAME_FIELDS, Problem, check_data, check_images
from maskprop.utils.garbage import without_garbage_collection
from maskprop.utils.json_values import whole_number

__all__ = [
    'Annotation',
    'AnnotationError',
    'Category',
    'GroundTruth',
    'Problem',
    'Video',
    'category_name',
    'decode_mask',
    'find_problems',
    'frame_indices',
    'has_mask',
    'load_ytvis',
    'read_json',
    'select_frames',
    'subsample_frames',
    'summarize',
]

_MOST_ERRORS_SHOWN = 10
_OTHER_FORMAT = 'not in YouTube-VIS format'
_WHOLE = dict(
    videos=('id', 'width', 'height', 'length'),
    categories=('id',),
    annotations=('id', 'video_id', 'category_id'),
)


class _OptionalOfVideo(TypedDict, total=False):
    unknown_categories: list[int]


class Video(_OptionalOfVideo):
    """A video: its frames in order, relative to the image folder, and their size in pixels.

    ``unknown_categories``: ids of categories whose objects may be in the frames without an annotation, so that
    nothing follows from their absence (docs/stills.md).
    """

    id: int
    width: int
    height: int
    length: int
    file_names: list[str]


class _RequiredOfAnnotation(TypedDict):
    id: int
    video_id: int
    category_id: int
    segmentations: list[dict[str, Any] | list[list[float]] | None]
    iscrowd: int


class Annotation(_RequiredOfAnnotation, total=False):
    """One object in one video; the lists have one entry a frame, null where the object is not visible.

    ``box_only``: True where no mask was drawn: all ``segmentations`` are null and ``bboxes`` say where it is.
    ``visible``: whether the mask of each frame has a pixel; only if it was loaded for training.
    """

    visible: list[bool]
    box_only: bool
    bboxes: list[list[float] | None]
    areas: list[float | None]


class Category(TypedDict):
    """A category."""

    id: int
    name: str


class GroundTruth(TypedDict):
    """A file; ``annotations`` is None where the publisher keeps them (validation and test sets)."""

    videos: list[Video]
    categories: list[Category]
    annotations: list[Annotation] | None


def find_problems(
    path: str | Path, image_root: str | Path | None = None, decode_images: bool = False
) -> list[Problem]:
    """Every problem of an annotation file.

    Args:
        path: The annotation file.
        image_root: Folder that ``file_names`` are relative to. If given, and the file has no error, the frames
            are looked for and their sizes read from their headers.
        decode_images: Also decode the frames, which finds files that are cut short.

    Returns:
        Errors and warnings in the order of the records; empty for a perfect file.
    """
    try:
        with without_garbage_collection():
            data = _read(path)
    except AnnotationError as error:
        found, fix = str(error).removeprefix(f'{path}: ').split('; ', 1)
        rule = 'other-format' if found == _OTHER_FORMAT else 'json'
        return [Problem(str(path), '', '', found, fix, rule)]
    _whole_numbers(data)
    problems = check_data(data, str(path))
    if image_root is not None and not any(p.severity == 'error' for p in problems):
        _read_folders(data)
        problems.extend(check_images(data, str(path), image_root, decode_images))
    return problems


def load_ytvis(path: str | Path, require_annotations: bool = False, *, for_training: bool = False) -> GroundTruth:
    """Loads and checks an annotation file.

    What may be left out is filled in: ``length`` of videos, ``name`` of categories (the id), ``iscrowd`` (0);
    ``annotations`` is None if missing.
    An empty list in place of a mask or box becomes None, an id of 1.0 becomes 1, and backslashes in names of
    frames become slashes.

    Args:
        path: The annotation file.
        require_annotations: Whether a file without annotations is an error.
        for_training: Give all RLE in compressed form, and ``visible`` of annotations with masks.

    Raises:
        AnnotationError: The file has errors. The message has the first ten; ``maskprop check`` lists all.
    """
    with without_garbage_collection():
        data: Any = read_with_strings(path) if for_training else None
        errors = None if data is None or other_format(path, data) else _errors(data, path, for_training)
        if errors is None or errors:  # what is said is of the file as it is
            data = _read(path)
            errors = _errors(data, path, for_training)
    if errors:
        more = len(errors) - _MOST_ERRORS_SHOWN
        lines = [str(p) for p in errors[:_MOST_ERRORS_SHOWN]]
        if more > 0:
            lines.append(f'and {more} more: maskprop check {path}')
        raise AnnotationError(*lines)
    if require_annotations and not data.get('annotations'):
        raise AnnotationError(
            f'{path}: annotations: none in this file (published validation and test sets have none); use a '
            'training file, or make a validation set out of one: '
            'maskprop split TRAIN.json --val-videos N --seed S'
        )
    return _fill_in(data)


def _errors(data: Any, path: str | Path, for_training: bool) -> list[Problem]:
    _whole_numbers(data)
    problems = check_data(data, str(path), check_areas=False, for_training=for_training)
    return [p for p in problems if p.severity == 'error']


def _read(path: str | Path) -> Any:
    """``read_json``; a file of another format that is known is told from a damaged one."""
    try:
        data = read_json(path)
    except AnnotationError:
        if other := other_format(path):
            raise other from None
        raise
    if found := other_format(path, data):
        raise found
    return data


def other_format(path: str | Path, data: Any = None) -> AnnotationError | None:
    """The error for a file of another format that is known, with the command that imports it; None: it is of none.

    Args:
        path: the file.
        data: what it holds, if it could be read as JSON.
    """
    if isinstance(data, dict) and 'videos' in data and 'images' not in data:
        return None
    from maskprop.datasets.formats.finding import import_hint  # it needs Pillow and OpenCV

    hint = import_hint(path, data)
    return AnnotationError(f'{path}: {_OTHER_FORMAT}; {hint}') if hint else None


def category_name(category: Mapping[str, Any]) -> str:
    """A category's name, or its id if it has none."""
    return str(whole_number(category['id']) if category.get('name') is None else category['name'])


def has_mask(annotation: Annotation) -> bool:
    """Whether the object has a mask in any frame."""
    return not all(is_absent(mask) for mask in annotation['segmentations'])


def frame_indices(length: int, stride: int = 1, frame_range: tuple[float, float] = (0.0, 1.0)) -> range:
    """Which frames of a video are used: a part of it, then every ``stride``-th frame of the part.

    Args:
        length: Number of listed frames.
        stride: Keep frames 0, s, 2s, ... of the part.
        frame_range: Start and end of the part as fractions of the video; (0, .6) and (.6, 1) share no frame. A
            part always has one frame at least.

    Raises:
        ValueError: The stride is not a positive integer, or the range is not within 0 and 1.
    """
    if isinstance(stride, bool) or not isinstance(stride, int) or stride < 1:
        raise ValueError(f'frame_stride: found {stride!r}; expected an integer of 1 or more')
    start, stop = frame_range
    if not 0 <= start < stop <= 1:
        raise ValueError(f'frame_range: found {tuple(frame_range)}; expected fractions 0 <= start < stop <= 1')
    first = min(int(start * length + 0.5), length - 1)
    return range(first, max(int(stop * length + 0.5), first + 1), stride)


def subsample_frames(gt: GroundTruth, stride: int) -> GroundTruth:
    """Keeps frames 0, s, 2s, ... of every video; see :func:`select_frames`."""
    return select_frames(gt, stride)


def select_frames(gt: GroundTruth, stride: int = 1, frame_range: tuple[float, float] = (0.0, 1.0)) -> GroundTruth:
    """Keeps some frames of every video (:func:`frame_indices`), in videos and annotations alike.

    An object that is visible in none of the kept frames is left out, as nothing could match it; one that has no
    mask in the file stays. ``gt`` is not changed, but the result shares its masks.

    Raises:
        AnnotationError: A list does not have one entry a frame.
        ValueError: See :func:`frame_indices`.
    """
    frame_indices(1, stride, frame_range)  # complains of bad values before anything is copied
    if stride == 1 and tuple(frame_range) == (0, 1):
        return gt
    kept = {v['id']: frame_indices(len(v['file_names']), stride, frame_range) for v in gt['videos']}
    lengths = {v['id']: len(v['file_names']) for v in gt['videos']}
    videos: list[Video] = []
    for video in gt['videos']:
        names = [video['file_names'][i] for i in kept[video['id']]]
        videos.append({**video, 'file_names': names, 'length': len(names)})
    annotations = []
    for annotation in gt.get('annotations') or []:
        video_id = annotation['video_id']
        chosen = _keep_frames(annotation, kept[video_id], lengths[video_id])
        if has_mask(chosen) or not has_mask(annotation):
            annotations.append(chosen)
    return {**gt, 'videos': videos, 'annotations': annotations if gt.get('annotations') is not None else None}


def summarize(gt: GroundTruth) -> dict[str, Any]:
    """Counts of a loaded file.

    Returns:
        ``videos``, ``frames``, ``instances``, ``categories`` (listed), ``crowd`` (instances), ``box_only``
        (instances), ``masks``, ``null_share`` (of the entries of ``segmentations``), ``per_category``
        ({name: instances}).
    """
    annotations = gt['annotations'] or []
    names = {c['id']: c['name'] for c in sorted(gt['categories'], key=lambda c: c['id'])}
    per_category = dict.fromkeys(names, 0)
    for annotation in annotations:
        per_category[annotation['category_id']] += 1
    entries = sum(len(a['segmentations']) for a in annotations)
    masks = sum(m is not None for a in annotations for m in a['segmentations'])
    return dict(
        videos=len(gt['videos']),
        frames=sum(len(v['file_names']) for v in gt['videos']),
        instances=len(annotations),
        categories=len(names),
        crowd=sum(bool(a['iscrowd']) for a in annotations),
        box_only=sum(bool(a.get('box_only')) for a in annotations),
        masks=masks,
        null_share=(entries - masks) / entries if entries else float(np.nan),
        per_category={f'{names[i]} ({i})': n for i, n in per_category.items()},
    )


def _keep_frames(annotation: Annotation, frames: range, length: int) -> Annotation:
    """Some frames of every list with one entry a frame, also of a set's own lists (OVIS: occlusion)."""
    chosen: dict[str, Any] = dict(annotation)
    for key, value in annotation.items():
        if not isinstance(value, list):
            continue
        if len(value) == length:
            chosen[key] = [value[i] for i in frames]
        elif key in PER_FRAME_FIELDS:
            raise AnnotationError(
                f'annotation {annotation["id"]}, {key}: {len(value)} entries; expected one for each of the '
                f'{length} frames of its video'
            )
    return cast(Annotation, chosen)


def _whole_numbers(data: Any) -> None:
    """Ids and sizes that are written as floats, 1.0, become integers, as they are to the evaluation."""
    for key, fields in _WHOLE.items():
        records = data.get(key) if isinstance(data, dict) else None
        for record in records if isinstance(records, list) else ():
            for field in fields if isinstance(record, dict) else ():
                value = record.get(field)
                if type(value) is float and value.is_integer():
                    record[field] = int(value)


def _read_folders(data: dict[str, Any]) -> None:
    """Backslashes in names of frames are those of folders, as Windows writes them."""
    for video in data['videos']:
        video['file_names'] = [name.replace('\\', '/') for name in video['file_names']]


def _fill_in(data: dict[str, Any]) -> GroundTruth:
    _read_folders(data)
    for video in data['videos']:
        video['length'] = len(video['file_names'])
    for category in data['categories']:
        category['name'] = category_name(category)
    data['annotations'] = data.get('annotations')
    for annotation in data['annotations'] or []:
        annotation['iscrowd'] = int(annotation.get('iscrowd') or 0)
        for field in ('segmentations', 'bboxes'):
            if [] in (annotation.get(field) or ()):
                annotation[field] = [None if is_absent(x) else x for x in annotation[field]]
    return cast(GroundTruth, data)
