"""From any format to an annotation file in YouTube-VIS format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from maskprop.datasets.formats.registry import Format
from maskprop.datasets.formats.source import Source
from maskprop.datasets.formats.tracks import Category, ReadOptions, ReadVideo, Track, VideoInfo, track_lists
from maskprop.datasets.json_files import AnnotationError

UNANNOTATED = ('absent', 'skip')


def import_source(
    source: Source,
    form: Format,
    options: ReadOptions,
    unannotated: str | None = None,
    categories: Sequence[Category] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Annotations in YouTube-VIS format.

    Args:
        source: the files.
        form: their format.
        options: what the user says of them.
        unannotated: frames of which the source says nothing: ``'absent'``: nothing is visible in them; ``'skip'``:
            they are left out of ``file_names``; None: they are an error.
        categories: ids and names to take; default: those of the source, or its classes by name.
        progress: called with the videos read and their number.

    Raises:
        AnnotationError: as the format's reader; or there are frames without annotation, no annotated frame at all,
            or a class that ``categories`` lacks.
    """
    if form.read is None:
        raise AnnotationError(f'{source.given}: {form.title}: {form.instead or "it is only written"}')
    reading = form.read(source, options)
    listed = categories or reading.categories
    videos: list[dict] = []
    found: list[tuple[int, Track, int]] = []
    for read in reading.videos:
        info, tracks = _settle(read, unannotated)
        if info.file_names:
            number, length = len(videos) + 1, len(info.file_names)
            size = dict(height=info.height, width=info.width, length=length)
            videos.append(dict(id=number, **size, file_names=list(info.file_names)))
            found += [(number, track, length) for track in tracks]
        if progress:
            progress(len(videos), reading.count)
    if not videos:
        raise AnnotationError(f'{source.given}: no annotated frame in it')
    if listed is None:
        names = sorted({track.category for _, track, _ in found})
        listed = [Category(number, name) for number, name in enumerate(names, start=1)]
    ids = {category.name: category.id for category in listed}
    if not ids:
        raise AnnotationError(
            f'{source.given}: no class in it; give an annotation file that lists them: --categories'
        )
    annotations: list[dict[str, Any]] = []
    for number, track, length in found:
        if track.category not in ids:
            raise AnnotationError(
                f'{source.given}: the class {track.category!r} is not among the categories of '
                f'{"--categories" if categories else "the source"} ({", ".join(ids)}); add it'
            )
        shape = {key: videos[number - 1][key] for key in ('height', 'width', 'length')}
        head = dict(id=len(annotations) + 1, video_id=number, category_id=ids[track.category])
        annotations.append({**head, 'iscrowd': int(track.crowd), **shape, **track_lists(track, length)})
    records = [dict(id=category.id, name=category.name) for category in listed]
    return dict(info={}, videos=videos, annotations=annotations, categories=records)


def _settle(read: ReadVideo, unannotated: str | None) -> tuple[VideoInfo, list[Track]]:
    """The video with its frames without annotation as the user says."""
    length = len(read.info.file_names)
    bare = [frame for frame in range(length) if frame not in read.annotated]
    if not bare or unannotated == 'absent':
        return read.info, read.tracks
    if unannotated is None:
        first = read.info.file_names[bare[0]]
        raise AnnotationError(
            f'{read.where}: {len(bare)} of {length} frames have no annotation{_pattern(read.annotated, length)}, '
            f'the first: {first}. Say what they are: --unannotated skip leaves them out, --unannotated absent '
            'says that nothing is visible in them'
        )
    kept = sorted(read.annotated)
    place = {frame: index for index, frame in enumerate(kept)}
    names = [read.info.file_names[frame] for frame in kept]
    tracks = [
        Track(track.category, {place[f]: mask for f, mask in track.masks.items() if f in place}, track.crowd)
        for track in read.tracks
    ]
    info = VideoInfo(read.info.name, read.info.height, read.info.width, names)
    return info, [track for track in tracks if track.masks]


def _pattern(annotated: set[int], length: int) -> str:
    """Says so where every k-th frame is annotated."""
    kept = sorted(annotated)
    steps = {after - before for before, after in zip(kept, kept[1:], strict=False)}
    return f' (one in {steps.pop()} has)' if len(kept) > 1 and len(steps) == 1 and 1 not in steps else ''
