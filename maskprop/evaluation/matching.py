"""From decoded masks to what accumulation needs: which detection of which video is right, wrong or ignored."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .detections import ALL_CATEGORIES, VideoDetections
from .ground_truth import GroundTruth, TruthVideo
from .kernels import get_kernels
from .progress import progress_bar
from .rle import add_intersections

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
#: Square pixels, ends included; their names are those of ``AREA_NAMES``.
AREA_RANGES = np.array([[0, 1e5**2], [0, 128**2], [128**2, 256**2], [256**2, 1e5**2]])
AREA_NAMES = ('all', 'small', 'medium', 'large')
#: Detection x ground truth x frame triples between two steps of the progress bar.
_CHUNK = 2_000_000


class _Group(NamedTuple):
    """Detections and ground truths of one video and category: rows of the video's tracks."""

    index: int  # type: ignore[assignment]  # of the video; hides tuple.index
    dets: np.ndarray
    gts: np.ndarray


@dataclass
class CategoryMatches:
    """The detections of one category over all videos, by descending score, ties in video order.

    Attributes:
        scores: float64 (D,). video: int64 (D,), index of the video. rank: int64 (D,), position within the video.
        state: uint8 (A, T, D): FALSE_POSITIVE, TRUE_POSITIVE or IGNORED, per area range and IoU threshold.
        blocks: int64 (B + 1,), bounds of the runs of equal score and video.
        num_gts: int64 (A, V), ground truths to find in each video.
    """

    scores: np.ndarray
    video: np.ndarray
    rank: np.ndarray
    state: np.ndarray
    blocks: np.ndarray
    num_gts: np.ndarray


def video_ious(
    truth: TruthVideo, detections: VideoDetections, dets: np.ndarray, gts: np.ndarray, bar: Any = None
) -> np.ndarray:
    """IoU over the whole video of each detection and ground truth: float64 (D, G).

    Summed intersection / summed union over the frames, 0 if the union is empty; exact integers until the division.
    """
    shared = np.zeros((dets.size, gts.size), dtype=np.int64)
    if not shared.size:
        return np.zeros(shared.shape)
    step = max(1, _CHUNK // max(1, shared.size))
    for first in range(0, truth.length, step):
        frames = range(first, min(first + step, truth.length))
        add_intersections(detections.masks, truth.masks, dets, gts, frames, shared[None])
        if bar is not None:
            bar.update(shared.size * len(frames))
    areas = detections.masks.total_areas[dets][:, None] + truth.masks.total_areas[gts][None, :]
    union = areas - shared
    return np.divide(shared, union, out=np.zeros(union.shape), where=union > 0)


def _groups(
    truth: GroundTruth, detections: list[VideoDetections], class_agnostic: bool
) -> dict[int, list[_Group]]:
    """The videos that have ground truth or detections of each category, in order of their ids; in one pass."""
    nothing = np.zeros(0, dtype=np.int64)
    groups: dict[int, list[_Group]] = {}
    for index, (video, found) in enumerate(zip(truth.videos, detections, strict=True)):
        if class_agnostic:
            gts = {ALL_CATEGORIES: np.argsort(video.categories, kind='stable')} if video.categories.size else {}
        else:
            gts = {i: np.flatnonzero(video.categories == i) for i in np.unique(video.categories).tolist()}
        for category in gts.keys() | found.groups.keys():
            group = _Group(index, found.groups.get(category, nothing), gts.get(category, nothing))
            groups.setdefault(category, []).append(group)
    return groups


def _outside(areas: np.ndarray) -> np.ndarray:
    """Which of the mean areas (N,) are outside of each area range: bool (A, N)."""
    return (areas < AREA_RANGES[:, :1]) | (areas > AREA_RANGES[:, 1:])


def match_category(
    truth: GroundTruth, detections: list[VideoDetections], groups: list[_Group], bar: Any = None
) -> CategoryMatches:
    """Match the detections of one category in every video."""
    num_areas, num_thresholds = len(AREA_RANGES), IOU_THRESHOLDS.size
    kernel = get_kernels(truth.use_numba).match
    states = [np.zeros((num_areas, num_thresholds, 0), dtype=np.uint8)]
    num_gts = np.zeros((num_areas, len(truth.videos)), dtype=np.int64)
    for index, dets, gts in groups:
        video, found = truth.videos[index], detections[index]
        ignored = video.crowd[gts] | _outside(video.mean_areas[gts])
        num_gts[:, index] = np.count_nonzero(~ignored, axis=1)
        if not dets.size:
            continue
        outside = _outside(found.masks.mean_areas[dets])
        state = np.zeros((num_areas, num_thresholds, dets.size), dtype=np.uint8)
        ious = video_ious(video, found, dets, gts, bar)
        kernel(ious, ignored, video.crowd[gts], outside, IOU_THRESHOLDS, state)
        states.append(state)
    empty = np.zeros(0)
    scores = np.concatenate([empty, *(detections[group.index].scores[group.dets] for group in groups)])
    sizes = np.array([group.dets.size for group in groups], dtype=np.int64)
    videos = np.repeat(np.array([group.index for group in groups], dtype=np.int64), sizes)
    rank = np.concatenate([empty, *(np.arange(size) for size in sizes)]).astype(np.int64)
    order = np.argsort(-scores, kind='stable')
    all_states = np.ascontiguousarray(np.concatenate(states, axis=2)[:, :, order])
    scores, videos, rank = scores[order], videos[order], rank[order]
    new_block = (np.diff(scores) != 0) | (np.diff(videos) != 0)
    blocks = np.concatenate([[0], np.flatnonzero(new_block) + 1, [scores.size]]) if scores.size else np.zeros(1)
    return CategoryMatches(scores, videos, rank, all_states, blocks.astype(np.int64), num_gts)


def match_all(
    truth: GroundTruth, detections: list[VideoDetections], class_agnostic: bool = False
) -> list[CategoryMatches]:
    """Matches of every category of the file, by ascending id, or of all together."""
    names = [ALL_CATEGORIES] if class_agnostic else list(truth.categories)
    groups = _groups(truth, detections, class_agnostic)
    work = sum(
        math.prod((group.dets.size, group.gts.size, truth.videos[group.index].length))
        for of_category in groups.values()
        for group in of_category
    )
    nothing = match_category(truth, detections, [])  # what most of many thousand categories have
    with progress_bar(work, 'video IoU', 'mask pair') as bar:
        return [
            match_category(truth, detections, groups[name], bar) if name in groups else nothing for name in names
        ]
