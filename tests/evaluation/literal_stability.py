"""Temporal stability to the letter, pixel by pixel on dense masks: what the tests hold the fast form against.

Shares no code with ``maskprop.evaluation``. Fractions keep IoUs exact; matching tries every assignment.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
from pycocotools import mask as mask_api

Mask = set[tuple[int, int]]  # (x, y) of its pixels


def pixels(segmentation: dict | None) -> Mask:
    if segmentation is None:
        return set()
    ys, xs = np.nonzero(mask_api.decode(segmentation))
    return set(zip(xs.tolist(), ys.tolist(), strict=True))


def iou(a: Mask, b: Mask) -> Fraction:
    return Fraction(len(a & b), len(a | b)) if a | b else Fraction(0)


def video_iou(a: list[Mask], b: list[Mask]) -> Fraction:
    shared = sum(len(p & q) for p, q in zip(a, b, strict=True))
    union = sum(len(p | q) for p, q in zip(a, b, strict=True))
    return Fraction(shared, union) if union else Fraction(0)


def assign(dets: list[list[Mask]], gts: list[list[Mask]]) -> dict[int, int]:
    """{gt: det} of highest summed IoU, of equals the lowest summed rank; a slot of None leaves a gt unmatched."""
    ious = [[video_iou(d, g) for g in gts] for d in dets]
    best_key, best = (Fraction(0), 0), {}
    for choice in itertools.permutations([*range(len(dets)), *[None] * len(gts)], len(gts)):
        pairs = {g: d for g, d in enumerate(choice) if d is not None and ious[d][g] > 0}
        key = sum((ious[d][g] for g, d in pairs.items()), Fraction(0)), -sum(pairs.values())
        if key > best_key:
            best_key, best = key, pairs
    return best


def nearest(value: float) -> int:
    """Nearest whole number, halves upwards; what misses a half by rounding alone counts as one."""
    return math.floor(value + 0.5 + 1e-9)


def moved(mask: Mask, before: Mask, after: Mask, height: int, width: int) -> Mask:
    """``mask`` under the motion that takes the centroid and the root area of ``before`` to those of ``after``."""
    (x0, y0), (x1, y1) = (np.mean(sorted(m), axis=0) for m in (before, after))
    scale = math.sqrt(len(after) / len(before))
    return {
        (x, y)
        for x in range(width)
        for y in range(height)
        if (nearest(x0 + (x - x1) / scale), nearest(y0 + (y - y1) / scale)) in mask
    }


def switches(dets: list[tuple[object, list[Mask]]], gt: list[Mask]) -> tuple[int, int]:
    """Changes of the covering id, and covered frames."""
    ids = []
    for frame, mask in enumerate(gt):
        scored = [(iou(masks[frame], mask), identity) for identity, masks in dets]
        best = max((value for value, _ in scored), default=Fraction(0))
        if best < Fraction(1, 2):
            continue
        tied = [identity for value, identity in scored if value == best]
        ids.append(ids[-1] if ids and ids[-1] in tied else tied[0])
    return sum(a != b for a, b in itertools.pairwise(ids)), len(ids)


def measure(dets: list[tuple[object, list[Mask]]], gts: list[list[Mask]], height: int, width: int) -> list[dict]:
    """The numbers of each ground truth of one video and category; ``dets`` by descending score."""
    matches = assign([masks for _, masks in dets], gts)
    rows = []
    for g, gt in enumerate(gts):
        changes, covered = switches(dets, gt)
        row = dict(matched=int(g in matches), visible=sum(map(bool, gt)), covered=covered, switches=changes)
        row.update(spanned=0, missed=0, pairs=0, moved_iou=0.0, truth_moved_iou=0.0)
        if g in matches:
            det = dets[matches[g]][1]
            present = [frame for frame, mask in enumerate(det) if mask]
            for frame in range(present[0], present[-1] + 1):
                row['spanned'] += bool(gt[frame])
                row['missed'] += bool(gt[frame]) and iou(det[frame], gt[frame]) < Fraction(1, 10)
            for t in range(len(gt) - 1):
                if gt[t] and gt[t + 1] and det[t] and det[t + 1]:
                    row['pairs'] += 1
                    for name, masks in (('moved_iou', det), ('truth_moved_iou', gt)):
                        was = moved(masks[t], gt[t], gt[t + 1], height, width)
                        row[name] += float(iou(masks[t + 1], was))
        rows.append(row)
    return rows


def measure_set(gt: dict, results: list[dict], class_agnostic: bool, min_score: float) -> list[dict]:
    """The numbers of every visible ground truth without crowds, with ``video_id`` and ``category_id``."""
    rows = []
    categories = {category['id'] for category in gt['categories']}
    for video in gt['videos']:
        tracks = [a for a in gt['annotations'] if a['video_id'] == video['id'] and not a['iscrowd']]
        found = [(i, r) for i, r in enumerate(results) if r['video_id'] == video['id'] and r['score'] >= min_score]
        found = sorted(found, key=lambda item: (-item[1]['score'], item[1]['category_id'], item[0]))
        for group in [categories] if class_agnostic else [{category} for category in categories]:
            dets: list[tuple[object, list[Mask]]] = []
            for i, result in found:
                identity = ('record', i) if result.get('track_id') is None else ('track', result['track_id'])
                seen = class_agnostic and identity in [other for other, _ in dets]
                if result['category_id'] in group and not seen:
                    dets.append((identity, [pixels(s) for s in result['segmentations']]))
            here = [(a, [pixels(s) for s in a['segmentations']]) for a in tracks if a['category_id'] in group]
            here = [(a, masks) for a, masks in here if any(masks)]
            of_group = measure(dets, [masks for _, masks in here], video['height'], video['width'])
            for (annotation, _), row in zip(here, of_group, strict=True):
                rows.append({'video_id': video['id'], 'category_id': annotation['category_id'], **row})
    return rows
