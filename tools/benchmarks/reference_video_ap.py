"""Video AP as the reference computes it (youtubevos/cocoapi, ``ytvoseval.py``): its loops, for benchmarks only.

The same steps in the same order on the same calls of pycocotools, in our words: masks are merged and counted one
(detection, ground truth, frame) at a time, detections are matched one at a time, curves are filled in one by one.
Expects files without errors: it checks nothing.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pycocotools import mask as mask_api

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALL_THRESHOLDS = np.linspace(0.0, 1.0, 101)
MAX_DETS = (1, 10, 100)
AREAS = ((0, 1e5**2), (0, 128**2), (128**2, 256**2), (256**2, 1e5**2))
NAMES = ('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'AR1', 'AR10', 'AR100', 'ARs', 'ARm', 'ARl')


@dataclass
class Index:
    """Ground truth and detections of a set; both by (video id, category id), records in file order."""

    videos: list[int]
    categories: list[int]
    truths: dict[tuple[int, int], list[dict]] = field(default_factory=lambda: defaultdict(list))
    found: dict[tuple[int, int], list[dict]] = field(default_factory=lambda: defaultdict(list))


def load_files(truth: Path, results: Path) -> Index:
    """Read both files and index them."""
    return build_index(json.loads(truth.read_text()), json.loads(results.read_text()))


def build_index(truth: dict, results: list[dict]) -> Index:
    """What the reference makes of two parsed files: RLEs of all masks, areas and boxes of the detections."""
    sizes = {video['id']: (video['height'], video['width']) for video in truth['videos']}
    index = Index(sorted(sizes), sorted(category['id'] for category in truth['categories']))
    for record in truth['annotations']:
        size = sizes[record['video_id']]
        item = dict(
            id=record['id'],
            crowd=bool(record['iscrowd']),
            area=_mean_of_present(record['areas']),
            masks=[_encoded(mask, *size) if mask else None for mask in record['segmentations']],
        )
        index.truths[record['video_id'], record['category_id']].append(item)
    for number, record in enumerate(results, start=1):
        masks = record['segmentations']
        areas = [mask_api.area(mask) if mask else None for mask in masks]
        item = dict(
            id=number,
            score=record['score'],
            area=_mean_of_present(areas),
            boxes=[mask_api.toBbox(mask) if mask else None for mask in masks],
            masks=[_encoded(mask, *sizes[record['video_id']]) if mask else None for mask in masks],
        )
        index.found[record['video_id'], record['category_id']].append(item)
    return index


def _mean_of_present(areas: list) -> float:
    present = [area for area in areas if area]
    return np.array(present).mean() if present else 0


def _encoded(mask: dict | list, height: int, width: int) -> dict:
    """Compressed RLE of any of COCO's three forms."""
    if isinstance(mask, list):
        return mask_api.merge(mask_api.frPyObjects(mask, height, width))
    if isinstance(mask['counts'], list):
        return mask_api.frPyObjects(mask, height, width)
    return mask


def evaluate(index: Index) -> tuple[dict[str, float], dict[int, float]]:
    """The 12 numbers by name, and {category id: AP}; -1 where there is no ground truth to count."""
    keys = [(video, category) for category in index.categories for video in index.videos]
    ious = {key: sequence_ious(index.found[key], index.truths[key]) for key in keys}
    shape = (len(IOU_THRESHOLDS), len(RECALL_THRESHOLDS), len(index.categories), len(AREAS), len(MAX_DETS))
    precision, recall = -np.ones(shape), -np.ones((shape[0], *shape[2:]))
    for k, category in enumerate(index.categories):
        for a, area in enumerate(AREAS):
            matched = [
                match(index.found[v, category], index.truths[v, category], ious[v, category], area)
                for v in index.videos
            ]
            matched = [video for video in matched if video is not None]
            for m, max_dets in enumerate(MAX_DETS):
                accumulate(matched, max_dets, precision[:, :, k, a, m], recall[:, k, a, m])
    per_category = {
        category: _mean_of_counted(precision[:, :, k, 0, -1]) for k, category in enumerate(index.categories)
    }
    return summarize(precision, recall), per_category


def _ranked(found: Sequence[dict]) -> list[dict]:
    """The best 100 detections, ties in file order."""
    order = np.argsort([-det['score'] for det in found], kind='mergesort')
    return [found[i] for i in order[: MAX_DETS[-1]]]


def sequence_ious(found: list[dict], truths: list[dict]) -> np.ndarray | None:
    """(D, G) IoUs over all frames, by descending score."""
    if not found and not truths:
        return None
    dets = _ranked(found)
    ious = np.zeros((len(dets), len(truths)))
    for i, j in np.ndindex(ious.shape):
        ious[i, j] = sequence_iou(dets[i]['masks'], truths[j]['masks'])
    return ious


def sequence_iou(det: list, truth: list) -> float:
    """Summed intersection / summed union of one detection and one ground truth."""
    shared = union = 0.0
    for d, g in zip(det, truth, strict=True):
        if d and g:
            shared += mask_api.area(mask_api.merge([d, g], True))
            union += mask_api.area(mask_api.merge([d, g], False))
        elif d or g:
            union += mask_api.area(d or g)
    return shared / union if union > 0.0 else 0.0


def match(found: list[dict], truths: list[dict], ious: np.ndarray, area: tuple[float, float]) -> dict | None:
    """What one video's detections of one category are, in one area range: scores (D,), hits and ignored (T, D)."""
    if not found and not truths:
        return None
    dets = _ranked(found)
    outside = [g['crowd'] or g['area'] < area[0] or g['area'] > area[1] for g in truths]
    order = np.argsort(outside, kind='mergesort')  # those that count come first
    truths, ious = [truths[j] for j in order], ious[:, order] if len(ious) else ious
    ignore = np.array([outside[j] for j in order], dtype=bool)
    shape = (len(IOU_THRESHOLDS), len(dets))
    taken, hits = np.zeros((len(IOU_THRESHOLDS), len(truths))), np.zeros(shape)
    ignored = np.zeros(shape, dtype=bool)
    for t, threshold in enumerate(IOU_THRESHOLDS):
        for d, det in enumerate(dets):
            best, chosen = min(threshold, 1 - 1e-10), -1
            for j, truth in enumerate(truths):
                if taken[t, j] and not truth['crowd']:
                    continue
                if chosen > -1 and not ignore[chosen] and ignore[j]:
                    break
                if ious[d, j] < best:
                    continue
                best, chosen = ious[d, j], j
            if chosen > -1:
                ignored[t, d] = ignore[chosen]
                hits[t, d] = truths[chosen]['id']
                taken[t, chosen] = det['id']
    beyond = np.array([det['area'] < area[0] or det['area'] > area[1] for det in dets], dtype=bool)
    ignored |= (hits == 0) & beyond
    return dict(scores=[det['score'] for det in dets], hits=hits, ignored=ignored, counted=int((~ignore).sum()))


def accumulate(matched: list[dict], max_dets: int, precision: np.ndarray, recall: np.ndarray) -> None:
    """Fill a category's precision (T, R) and recall (T,) from its videos."""
    counted = sum(video['counted'] for video in matched)
    if counted == 0:
        return
    scores = np.concatenate([video['scores'][:max_dets] for video in matched])
    order = np.argsort(-scores, kind='mergesort')
    hits = np.concatenate([video['hits'][:, :max_dets] for video in matched], axis=1)[:, order]
    ignored = np.concatenate([video['ignored'][:, :max_dets] for video in matched], axis=1)[:, order]
    right = np.cumsum((hits > 0) & ~ignored, axis=1).astype(float)
    wrong = np.cumsum((hits == 0) & ~ignored, axis=1).astype(float)
    for t, (true, false) in enumerate(zip(right, wrong, strict=True)):
        reached = true / counted
        curve = (true / (false + true + np.spacing(1))).tolist()
        recall[t] = reached[-1] if len(reached) else 0
        for i in range(len(curve) - 1, 0, -1):
            if curve[i] > curve[i - 1]:
                curve[i - 1] = curve[i]
        filled = np.zeros(len(RECALL_THRESHOLDS)).tolist()
        for r, place in enumerate(np.searchsorted(reached, RECALL_THRESHOLDS, side='left')):
            if place >= len(curve):
                break
            filled[r] = curve[place]
        precision[t] = filled


def summarize(precision: np.ndarray, recall: np.ndarray) -> dict[str, float]:
    """The 12 numbers by name."""
    at = {threshold: np.where(IOU_THRESHOLDS == threshold)[0] for threshold in (0.5, 0.75)}
    overall = precision[:, :, :, 0, -1]
    parts = [overall, overall[at[0.5]], overall[at[0.75]], *(precision[:, :, :, a, -1] for a in (1, 2, 3))]
    parts += [recall[:, :, 0, m] for m in range(3)] + [recall[:, :, a, -1] for a in (1, 2, 3)]
    return {name: _mean_of_counted(part) for name, part in zip(NAMES, parts, strict=True)}


def _mean_of_counted(values: np.ndarray) -> float:
    counted = values[values > -1]
    return float(np.mean(counted)) if counted.size else -1.0
