"""CSV: a row for each object of a frame, with its mask as COCO's compressed RLE."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from pycocotools import mask as coco_mask

from maskprop.datasets.formats.registry import Format
from maskprop.datasets.formats.source import Source
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
from maskprop.datasets.formats.values import object_id, whole_of_text
from maskprop.datasets.json_files import AnnotationError, read_text
from maskprop.datasets.rle import inspect_masks
from maskprop.utils.files import replace_when_done

COLUMNS = 'video frame file_name video_height video_width track_id category score x y width height area'.split()
COLUMNS += ['crowd', 'rle']
NEEDED = 'video frame file_name video_height video_width track_id category rle'.split()


def write_csv(out: Path, videos: Iterable[VideoFrames], categories: Sequence[Category]) -> list[Path]:
    """Writes a table of all videos, streamed.

    A frame without objects has a row without ``track_id``. Boxes are x, y, width, height of the mask, in pixels.

    Returns:
        The file.
    """
    with replace_when_done(out) as temporary, temporary.open('w', encoding='utf-8', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for info, frames in videos:
            for index, (name, objects) in enumerate(zip(info.file_names, frames, strict=True)):
                of_frame = [info.name, index, name, info.height, info.width]
                writer.writerows([*of_frame, *_cells(found)] for found in objects)
                if not objects:
                    writer.writerow(of_frame + [''] * (len(COLUMNS) - len(of_frame)))
    return [out]


def _cells(found: FrameObject) -> list:
    rle = plain(found.mask)
    box, area = coco_mask.toBbox(rle).tolist(), int(coco_mask.area(rle))
    score = '' if found.score is None else repr(float(found.score))
    return [found.id, found.category, score, *box, area, int(found.crowd), rle['counts']]


def recognise(source: Source) -> bool:
    """Whether the source is a table with these columns."""
    return source.is_file('.csv') and _separator(source.head()) is not None


def _separator(text: str) -> str | None:
    """What parts the cells: spreadsheets also write semicolons or tabs; None: it is no such table."""
    header = text.split('\n', 1)[0].strip()
    return next((mark for mark in ',;\t' if {*NEEDED} <= {*next(csv.reader([header], delimiter=mark), ())}), None)


def read(source: Source, options: ReadOptions) -> Reading:
    """Reads what :func:`write_csv` wrote, also if a spreadsheet saved it again: parted by ; or tabs, in UTF-16.

    Raises:
        AnnotationError: a row lacks something, or its mask is not of the video's size.
    """
    videos = _videos(source)
    return Reading(iter(videos), len(videos))


def _videos(source: Source) -> list[ReadVideo]:
    rows: dict[str, list[dict]] = {}
    text = read_text(source.path)
    csv.field_size_limit(2**31 - 1)  # a mask may be longer than the module's 128 KiB
    reader = csv.DictReader(io.StringIO(text, newline=''), delimiter=_separator(text) or ',')
    try:
        for row in reader:
            where = f'{source.given}: line {reader.line_num}'
            if None in row:
                raise AnnotationError(f'{where}: has more cells than the first line; quote cells with separators')
            if None in row.values() or not row.get('file_name'):
                raise AnnotationError(f'{where}: is cut short; export the table again')
            rows.setdefault(row.get('video') or '', []).append(dict(row, where=where))
    except csv.Error as error:
        raise AnnotationError(f'{source.given}: line {reader.line_num}: {error}; export the table again') from None
    return [_video(f'{source.given}: video {video}', video, found) for video, found in rows.items()]


def _video(where: str, name: str, rows: list[dict]) -> ReadVideo:
    names: dict[int, str] = {}
    builder = TrackBuilder(where)
    height, width = (_whole(rows[0], column) for column in ('video_height', 'video_width'))
    for row in rows:
        row['frame'] = _whole(row, 'frame')
        if (_whole(row, 'video_height'), _whole(row, 'video_width')) != (height, width):
            raise AnnotationError(f'{row["where"]}: video_height, video_width: a video has one, {height}, {width}')
        if names.setdefault(row['frame'], row['file_name']) != row['file_name']:
            found = f'{row["file_name"]!r}, but frame {row["frame"]} is {names[row["frame"]]!r} in another row'
            raise AnnotationError(f'{row["where"]}: file_name: {found}; make them agree')
    place = {frame: index for index, frame in enumerate(sorted(names))}
    for row in rows:
        if (key := object_id(row['track_id'])) is None:
            continue
        if not row['category'].strip():
            raise AnnotationError(f'{row["where"]}: category: is empty; write the name of the class')
        mask = dict(size=[height, width], counts=row['rle'])
        faults, _ = inspect_masks([mask], height, width)
        if faults:
            raise AnnotationError(f'{row["where"]}: rle: {faults[0].found}; {faults[0].fix}')
        crowd = bool(row.get('crowd')) and _whole(row, 'crowd') > 0
        builder.add(key, place[row['frame']], row['category'], mask, crowd)
    info = VideoInfo(name, height, width, [names[frame] for frame in sorted(names)])
    return ReadVideo(info, builder.tracks(), set(place.values()), where)


def _whole(row: dict, column: str) -> int:
    number = whole_of_text(row[column])
    if number is None:
        raise AnnotationError(f'{row["where"]}: {column}: found {row[column]!r:.40}; expected a whole number')
    return number


FORMAT = Format('csv', 'CSV of this project', recognise, read, write_csv)
