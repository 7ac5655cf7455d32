"""MOTS as lines of text, a mask each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from maskprop.datasets.formats.frames import (
    check_size,
    frame_numbers,
    needed_images,
    place_by_number,
)
from maskprop.datasets.formats.label_maps import LabelMaps
from maskprop.datasets.formats.mots_classes import (
    KITTI,
    LABELS,
    class_numbers,
    class_of,
    listed_categories,
    object_key,
    object_value,
    read_labels,
    warn_of_ignored,
    without_crowds,
    write_labels,
)
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
    encode,
    plain,
)
from maskprop.datasets.formats.values import whole_of_text
from maskprop.datasets.json_files import AnnotationError, read_text
from maskprop.datasets.rle import inspect_masks
from maskprop.utils.files import fill_when_done, replace_when_done

_LINE = re.compile(r'\s*(?:[0-9]+(?:\.0*)?[ \t]+){5}\S+[ \t\r]*$', re.MULTILINE)


def write_mots_txt(out: Path, videos: Iterable[VideoFrames], categories: Sequence[Category]) -> list[Path]:
    """Writes OUT/VIDEO.txt with a line for each object of a frame, and OUT/labels.txt; streamed.

    A line is ``frame id class height width rle``, the id being class * 1000 + number. Frames are counted as the
    numbers in their names do, or from 0 where names have none. Of results (objects with scores) masks are cut
    where they overlap, as the benchmark asks.

    Returns:
        The files.

    Raises:
        AnnotationError: more than 999 objects in a video.
    """
    numbers, files = class_numbers(categories), []
    maps = LabelMaps(out)
    with fill_when_done(out) as unfinished:
        for info, frames in videos:
            name = f'{info.name}.txt'
            of_frame = frame_numbers(info.file_names) or list(range(len(info.file_names)))
            with replace_when_done(unfinished / name) as temporary, temporary.open('w', encoding='utf-8') as file:
                for frame, objects in zip(of_frame, frames, strict=True):
                    for found in _without_overlaps(maps, info, without_crowds(objects)):
                        value = object_value(info, numbers, found)
                        counts = plain(found.mask)['counts']
                        head = f'{frame} {value} {numbers[found.category]}'
                        file.write(f'{head} {info.height} {info.width} {counts}\n')
            files.append(out / name)
        write_labels(unfinished / LABELS, categories)
    maps.warn()
    return files


def _without_overlaps(maps: LabelMaps, info: VideoInfo, objects: list[FrameObject]) -> list[FrameObject]:
    if not objects or objects[0].score is None:
        return objects
    label_map = maps.draw(info, objects, {found.id: found.id for found in objects})
    masks = [(found, label_map == found.id) for found in objects]
    return [found._replace(mask=encode(mask)) for found, mask in masks if mask.any()]


def recognise(source: Source) -> bool:
    """Text files whose lines are those of MOTS."""
    found = [path for path in source.of_suffix('.txt') if path.name not in (LABELS, 'seqinfo.txt')]
    return any(_LINE.match(source.head(path if source.path.is_dir() else None)) for path in found[:3])


def read(source: Source, options: ReadOptions) -> Reading:
    """Reads MOTS lines: VIDEO.txt or VIDEO/gt/gt.txt.

    Classes as of MOTS PNGs. A frame without a line counts as one without annotation.

    Raises:
        AnnotationError: no folder of frames, a line that is none of MOTS, a mask of another size than the frames.
    """
    files = [path for path in source.of_suffix('.txt') if path.name != LABELS]
    names = next((n for p in {p.parent for p in files} if (n := read_labels(source.path / p))), None)
    return Reading(_videos(source, options, files, names), len(files), listed_categories(names or KITTI))


def _videos(
    source: Source, options: ReadOptions, files: list[PurePosixPath], names: list[str] | None
) -> Iterator[ReadVideo]:
    images, ignored = needed_images(options.images, source.given), 0
    for path in files:
        parts = path.with_suffix('').parts
        video = '/'.join(parts[:-2] if parts[-2:] == ('gt', 'gt') else parts)
        where = source.name(source.locate(path))
        info = images.frames(images.find(video, where))
        lines = enumerate(read_text(source.locate(path)).splitlines(), 1)
        rows = {n: _row(line, info, f'{where}: line {n}') for n, line in lines if line.strip()}
        frames = [row[0] for row in rows.values()]
        places = place_by_number(info, frames, where)
        builder = TrackBuilder(where)
        for number, (frame, value, label, mask) in rows.items():
            category = class_of(label, names, f'{where}: line {number}')
            ignored += category is None
            if category is not None:
                builder.add(object_key(value), places[frame], category, mask)
        yield ReadVideo(info, builder.tracks(), {places[frame] for frame in frames}, where)
    warn_of_ignored(ignored, source)
    images.warn_of_others()


def _row(line: str, info: VideoInfo, where: str) -> tuple[int, int, int, dict]:
    """frame, id, class and mask of a line."""
    cells = line.split()
    numbers = [number for cell in cells[:5] if (number := whole_of_text(cell)) is not None]
    if len(cells) != 6 or len(numbers) != 5:
        found = f'{line.strip()[:40]!r}'
        raise AnnotationError(
            f'{where}: {found}; expected "frame id class height width rle", of which five are whole numbers'
        )
    frame, value, label, height, width = numbers
    check_size(info, height, width, where)
    mask = dict(size=[height, width], counts=cells[5])
    faults, _ = inspect_masks([mask], height, width)
    if faults:
        raise AnnotationError(f'{where}: {faults[0].found}; {faults[0].fix}')
    return frame, value, label, mask


FORMAT = Format('mots-txt', 'MOTS txt', recognise, read, write_mots_txt, folder=True)
