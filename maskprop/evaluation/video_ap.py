"""Video average precision of YouTube-VIS, equal to the reference code (youtubevos/cocoapi, ``ytvoseval.py``).

from maskprop.evaluation import evaluate_video_ap
result = evaluate_video_ap(json.load(open('gt.json')), json.load(open('results.json')))
print(result.table())
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from maskprop.utils.text import one_line

from .detections import MAX_DETS, read_detections
from .ground_truth import GroundTruth
from .kernels import get_kernels
from .matching import AREA_NAMES, IOU_THRESHOLDS, CategoryMatches, match_all

RECALL_THRESHOLDS = np.linspace(0.0, 1.0, 101)
#: The 12 numbers, in the reference's order.
METRIC_NAMES = ('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'AR1', 'AR10', 'AR100', 'ARs', 'ARm', 'ARl')


@dataclass
class VideoAPResult:
    """Video AP of one set of results.

    Attributes:
        metrics: {name of ``METRIC_NAMES``: number in 0..1}; -1 where there is no ground truth to count.
        per_category: {category id: AP}, -1 likewise; empty if class-agnostic.
        category_names: {category id: name}.
        matches: K entries, the detections of each category over all videos (see ``bootstrap``).
        counted: int64 (C,), which of the K have ground truth.
        counted_precision: float64 (T, R, C, A): by IoU threshold, recall threshold, category and area range.
        num_videos: V. use_numba: which form the kernels took.
    """

    metrics: dict[str, float]
    per_category: dict[int, float]
    category_names: dict[int, str]
    matches: list[CategoryMatches]
    counted: np.ndarray
    counted_precision: np.ndarray
    num_videos: int
    use_numba: bool

    @property
    def precision(self) -> np.ndarray:
        """float64 (T, R, K, A): ``counted_precision`` among -1 for the categories without ground truth."""
        thresholds, recalls, _, areas = self.counted_precision.shape
        precision = np.full((thresholds, recalls, len(self.matches), areas), -1.0)
        precision[:, :, self.counted] = self.counted_precision
        return precision

    def __getitem__(self, name: str) -> float:
        return self.metrics[name]

    def to_dict(self) -> dict[str, Any]:
        """What metrics.json holds, at full precision: the 12 names, and ``per_category`` ({category id: AP}) and
        ``category_names`` ({category id: name}) of the categories with ground truth."""
        counted = {str(key): ap for key, ap in self.per_category.items() if ap >= 0}
        names = {key: self.category_names[int(key)] for key in counted}
        return {**self.metrics, 'per_category': counted, 'category_names': names}

    def table(self) -> str:
        """The 12 numbers, and the AP of each category with ground truth, in percent; '-': nothing to count."""
        head = ' '.join(f'{name:>6}' for name in METRIC_NAMES)
        lines = ['Video AP (%)', head, ' '.join(f'{_percent(self.metrics[name]):>6}' for name in METRIC_NAMES)]
        counted = {key: ap for key, ap in self.per_category.items() if ap >= 0}
        if counted:
            names = {key: one_line(self.category_names[key]) for key in counted}
            width = max(8, *map(len, names.values()))
            lines += ['', f'{"id":>6}  {"category":<{width}}  {"AP":>6}']
            lines += [f'{key:>6}  {names[key]:<{width}}  {_percent(ap):>6}' for key, ap in counted.items()]
        return '\n'.join(lines)


def _percent(value: float) -> str:
    return '-' if value < 0 else f'{100 * value:.1f}'


def evaluate_video_ap(
    gt: dict | GroundTruth,
    results: list[dict],
    *,
    class_agnostic: bool = False,
    backend: str = 'auto',
    gt_name: str = 'ground truth',
    results_name: str = 'results',
    allow_empty: bool = False,
) -> VideoAPResult:
    """Video AP of results against ground truth.

    Args:
        gt: A parsed YouTube-VIS annotation file, or a ``GroundTruth`` (checked and decoded before).
        results: A parsed submission: list of {``video_id``, ``category_id``, ``score``, ``segmentations``}.
        class_agnostic: Take all categories as one.
        backend: 'auto' (numba if it can be imported), 'numba' or 'numpy'; equal results.
        gt_name, results_name: File names for messages.
        allow_empty: Score an empty list of results (AP 0) instead of refusing it.

    Raises:
        EvalInputError: If either cannot be evaluated; the message names record, field, value and fix.
    """
    truth = gt if isinstance(gt, GroundTruth) else GroundTruth.from_dict(gt, gt_name, backend)
    detections = read_detections(truth, results, results_name, class_agnostic, allow_empty=allow_empty)
    matches = match_all(truth, detections, class_agnostic)
    return summarize(truth, matches, class_agnostic)


def curves(
    matches: list[CategoryMatches], area: int, max_dets: int, use_numba: bool, copies: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Precision (T, R, K) and recall (T, K) in one area range; -1 for a category without ground truth to count.

    Args:
        area: Index into ``AREA_NAMES``. max_dets: Detections counted per video and category.
        copies: int64 (V,), how many times each video counts.
    """
    kernel = get_kernels(use_numba).precision_recall
    precision = np.full((len(matches), IOU_THRESHOLDS.size, RECALL_THRESHOLDS.size), -1.0)
    recall = np.full((len(matches), IOU_THRESHOLDS.size), -1.0)
    for k, category in enumerate(matches):
        num_gts = int(category.num_gts[area] @ copies)
        if num_gts:
            kernel(
                category.state[area],
                category.rank,
                category.video,
                category.blocks,
                copies,
                max_dets,
                num_gts,
                RECALL_THRESHOLDS,
                precision[k],
                recall[k],
            )
    # The order (T, R, K) is the reference's: the mean of floats depends on it in the last bit.
    return np.ascontiguousarray(np.moveaxis(precision, 0, 2)), np.ascontiguousarray(recall.T)


def mean_of_counted(values: np.ndarray) -> float:
    """Mean of the entries above -1; -1 if there is none."""
    counted = values[values > -1]
    return float(counted.mean()) if counted.size else -1.0


def summarize(
    truth: GroundTruth,
    matches: list[CategoryMatches],
    class_agnostic: bool = False,
    copies: np.ndarray | None = None,
) -> VideoAPResult:
    """The 12 numbers and per-category AP from the matches of every category.

    Args:
        copies: int64 (V,), how many times each video counts; default: once.
    """
    if copies is None:
        copies = np.ones(len(truth.videos), dtype=np.int64)
    counted = np.array([k for k, category in enumerate(matches) if category.num_gts[0].any()], dtype=np.int64)
    used = [matches[k] for k in counted]
    by_area = [curves(used, area, MAX_DETS, truth.use_numba, copies) for area in range(len(AREA_NAMES))]
    precision = np.stack([of_area[0] for of_area in by_area], axis=-1)
    overall = by_area[0][0]
    numbers = [overall, overall[IOU_THRESHOLDS == 0.5], overall[IOU_THRESHOLDS == 0.75]]
    numbers += [of_area[0] for of_area in by_area[1:]]
    numbers += [curves(used, 0, max_dets, truth.use_numba, copies)[1] for max_dets in (1, 10)]
    numbers += [of_area[1] for of_area in by_area]
    per_category = {} if class_agnostic else dict.fromkeys(truth.categories, -1.0)
    names = list(truth.categories)
    for place, k in enumerate(counted.tolist() if per_category else []):
        per_category[names[k]] = mean_of_counted(overall[:, :, place])
    metrics = {name: mean_of_counted(values) for name, values in zip(METRIC_NAMES, numbers, strict=True)}
    return VideoAPResult(
        metrics,
        per_category,
        truth.categories,
        matches,
        counted,
        precision,
        len(truth.videos),
        truth.use_numba,
    )
