"""Whether results can be uploaded: checked against a set that need not have annotations, every fault at once."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from maskprop.utils.text import plural

from .detections import MAX_DETS, Record, counted, fail_unknown, read_record, require_results
from .ground_truth import GroundTruth, TruthVideo
from .progress import progress_bar, with_progress
from .results_io import read_results
from .rle import RLEError, decode_masks
from .validation import EvalInputError

_MEBIBYTE = 2**20
_MOST_IDS_NAMED = 10


@dataclass
class SubmissionCheck:
    """What was found.

    Attributes:
        faults: one line each; results with a fault should not be uploaded. warnings: what costs score, or is odd.
        summary: one line, which says whether the file can be uploaded.
    """

    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    summary: str = ''


def check_submission(
    truth: GroundTruth,
    path: str | Path,
    *,
    drop_unknown: bool = False,
    allow_missing: bool = False,
    max_size: float | None = None,
) -> SubmissionCheck:
    """Check a results file or zip in one pass over its records.

    Args:
        truth: The set, such as ``load_frames`` gives it.
        path: The file.
        drop_unknown: Results of categories that the set does not list are a warning, not a fault.
        allow_missing: So are videos without results.
        max_size: MiB that the server takes.
    """
    found = SubmissionCheck()
    size = _size(path)
    if max_size is not None and size > max_size:
        found.faults.append(f'{path}: has {size:.1f} MiB, more than the {max_size:g} MiB that may be uploaded')
    try:
        results = read_results(path)
        require_results(results, str(path))
        if not results:
            raise EvalInputError(f'{path}: the list of results is empty. Was the model run?')
    except EvalInputError as error:
        found.faults.append(str(error))
        results = []
    else:
        records = _read_records(truth, results, str(path), found, drop_unknown)
        _check_videos(truth, results, str(path), found, allow_missing)
        _check_masks(truth, records, str(path), found)
        _check_counts(truth, records, str(path), found)
    found.summary = _summary(truth, results, Path(path), size, found)
    return found


def _size(path: str | Path) -> float:
    try:
        return Path(path).stat().st_size / _MEBIBYTE
    except OSError:  # told when it is read
        return 0.0


def _read_records(
    truth: GroundTruth, results: list[Any], source: str, found: SubmissionCheck, drop_unknown: bool
) -> list[list[Record]]:
    """The records without a fault but for that of a mask's string, by video."""
    records: list[list[Record]] = [[] for _ in truth.videos]
    unlisted: Counter[int] = Counter()
    for index, result in enumerate(with_progress(results, 'checking results', 'result')):
        try:
            video, record = read_record(truth, result, source, index)
        except EvalInputError as error:
            found.faults.append(str(error))
            continue
        if record.category in truth.categories:
            records[video].append(record)
        else:
            unlisted[record.category] += 1
    if unlisted and drop_unknown:
        found.warnings.append(f'{source}: results of unknown categories do not count: {counted(unlisted)}')
    elif unlisted:
        try:
            fail_unknown(unlisted, truth, source)
        except EvalInputError as error:
            found.faults.append(str(error))
    return records


def _check_videos(
    truth: GroundTruth, results: list[Any], source: str, found: SubmissionCheck, allow_missing: bool
) -> None:
    named = {str(result.get('video_id')) for result in results if isinstance(result, dict)}
    missing = [video.id for video in truth.videos if str(video.id) not in named]
    if not missing:
        return
    ids = ', '.join(map(str, missing[:_MOST_IDS_NAMED])) + (', ...' if len(missing) > _MOST_IDS_NAMED else '')
    told = f'{source}: no results of {len(missing)} of the {len(truth.videos)} videos (ids {ids})'
    if allow_missing:
        found.warnings.append(f'{told}: they score 0')
    else:
        found.faults.append(f'{told}. Was the whole set tested? If nothing is in them, give --allow-missing')


def _check_masks(truth: GroundTruth, records: list[list[Record]], source: str, found: SubmissionCheck) -> None:
    empty = 0
    with progress_bar(len(records), 'decoding results', 'video') as bar:
        for video, of_video in zip(truth.videos, records, strict=True):
            areas, faults = _areas(video, of_video, truth.use_numba)
            found.faults += [f'{source}: {fault}' for fault in faults]
            empty += int((areas.sum(axis=1) == 0).sum()) - len(faults)
            bar.update()
    if empty:
        found.warnings.append(f'{source}: {empty:,} results have no pixel in any frame')


def _areas(video: TruthVideo, records: list[Record], use_numba: bool) -> tuple[np.ndarray, list[str]]:
    """Areas of the masks, (N, T), 0 for a record with a string that is no mask; and a line for each of those."""

    def decoded(some: list[Record]) -> np.ndarray:
        keep = np.zeros(len(some), dtype=np.bool_)
        return decode_masks([r.counts for r in some], video.length, video.size, keep, use_numba).areas

    try:
        return decoded(records), []
    except RLEError:
        pass
    areas, faults = np.zeros((len(records), video.length), dtype=np.int64), []
    for row, record in enumerate(records):  # one by one, only where there is a fault
        try:
            areas[row] = decoded([record])[0]
        except RLEError as error:
            faults.append(f'{record.name} frame {error.index}: "segmentations": {error}')
    return areas, faults


def _check_counts(truth: GroundTruth, records: list[list[Record]], source: str, found: SubmissionCheck) -> None:
    beyond = [
        (video.id, category, count)
        for video, of_video in zip(truth.videos, records, strict=True)
        for category, count in Counter(record.category for record in of_video).items()
        if count > MAX_DETS
    ]
    if beyond:
        video, category, count = beyond[0]
        lost = sum(count - MAX_DETS for *_, count in beyond)
        found.warnings.append(
            f'{source}: {lost:,} results do not count: only the {MAX_DETS} best of a video and category do '
            f'(video {video} has {count:,} of category {category})'
        )


def _summary(truth: GroundTruth, results: list[Any], path: Path, size: float, found: SubmissionCheck) -> str:
    if found.faults:
        return f'{path} cannot be uploaded: {plural(len(found.faults), "fault")}'
    categories = {result['category_id'] for result in results} & truth.categories.keys()
    videos = {result['video_id'] for result in results}
    what = (
        f'{plural(len(results), "result")}, {len(categories)} of {plural(len(truth.categories), "class")}, '
        f'{len(videos)} of {plural(len(truth.videos), "video")}, {size:.1f} MiB'
    )
    if zipfile.is_zipfile(path):
        return f'{path} can be uploaded: {what}'
    named = '' if path.name == 'results.json' else 'named results.json and '
    how = 'python -m zipfile -c submission.zip results.json'
    return f'{path} can be uploaded once it is {named}zipped ({how}): {what}'


def most_of(lines: list[str], most: int = 20) -> Iterator[str]:
    """The first lines, and how many more there are."""
    yield from lines[:most]
    if len(lines) > most:
        yield f'and {len(lines) - most:,} more'
