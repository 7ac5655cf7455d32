"""Results of Ultralytics' and supervision's trackers and detectors, as results of a set."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from maskprop.datasets.formats.listed import Detection, ListedSet
from maskprop.datasets.formats.registry import Format
from maskprop.datasets.formats.source import Source, walk_json
from maskprop.datasets.formats.tracks import ReadOptions, VideoInfo, encode
from maskprop.datasets.formats.values import inside, name_of, shown
from maskprop.datasets.json_files import AnnotationError, read_text
from maskprop.datasets.rle import compress, inspect_masks
from maskprop.utils.json_values import is_finite_number, whole_number

_NUMBER = r'-?\d+(?:\.\d+)?(?:e-?\d+)?'
_LINE = re.compile(rf'\d+(?: {_NUMBER}){{6,}}\s*$')


def recognise_txt(source: Source) -> bool:
    """Files of lines of a class and the corners of a polygon, as shares of the frame."""
    found = [path for path in source.of_suffix('.txt') if path.name not in ('labels.txt', 'classes.txt')]
    heads = (source.head(path).split('\n')[0] for path in found[:20])
    return any(_LINE.match(head) and len(head.split()) > 6 for head in heads)


def detect_txt(source: Source, options: ReadOptions, listed: ListedSet) -> list[dict]:
    """Reads ``labels/*.txt`` of ``yolo segment predict|track save_txt=True``, with or without ``save_conf=True``.

    FRAME.txt is of the frame of that name, VIDEO_7.txt of the video's 7th frame. Classes are numbers, whose names
    ``--classes`` lists. Without confidences every score is 1.

    Raises:
        AnnotationError: no classes; a line that is none; a file of no frame or class of the set.
    """
    classes: Any = options.classes
    names = _class_names(classes, source)
    rows = [(path, row) for path in source.of_suffix('.txt') for row in _rows(source, path)]
    if not rows:
        raise AnnotationError(
            f'{source.given}: no polygon in any file; Ultralytics writes them of "-seg" models alone'
        )
    if isinstance(classes, list):  # an object may leave classes out
        for path, cells in rows:
            if int(cells[0]) not in names:
                where = source.name(source.locate(path))
                raise AnnotationError(
                    f'{where}: class {cells[0]}; --classes lists {len(names)}, the first is class 0'
                )
    last = [cells[-1] for _, cells in rows]
    # one number more than pairs of coordinates is a confidence or a track; two are both; whole numbers are tracks
    odd = len(rows[0][1]) % 2 == 1
    whole = all(float(cell).is_integer() for cell in last) and any(float(cell) > 1 for cell in last)
    extra = (2 if whole else 0) if odd else 1
    return listed.records(_detections(rows, extra, whole, names, listed, source))


def _rows(source: Source, path: PurePosixPath) -> Iterator[list[str]]:
    for number, line in enumerate(read_text(source.locate(path)).splitlines(), start=1):
        if not line.strip():
            continue
        if not _LINE.match(line.strip()):
            where = f'{source.name(source.locate(path))}: line {number}'
            raise AnnotationError(f'{where}: {line[:40]!r}; expected a class and the corners of a polygon')
        yield line.split()


def _detections(
    rows: list, extra: int, whole: bool, names: Mapping[int, str | None], listed: ListedSet, source: Source
) -> Iterator[Detection]:
    for path, cells in rows:
        where = source.name(source.locate(path))
        video_id, info, frame = _frame(path.stem, listed, where)
        name = names.get(int(cells[0]))
        if name is None:
            continue
        tail = cells[len(cells) - extra :] if extra else []
        score = float(tail[0]) if extra == 2 or (extra == 1 and not whole) else 1.0
        track = int(float(tail[-1])) if extra and whole else None
        corners = np.array([float(cell) for cell in cells[1 : len(cells) - extra]]).reshape(-1, 2)
        mask = _polygon(corners * (info.width, info.height), info, where)
        yield Detection(video_id, frame, listed.category(name, where), score, mask, track)


def _frame(stem: str, listed: ListedSet, where: str) -> tuple[int, VideoInfo, int]:
    found = listed.frames_named(stem)
    if len(found) == 1:
        return found[0]
    video, _, number = stem.rpartition('_')
    if not found and video and number.isdecimal():
        video_id, info = listed.video(video, where)
        if 1 <= int(number) <= len(info.file_names):
            return video_id, info, int(number) - 1
    problem = 'frames of several videos have this name' if found else f'{listed.source} has no such frame'
    raise AnnotationError(f'{where}: {problem}; name the files FRAME.txt or VIDEO_1.txt, VIDEO_2.txt, ...')


def recognise_json(source: Source) -> bool:
    """A list of frames, each a list of objects with name, box and segments."""
    data = source.first_json()
    found = [row for frame in data for row in frame] if _is_list_of_lists(data) else []
    return bool(found) and isinstance(found[0], dict) and {'name', 'box', 'confidence'} <= set(found[0])


def detect_json(source: Source, options: ReadOptions, listed: ListedSet) -> list[dict]:
    """Reads VIDEO.json, a list of ``json.loads(result.to_json())`` for each frame of the video.

    Raises:
        AnnotationError: an object without segments, another number of frames, a class that the set lacks.
    """
    return listed.records(_of_json(source, options.classes, listed))


def _of_json(source: Source, classes: Mapping | None, listed: ListedSet) -> Iterator[Detection]:
    for path, data in walk_json(source):
        where = source.name(source.locate(path))
        video_id, info = listed.video(path.stem, where)
        if not _is_list_of_lists(data) or len(data) != len(info.file_names):
            found = f'{len(data)} frames' if isinstance(data, list) else 'no list'
            raise AnnotationError(f'{where}: {found}; expected a list for each of {len(info.file_names)} frames')
        for frame, rows in enumerate(data):
            for place, row in enumerate(rows):
                name = f'{where}: frame {frame}: object {place}'
                if not isinstance(row, dict):
                    raise AnnotationError(f'{name}: found {shown(row)}; expected an object {{...}}')
                title = name_of(row, 'name', name)
                title = classes.get(title, title) if isinstance(classes, Mapping) else title
                if title is not None:
                    yield Detection(video_id, frame, listed.category(title, where), *_of_row(row, info, name))


def _of_row(row: dict, info: VideoInfo, where: str) -> tuple[float, dict, int | None]:
    """Score, mask and track."""
    segments = row.get('segments')
    if not segments:
        raise AnnotationError(f'{where}: a box without segments; use a "-seg" model')
    sides: list[Any] = [inside(row, 'segments').get(axis) for axis in 'xy']
    if not all(isinstance(side, list) and all(map(is_finite_number, side)) for side in sides):
        raise AnnotationError(f'{where}: segments: found {shown(segments)}; expected lists of numbers, x and y')
    if len(sides[0]) != len(sides[1]):
        raise AnnotationError(f'{where}: segments: {len(sides[0])} x and {len(sides[1])} y; a corner has both')
    score: Any = row.get('confidence')
    track = whole_number(row.get('track_id'))
    if not is_finite_number(score):
        raise AnnotationError(f'{where}: confidence: found {shown(score)}; expected a number')
    if track is None and row.get('track_id') is not None:
        raise AnnotationError(f'{where}: track_id: found {shown(row["track_id"])}; expected a whole number')
    return float(score), _polygon(np.stack(sides, axis=1), info, where), track


def detections_of_supervision(
    frames: Iterable[Any], listed: ListedSet, video: str, classes: Sequence[str] | None = None
) -> Iterator[Detection]:
    """Objects of ``supervision.Detections``, one for each frame of a video, for :meth:`ListedSet.records`.

    Args:
        frames: they have masks, and where there was a tracker ``tracker_id``.
        listed: the set.
        video: name of its video.
        classes: names by ``class_id``; default: ``data['class_name']`` of the detections.

    Raises:
        AnnotationError: a frame has boxes without masks, or the set lacks a class or the video.
    """
    video_id, info = listed.video(video, 'supervision')
    for frame, found in enumerate(frames):
        where = f'{video}: frame {frame}'
        if len(found) and found.mask is None:
            raise AnnotationError(f'{where}: Detections without masks; use a model that segments')
        for index in range(len(found)):
            name = found.data['class_name'][index] if classes is None else classes[int(found.class_id[index])]
            score = 1.0 if found.confidence is None else float(found.confidence[index])
            track = None if found.tracker_id is None else int(found.tracker_id[index])
            category = listed.category(str(name), where)
            yield Detection(video_id, frame, category, score, encode(found.mask[index]), track)


def recognise_boxes(source: Source) -> bool:
    """What supervision's CSVSink and JSONSink write."""
    if source.is_file('.csv'):
        return source.head().startswith('x_min,y_min,x_max,y_max')
    data = source.json if source.is_file('.json') else None
    return isinstance(data, list) and bool(data) and isinstance(data[0], dict) and 'x_min' in data[0]


def _class_names(classes: Any, source: Source) -> dict[int, str | None]:
    if isinstance(classes, list):
        return dict(enumerate(classes))
    if isinstance(classes, Mapping):
        return {int(number): name for number, name in classes.items() if str(number).isdecimal()}
    raise AnnotationError(
        f'{source.given}: classes are numbers here; give their names by --classes: ["person", "car"]'
    )


def _polygon(corners: np.ndarray, info: VideoInfo, where: str) -> dict:
    polygon = [corners.reshape(-1).tolist()]
    faults, _ = inspect_masks([polygon], info.height, info.width)
    if faults:
        raise AnnotationError(f'{where}: {faults[0].found}; {faults[0].fix}')
    return compress(polygon, info.height, info.width)


def _is_list_of_lists(data: Any) -> bool:
    return isinstance(data, list) and bool(data) and all(isinstance(frame, list) for frame in data)


TXT = Format('ultralytics', 'Ultralytics labels', recognise_txt, detect=detect_txt)
JSON = Format('ultralytics-json', 'Ultralytics JSON', recognise_json, detect=detect_json)
BOXES = Format(
    'supervision-boxes',
    "supervision's CSV or JSON",
    recognise_boxes,
    instead='it has boxes without masks. From Python, detections_of_supervision takes Detections with masks '
    '(docs/formats.md)',
)
