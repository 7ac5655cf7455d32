"""What a set in YouTube-VIS format asks of a tracker. Works on any annotated set; blur and occlusion need the
fields `blur` and `visibility` that the generator adds.

* A *crossing* is a pair of instances of the same category whose boxes overlap (intersection over the smaller box
  above `CROSSING_OVERLAP`) in a frame where both are visible.
* A frame is *occluded* if less than `OCCLUDED_BELOW` of what an instance has inside the picture is visible, and
  *blurred* if something moves over more than `BLURRED_ABOVE` of the height during the exposure.
* `box_iou` and `copy` are the linkers of `oracles`; `copy` takes the best of `COPY_THRESHOLDS` (the paper gives
  none).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, cast

import numpy as np
from pycocotools import mask as mask_api

from maskprop.datasets.synthetic import oracles
from maskprop.datasets.ytvis_json import GroundTruth, subsample_frames
from maskprop.evaluation import evaluate_video_ap
from maskprop.utils.text import plural

CROSSING_OVERLAP = 0.1
OCCLUDED_BELOW = 0.9
BLURRED_ABOVE = 0.02
COPY_THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.3)
GAPS = ((1, 3), (4, 6), (7, 10))


def describe_set(gt: dict, strides: Sequence[int] = (1, 3), motion_videos: int = 40) -> dict:
    """Everything the report prints.

    Args:
        gt: a YouTube-VIS dict with compressed RLE.
        strides: frame strides for the oracle AP.
        motion_videos: the motion figures use the first this many videos; they need every mask decoded.

    Returns:
        A JSON-ready dict; shares in [0, 1], AP in [0, 100].
    """
    instances = gt['annotations']
    visible = [s is not None for a in instances for s in a['segmentations']]
    report = {
        'videos': len(gt['videos']),
        'frames': sum(len(v['file_names']) for v in gt['videos']),
        'instances': len(instances),
        'categories': len({a['category_id'] for a in instances}),
        'visible_share': float(np.mean(visible)),
        'crossing_share': crossing_share(gt),
        'occluded_frame_share': _occluded_frame_share(gt),
        'blurred_frame_share': _blurred_frame_share(gt),
        'oracle_ap': {str(stride): oracle_ap(gt, stride) for stride in strides},
        **motion_figures(gt, motion_videos),
    }
    return report


def crossing_share(gt: dict) -> float:
    """The share of videos with a same-category crossing, as the module's docstring defines it."""
    by_video: dict[int, list[dict]] = {video['id']: [] for video in gt['videos']}
    for annotation in gt['annotations']:
        by_video[annotation['video_id']].append(annotation)
    crossing = [any(_cross(a, b) for a, b in combinations(tracks, 2)) for tracks in by_video.values()]
    return float(np.mean(crossing)) if crossing else 0.0


def _cross(first: dict, second: dict) -> bool:
    if first['category_id'] != second['category_id']:
        return False
    pairs = zip(first['bboxes'], second['bboxes'], strict=True)
    return any(a is not None and b is not None and _overlap(a, b) > CROSSING_OVERLAP for a, b in pairs)


def _overlap(a: list[float], b: list[float]) -> float:
    """Intersection over the smaller box."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(width, 0) * max(height, 0) / min(a[2] * a[3], b[2] * b[3])


def _occluded_frame_share(gt: dict) -> float | None:
    occluded = {(video['id'], frame): False for video in gt['videos'] for frame in range(len(video['file_names']))}
    for annotation in gt['annotations']:
        if 'visibility' not in annotation:
            return None
        for frame, share in enumerate(annotation['visibility']):
            if 0 < share < OCCLUDED_BELOW:
                occluded[annotation['video_id'], frame] = True
    return float(np.mean(list(occluded.values())))


def _blurred_frame_share(gt: dict) -> float | None:
    if any('blur' not in video for video in gt['videos']):
        return None
    return float(
        np.mean([blur > BLURRED_ABOVE * video['height'] for video in gt['videos'] for blur in video['blur']])
    )


def oracle_ap(gt: dict, stride: int) -> dict[str, float]:
    """Video AP (0 to 100) of ground-truth masks under each linker, every `stride`-th frame."""
    gt = dict(subsample_frames(cast(GroundTruth, gt), stride))
    box_iou = oracles.oracle_results(gt, oracles.link_by_box_iou)
    copies = [oracles.oracle_results(gt, oracles.link_by_copying, threshold=value) for value in COPY_THRESHOLDS]
    return {'box_iou': _ap(gt, box_iou), 'copy': max(_ap(gt, results) for results in copies)}


def _ap(gt: dict, results: list[dict]) -> float:
    return 100 * float(evaluate_video_ap(gt, results)['AP'])


def motion_figures(gt: dict, videos: int) -> dict:
    """Displacement, area, and by gap in frames the mean IoU of a mask with the later mask of its instance: as it
    is (`copy_iou`) and moved so that the centroids meet (`shift_iou`)."""
    chosen = {video['id'] for video in gt['videos'][:videos]}
    steps, areas = [], []
    copy: dict[tuple[int, int], list[float]] = {gap: [] for gap in GAPS}
    shift: dict[tuple[int, int], list[float]] = {gap: [] for gap in GAPS}
    for annotation in gt['annotations']:
        if annotation['video_id'] not in chosen:
            continue
        masks: list[Any] = [
            None if s is None else mask_api.decode(s).astype(bool) for s in annotation['segmentations']
        ]
        centres: list[Any] = [None if mask is None else np.argwhere(mask).mean(axis=0) for mask in masks]
        areas += [int(mask.sum()) for mask in masks if mask is not None]
        for t, later, gap in _pairs(masks):
            if later == t + 1:
                steps.append(float(np.hypot(*(centres[later] - centres[t]))))
            moved = move_mask(masks[t], np.round(centres[later] - centres[t]).astype(int))
            copy[gap].append(_iou(masks[t], masks[later]))
            shift[gap].append(_iou(moved, masks[later]))
    return {
        'mean_step_pixels': _mean(steps),
        'mean_area_pixels': _mean(areas),
        'copy_iou': {f'{a}-{b}': _mean(copy[a, b]) for a, b in GAPS},
        'shift_iou': {f'{a}-{b}': _mean(shift[a, b]) for a, b in GAPS},
    }


def _pairs(masks: list) -> list[tuple[int, int, tuple[int, int]]]:
    """(t, later, gap group) where both masks are there; every third t."""
    return [
        (t, t + gap, group)
        for t in range(0, len(masks), 3)
        for group in GAPS
        for gap in range(group[0], group[1] + 1)
        if t + gap < len(masks) and masks[t] is not None and masks[t + gap] is not None
    ]


def move_mask(mask: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """`mask` moved by whole pixels (rows, columns); what leaves the picture is lost."""
    moved = np.zeros_like(mask)
    rows, columns = np.nonzero(mask)
    rows, columns = rows + shift[0], columns + shift[1]
    inside = (rows >= 0) & (rows < mask.shape[0]) & (columns >= 0) & (columns < mask.shape[1])
    moved[rows[inside], columns[inside]] = True
    return moved


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 0.0


def _mean(values: list) -> float | None:
    return float(np.mean(values)) if values else None


def format_report(report: dict) -> str:
    """The report as lines to print."""

    def share(value: float | None) -> str:
        return 'not recorded' if value is None else f'{100 * value:.0f} %'

    def by_gap(values: dict[str, float | None]) -> str:
        return ', '.join(f'{gap}: {"-" if v is None else f"{v:.3f}"}' for gap, v in values.items())

    lines = [
        f'{plural(report["videos"], "video")}, {plural(report["frames"], "frame")}, '
        f'{plural(report["instances"], "instance")} of {plural(report["categories"], "category")}, '
        f'visible in {share(report["visible_share"])} of their frames',
        f'videos with a same-category crossing: {share(report["crossing_share"])}',
        f'frames with an occlusion: {share(report["occluded_frame_share"])}, '
        f'blurred: {share(report["blurred_frame_share"])}',
    ]
    if report['mean_step_pixels'] is not None:
        lines.append(
            f'mean move a frame {report["mean_step_pixels"]:.1f} px, mean area {report["mean_area_pixels"]:.0f} px'
        )
    lines += [
        f'IoU of a mask copied over a gap: {by_gap(report["copy_iou"])}',
        f'  ... moved by the centroid shift: {by_gap(report["shift_iou"])}',
    ]
    for stride, values in report['oracle_ap'].items():
        lines.append(
            f'video AP of ground-truth masks at frame stride {stride}: '
            f'ids by box IoU {values["box_iou"]:.1f}, by copying {values["copy"]:.1f}'
        )
    return '\n'.join(lines)
