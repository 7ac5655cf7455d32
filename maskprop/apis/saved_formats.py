"""A video's results in other tools' formats, beside results.json (``maskprop infer --save``)."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from maskprop.datasets.ytvis_json import AnnotationError
from maskprop.utils.files import check_not_read, check_writable

if TYPE_CHECKING:
    from maskprop.datasets.formats import FrameObject, VideoInfo

NAMES = dict(masks='masks', mots='mots', coco='coco.json', csv='tracks.csv')  # of files, and of folders
MOST_IDS = 254  # that pictures of masks hold
MOST_CLASSES = 64  # that MOTS holds


def check_saved(
    folder: str | Path, formats: Iterable[str], option: str = '--out', sources: Iterable[str | Path] = ()
) -> None:
    """See that the formats' files can be written into a folder.

    Raises:
        ValueError: an unknown format.
        OSError: one can't be written, or would replace one of ``sources``; names ``option``.
    """
    for name in formats:
        if name not in NAMES:
            raise ValueError(f'save={name!r}: expected one of {", ".join(NAMES)}')
        target = Path(folder) / NAMES[name]
        check_not_read(target, option, sources, within=True)  # a folder is replaced as a whole
        if not target.suffix and target.exists() and not target.is_dir():
            raise NotADirectoryError(f'{option} {target}: is a file; a folder of that name is to be made')
        check_writable(target.parent if not target.suffix else target, option, folder=not target.suffix)


def save_results(
    folder: Path,
    formats: Sequence[str],
    records: Iterable[dict],
    info: VideoInfo,
    classes: Mapping[int, str],
    min_score: float,
) -> list[Path]:
    """Write a video's results in other formats. Files and folders of an earlier run are replaced, each as a whole.

    Args:
        folder: the folder; names in it are those of ``NAMES``.
        formats: keys of ``NAMES``.
        records: of ``results.json``. An object that was seen as several classes is written as the best of them.
        info: the video.
        classes: name of each category id, in the order of labels.
        min_score: objects of a lower score are left out; that is the score in ``results.json``, over all frames.

    Returns:
        The files and folders.

    Raises:
        AnnotationError, OSError: a format cannot hold the results, or could not be written. The others are written
            before.
    """
    from maskprop.datasets.formats import WRITERS, Category, objects_by_frame

    tracks = _best_records(records, min_score)
    frames = [_with_ids(objects, tracks) for objects in objects_by_frame(tracks, info, classes)]
    present = {found.category for objects in frames for found in objects}
    written: list[Path] = []
    errors: list[Exception] = []
    for name in formats:
        categories = [Category(i, title) for i, title in classes.items()]
        if name == 'mots' and len(categories) > MOST_CLASSES:
            categories = [category for category in categories if category.name in present]
        try:
            with _replacing(folder / NAMES[name]) as target, _told_of(folder / NAMES[name], target):
                WRITERS[name](target, [(info, frames)], categories)
            written.append(folder / NAMES[name])
        except (AnnotationError, OSError) as error:
            errors.append(error)
    if errors:
        raise errors[0] if len(errors) == 1 else AnnotationError('; '.join(map(str, errors)))
    return written


def _best_records(records: Iterable[dict], min_score: float) -> list[dict]:
    """Of each track the record of highest score, if that is high enough."""
    best: dict[int, dict] = {}
    for record in records:
        if record['score'] >= min_score and record['score'] > best.get(record['track_id'], {'score': -1})['score']:
            best[record['track_id']] = record
    return [best[track_id] for track_id in sorted(best)]


def _with_ids(objects: Sequence[FrameObject], tracks: Sequence[dict]) -> list[FrameObject]:
    """With the ids of the overlay in place of the tracks' places, unless pictures of masks cannot hold them."""
    ids = [track['track_id'] for track in tracks]
    if ids and ids[-1] > MOST_IDS:
        return list(objects)
    return [found._replace(id=ids[found.id - 1]) for found in objects]


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """The path to write to: a file's own, which its writer replaces when it is whole, or a new folder's."""
    if target.suffix:
        yield target
        return
    part = target.with_name(f'{target.name}.part')
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        if target.exists():
            shutil.rmtree(target)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _told_of(target: Path, part: Path) -> Iterator[None]:
    """A writer's warnings name the folder that there will be."""
    with warnings.catch_warnings(record=True) as caught:
        yield
    for warning in caught:
        warnings.warn(str(warning.message).replace(str(part), str(target)), warning.category, stacklevel=4)
