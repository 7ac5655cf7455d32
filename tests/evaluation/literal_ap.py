"""Video AP to the letter, in slow loops over dense masks: what the tests hold the fast form against.

Follows the description of the metric (DESIGN section 5), shares no code with ``maskprop.evaluation``, and expects
correct input with all masks as compressed RLE.
"""

from __future__ import annotations

import numpy as np
from pycocotools import mask as mask_api

IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
RANGES = [(0, 1e10), (0, 128**2), (128**2, 256**2), (256**2, 1e10)]


def video_iou(det: list, gt: list) -> float:
    shared = union = 0.0
    for d, g in zip(det, gt, strict=True):
        if d is not None and g is not None:
            d, g = mask_api.decode(d), mask_api.decode(g)
            shared += np.logical_and(d, g).sum()
            union += np.logical_or(d, g).sum()
        elif d is not None or g is not None:
            union += mask_api.decode(d if g is None else g).sum()
    return shared / union if union > 0 else 0.0


def mean_area(areas: list) -> float:
    areas = [area for area in areas if area]
    return np.mean(areas) if areas else 0


def match(dets: list[dict], gts: list[dict], ious: np.ndarray, threshold: float, low: float, high: float):
    """[(score, 'tp' | 'fp' | None)] in score order, and the number of ground truths to find."""
    ignored = [g['iscrowd'] or not low <= mean_area(g['areas']) <= high for g in gts]
    order = [j for j in range(len(gts)) if not ignored[j]] + [j for j in range(len(gts)) if ignored[j]]
    taken, verdicts = set(), []
    for i, det in enumerate(dets):
        best = None
        for j in order:
            if j in taken and not gts[j]['iscrowd']:
                continue
            if best is not None and ignored[j] and not ignored[best]:
                break
            if ious[i, j] >= (threshold if best is None else ious[i, best]):
                best = j
        if best is not None:
            taken.add(best)
            verdicts.append((det['score'], None if ignored[best] else 'tp'))
        else:
            areas = [None if m is None else int(mask_api.decode(m).sum()) for m in det['segmentations']]
            verdicts.append((det['score'], 'fp' if low <= mean_area(areas) <= high else None))
    return verdicts, ignored.count(False)


def curve(verdicts: list, num_gts: int) -> tuple[list[float], float]:
    """Precision at the 101 recall thresholds, and the recall reached."""
    verdicts = sorted(verdicts, key=lambda verdict: -verdict[0])  # sorted() is stable
    tp = fp = 0
    points = []
    for _, verdict in verdicts:
        tp += verdict == 'tp'
        fp += verdict == 'fp'
        points.append((tp / num_gts, float(tp) / (float(fp) + float(tp) + np.spacing(1))))
    precision = []
    for recall in RECALLS:
        reached = [k for k, point in enumerate(points) if point[0] >= recall]
        precision.append(max(point[1] for point in points[reached[0] :]) if reached else 0.0)
    return precision, points[-1][0] if points else 0.0


def literal_video_ap(gt: dict, results: list[dict], class_agnostic: bool = False) -> tuple[dict, dict]:
    """The 12 numbers, and {category id: AP}."""
    listed = sorted(category['id'] for category in gt['categories'])
    videos = sorted(video['id'] for video in gt['videos'])
    categories = [listed] if class_agnostic else [[category] for category in listed]
    setups = [(area, 100) for area in range(4)] + [(0, 1), (0, 10)]
    precision = {setup: -np.ones((10, 101, len(categories))) for setup in setups}
    recall = {setup: -np.ones((10, len(categories))) for setup in setups}
    for k, members in enumerate(categories):
        groups = []
        for video in videos:
            gts = [
                g for c in members for g in gt['annotations'] if (g['video_id'], g['category_id']) == (video, c)
            ]
            dets = [d for c in members for d in results if (d['video_id'], d['category_id']) == (video, c)]
            dets = sorted(dets, key=lambda det: -det['score'])[:100]
            ious = np.array([[video_iou(d['segmentations'], g['segmentations']) for g in gts] for d in dets])
            groups.append((dets, gts, ious))
        for area, max_dets in setups:
            for t, threshold in enumerate(IOUS):
                verdicts, num_gts = [], 0
                for dets, gts, ious in groups:
                    found, to_find = match(dets, gts, ious, threshold, *RANGES[area])
                    verdicts += found[:max_dets]
                    num_gts += to_find
                if num_gts:
                    setup = area, max_dets
                    precision[setup][t, :, k], recall[setup][t, k] = curve(verdicts, num_gts)
    overall = precision[0, 100]
    numbers = [
        overall,
        overall[0],
        overall[5],
        precision[1, 100],
        precision[2, 100],
        precision[3, 100],
        recall[0, 1],
        recall[0, 10],
        recall[0, 100],
        recall[1, 100],
        recall[2, 100],
        recall[3, 100],
    ]
    names = 'AP AP50 AP75 APs APm APl AR1 AR10 AR100 ARs ARm ARl'.split()
    metrics = {name: _mean(values) for name, values in zip(names, numbers, strict=True)}
    return metrics, {category: _mean(overall[:, :, k]) for k, category in enumerate(listed[: len(categories)])}


def _mean(values: np.ndarray) -> float:
    counted = values[values > -1]
    return float(counted.mean()) if counted.size else -1.0
