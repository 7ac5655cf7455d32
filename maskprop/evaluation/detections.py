"""Results in the form of a YouTube-VIS submission, checked against the ground truth and decoded."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import Any, NoReturn, cast

import numpy as np

from maskprop.datasets.rle import is_absent
from maskprop.utils.garbage import without_garbage_collection
from maskprop.utils.json_values import is_finite_number

from .ground_truth import GroundTruth, TruthVideo
from .progress import progress_bar, with_progress
from .rle import RLEError, VideoMasks, decode_masks
from .validation import (
    fail,
    plain_counts,
    require,
    require_dict,
    require_id,
    require_list,
    require_mask,
    require_number,
    shown,
)

#: Detections counted per video and category, as in the reference.
MAX_DETS = 100
#: Predictions of a lower score take no part in what looks at single frames: temporal stability, HOTA, CLEAR and
#: identity metrics. The pictures of maskprop test and maskprop infer have the same.
MIN_SCORE = 0.3


@dataclass
class VideoDetections:
    """One video's results of listed categories, in file order.

    Attributes:
        categories: int64 (N,), category ids. scores: float64 (N,). masks: decoded masks of the N tracks; intervals
            are kept only of those in ``groups``.
        identities: int64 (N,), row of the video's first result with the same ``track_id``; a result without one is
            an identity of its own.
        groups: {group: int64 rows}, in score order, cut to ``MAX_DETS``; the group is the category id, or
            ``ALL_CATEGORIES``.
    """

    categories: np.ndarray
    scores: np.ndarray
    identities: np.ndarray
    masks: VideoMasks
    groups: dict[int, np.ndarray]


#: The one group of a class-agnostic evaluation.
ALL_CATEGORIES = -1


@dataclass
class Record:
    """One result, checked but for its masks' strings."""

    name: str
    category: int
    score: float
    track: float | str | None
    counts: list[str | bytes | None]


def read_detections(
    truth: GroundTruth,
    results: Any,
    source: str = 'results',
    class_agnostic: bool = False,
    *,
    allow_empty: bool = False,
    drop_unknown: bool = True,
    keep_all: bool = False,
) -> list[VideoDetections]:
    """Check results and decode their masks, one entry per video of ``truth.videos``.

    Args:
        truth: The ground truth that they belong to.
        results: List of {``video_id``, ``category_id``, ``score``, ``segmentations``}, one compressed RLE
            {``size``, ``counts``} or None per frame; and, if known, ``track_id``. Not changed.
        source: Name of the results in messages.
        class_agnostic: Rank all categories of a video together.
        allow_empty: Take an empty list for a model that found nothing.
        drop_unknown: Leave results of categories that ``truth`` does not list out, with a warning, instead of
            refusing them.
        keep_all: Keep the intervals of the ranked results of categories too that the video's truth lacks.

    Raises:
        EvalInputError: At the first record that cannot be evaluated.
    """
    require_results(results, source)
    if not results and not allow_empty:
        fail(
            source,
            '',
            '',
            'the list of results is empty',
            'Was the model run, and is its score threshold too high?',
        )
    records: list[list[Record]] = [[] for _ in truth.videos]
    unlisted: Counter[int] = Counter()
    with without_garbage_collection():
        for index, result in enumerate(with_progress(results, 'checking results', 'result')):
            video, record = read_record(truth, result, source, index)
            if record.category in truth.categories:
                records[video].append(record)
            else:
                unlisted[record.category] += 1
    if unlisted and not drop_unknown:
        fail_unknown(unlisted, truth, source)
    if unlisted:
        warnings.warn(
            f'{source}: results of categories that {truth.source} does not list are left out: {counted(unlisted)}',
            stacklevel=3,
        )
    detections = []
    with without_garbage_collection(), progress_bar(len(records), 'decoding results', 'video') as bar:
        for truth_video, found in zip(truth.videos, records, strict=True):
            detections.append(_decode_video(truth_video, found, source, class_agnostic, truth.use_numba, keep_all))
            bar.update()
    return detections


def require_results(results: Any, source: str) -> None:
    """See that results are a list; anything else is told in one short line."""
    if isinstance(results, dict) and results:
        keys = [f'"{str(key):.20}"' for key in list(results)[:4]] + ['...'] * (len(results) > 4)
        fail(source, '', '', f'found an object with {", ".join(keys)}', 'Results must be a list of records')
    if not isinstance(results, list):
        fail(source, '', '', f'found {shown(results)}', 'Results must be a list of records')


def counted(results: Counter[int]) -> str:
    """How many results each category has, in words of at most ten categories."""
    most = sorted(results)[:10]
    names = ', '.join(f'{category} ({results[category]})' for category in most)
    return names + (f' and {len(results) - len(most)} more' if len(results) > len(most) else '')


def fail_unknown(unlisted: Counter[int], truth: GroundTruth, source: str) -> NoReturn:
    """Refuse results of categories that the set does not list."""
    fail(
        source,
        '',
        'category_id',
        f'results of categories that {truth.source} does not list: {counted(unlisted)}',
        'Were they made for another set? maskprop eval --drop-unknown leaves them out',
    )


def read_record(truth: GroundTruth, result: Any, source: str, index: int) -> tuple[int, Record]:
    """Check one record of results.

    Args:
        result: the record as it was parsed. source: name of the results in messages. index: its place in them.

    Returns:
        the index of its video in ``truth.videos``, and the record.

    Raises:
        EvalInputError: it is of an unknown video, or a field is missing or of a wrong type, length or size.
    """
    name = f'results[{index}]'
    require_dict(result, source, name)
    number = require_id(result, 'video_id', source, name)
    name = f'{name} (video {number})'
    video = truth.video_index.get(number)
    if video is None:
        fail(
            source,
            name,
            'video_id',
            f'{truth.source} has no video {number}',
            'Were these results made for another set or split?',
        )
    category = require_id(result, 'category_id', source, name)
    score = require_number(result, 'score', source, name)
    track: Any = result.get('track_id')
    if track is not None and not isinstance(track, str) and not is_finite_number(track):
        fail(source, name, 'track_id', f'found {shown(track)}', 'It must be a number or a string, or absent')
    length = truth.videos[video].length
    masks = require_list(result, 'segmentations', length, source, name, number)
    size = list(truth.videos[video].size)
    counts = plain_counts(masks, size)
    if counts is None:
        counts = [
            None if is_absent(mask) else _unusual_counts(mask, size, source, f'{name} frame {frame}')
            for frame, mask in enumerate(masks)
        ]
    return video, Record(name, category, score, cast('float | str | None', track), counts)


def _unusual_counts(mask: Any, size: list[int], source: str, name: str) -> str | bytes:
    """The counts of any mask of a track that is not plain, or the error that says what is wrong with it."""
    if isinstance(mask, list):
        fail(
            source,
            name,
            'segmentations',
            f'found {shown(mask)}',
            'Results take compressed RLE only; encode with pycocotools.mask.encode',
        )
    require_mask(mask, source, name)
    found = require(mask, 'size', source, f'{name} segmentation', f'{size}, [height, width] of the video')
    if not isinstance(found, (list, tuple, np.ndarray)) or list(found) != size:
        fail(
            source,
            name,
            'segmentations',
            f'mask size {shown(found)}, but the video is {size} (height, width)',
            "Resize the mask to the video's original size before encoding it",
        )
    counts = require(mask, 'counts', source, f'{name} segmentation', 'a compressed RLE string')
    if isinstance(counts, (list, tuple)):
        fail(
            source,
            name,
            'segmentations',
            'uncompressed RLE ("counts" is a list)',
            'Results take compressed RLE only; convert with pycocotools.mask.frPyObjects',
        )
    if not isinstance(counts, (str, bytes)):
        fail(source, name, 'segmentations', f'"counts" is {shown(counts)}', 'It must be a compressed RLE string')
    return counts


def _decode_video(
    video: TruthVideo,
    records: list[Record],
    source: str,
    class_agnostic: bool,
    use_numba: bool,
    keep_all: bool,
) -> VideoDetections:
    scores = np.array([record.score for record in records], dtype=np.float64)
    categories = np.array([record.category for record in records], dtype=np.int64)
    groups = rank_groups(categories, scores, class_agnostic)
    keep = np.zeros(len(records), dtype=np.bool_)
    for group, rows in groups.items():
        keep[rows] = keep_all or group == ALL_CATEGORIES or bool((video.categories == group).any())
    try:
        masks = decode_masks([record.counts for record in records], video.length, video.size, keep, use_numba)
    except RLEError as error:
        row, frame = divmod(error.index, video.length)
        fail(
            source,
            f'{records[row].name} frame {frame}',
            'segmentations',
            str(error),
            "Encode the mask at the video's size with pycocotools.mask.encode",
        )
    return VideoDetections(categories, scores, _identities(records), masks, groups)


def _identities(records: list[Record]) -> np.ndarray:
    first: dict[float | str, int] = {}
    rows = [
        row if record.track is None else first.setdefault(record.track, row) for row, record in enumerate(records)
    ]
    return np.array(rows, dtype=np.int64)


def rank_groups(categories: np.ndarray, scores: np.ndarray, class_agnostic: bool) -> dict[int, np.ndarray]:
    """{category id: rows by descending score}, ties in file order, cut to ``MAX_DETS``.

    A class-agnostic evaluation has one group; its ties are in order of the category, then of the file.
    """
    if class_agnostic:
        by_category = np.argsort(categories, kind='stable')
        order = np.argsort(-scores[by_category], kind='stable')
        return {ALL_CATEGORIES: by_category[order][:MAX_DETS]} if scores.size else {}
    groups = {}
    for category in np.unique(categories).tolist():
        rows = np.flatnonzero(categories == category)
        groups[category] = rows[np.argsort(-scores[rows], kind='stable')][:MAX_DETS]
    return groups


def taking_part(found: VideoDetections, group: int, min_score: float) -> np.ndarray:
    """Rows of a group that score ``min_score`` or more, by descending score: int64 (D,).

    Where all categories are one, an object has a record in every category that it was seen as: of one identity the
    best-scored record takes part.
    """
    rows = found.groups[group]
    rows = rows[found.scores[rows] >= min_score]
    if group != ALL_CATEGORIES:
        return rows
    return rows[np.sort(np.unique(found.identities[rows], return_index=True)[1])]


def check_min_score(min_score: float) -> float:
    """``min_score`` itself.

    Raises:
        ValueError: If it is not a finite number.
    """
    if not math.isfinite(min_score):
        raise ValueError(f'min_score is {min_score}: expected a finite number')
    return float(min_score)
