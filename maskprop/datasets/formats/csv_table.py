"""CSV: a row for each object of a frame, with its mask as COCO's compressed RLE."""

from __future__ import annotations

import csv
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
from maskprop.datasets.json_files import AnnotationError
from maskprop.datasets.rle import inspect_masks
from maskprop.utils.files import replace_when_done

COLUMNS = 'video frame file_name video_height video_width track_id category score x y width height area'.split()
COLUMNS += ['crowd', 'rle']


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
    return source.is_file('.csv') and source.head().split('\n')[0].strip().split(',')[:3] == COLUMNS[:3]


def read(source: Source, options: ReadOptions) -> Reading:
    """Reads what :func:`write_csv` wrote.

    Raises:
        AnnotationError: a row lacks something, or its mask is not of the video's size.
    """
    videos = _videos(source)
    return Reading(iter(videos), len(videos))


def _videos(source: Source) -> list[ReadVideo]:
    rows: dict[str, list[dict]] = {}
    with source.path.open(encoding='utf-8-sig', newline='') as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            if None in row.values() or not row.get('file_name'):
                raise AnnotationError(f'{source.path}: line {number}: is cut short; export the table again')
            rows.setdefault(row.get('video') or '', []).append(dict(row, line=number))
    return [_video(source.path, video, found) for video, found in rows.items()]


def _video(path: Path, name: str, rows: list[dict]) -> ReadVideo:
    where = f'{path}: video {name}'
    names: dict[int, str] = {}
    builder = TrackBuilder(where)
    try:
        height, width = int(rows[0]['video_height']), int(rows[0]['video_width'])
        for row in rows:
            row['frame'] = int(row['frame'])
            names[row['frame']] = row['file_name']
        place = {frame: index for index, frame in enumerate(sorted(names))}
        for row in rows:
            if not row['track_id']:
                continue
            mask = dict(size=[height, width], counts=row['rle'])
            faults, _ = inspect_masks([mask], height, width)
            if faults:
                raise AnnotationError(f'{path}: line {row["line"]}: rle: {faults[0].found}; {faults[0].fix}')
            builder.add(
                _key(row['track_id']), place[row['frame']], row['category'], mask, crowd=row.get('crowd') == '1'
            )
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, AnnotationError):
            raise
        raise AnnotationError(
            f'{path}: line {row["line"]}: {error}; expected the columns {", ".join(COLUMNS)}'
        ) from None
    info = VideoInfo(name, height, width, [names[frame] for frame in sorted(names)])
    return ReadVideo(info, builder.tracks(), set(place.values()), where)


def _key(text: str) -> tuple[int, str]:
    return (int(text), text) if text.isdecimal() else (0, text)


FORMAT = Format('csv', 'CSV of this project', recognise, read, write_csv)
