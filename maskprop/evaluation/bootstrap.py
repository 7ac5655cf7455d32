"""Is one set of results better than another? The paired bootstrap over videos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .detections import MAX_DETS
from .ground_truth import GroundTruth
from .matching import IOU_THRESHOLDS
from .progress import progress_bar
from .video_ap import VideoAPResult, curves, evaluate_video_ap, mean_of_counted

_THRESHOLDS = {'AP': slice(None), 'AP50': IOU_THRESHOLDS == 0.5, 'AP75': IOU_THRESHOLDS == 0.75}


@dataclass
class BootstrapResult:
    """AP of two sets of results over the same resamples of videos.

    Attributes:
        values_a, values_b: float64 (n,), AP of each resample, in 0..1.
        observed: Difference a - b on the set itself.
    """

    values_a: np.ndarray
    values_b: np.ndarray
    observed: float

    @property
    def differences(self) -> np.ndarray:
        """float64 (n,): AP of a minus AP of b."""
        return self.values_a - self.values_b

    @property
    def share_positive(self) -> float:
        """Share of the resamples in which a is better."""
        return float((self.differences > 0).mean())

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Percentile interval of the difference."""
        tail = 50 * (1 - level)
        low, high = np.percentile(self.differences, [tail, 100 - tail])
        return float(low), float(high)


def resamples(num_videos: int, n: int, seed: int) -> Iterator[np.ndarray]:
    """``n`` choices of videos with replacement: int64 (V,), how many times each video counts."""
    rng = np.random.default_rng(seed)
    with progress_bar(n, 'bootstrap', 'resample') as bar:
        for _ in range(n):
            yield np.bincount(rng.integers(num_videos, size=num_videos), minlength=num_videos)
            bar.update()


def resampled_ap(result: VideoAPResult, copies: np.ndarray, metric: str = 'AP') -> float:
    """AP if each video counted ``copies`` (int64 (V,)) times, as if the copies were videos of their own."""
    precision, _ = curves(result.matches, 0, MAX_DETS, result.use_numba, copies)
    return mean_of_counted(precision[_THRESHOLDS[metric]])


def paired_bootstrap(
    gt: dict | GroundTruth,
    results_a: list[dict] | VideoAPResult,
    results_b: list[dict] | VideoAPResult,
    n: int = 1000,
    seed: int = 0,
    *,
    metric: str = 'AP',
    class_agnostic: bool = False,
    backend: str = 'auto',
) -> BootstrapResult:
    """Resample the videos with replacement ``n`` times and score both sets of results on each resample.

    Matching is done once per set; a resample only accumulates anew. A category without ground truth in a resample
    is left out of its mean, on both sides.

    Args:
        gt: Ground truth of both. results_a, results_b: Results, or what ``evaluate_video_ap`` gave for them.
        n: Number of resamples. seed: Of their random choice. metric: 'AP', 'AP50' or 'AP75'.

    Raises:
        EvalInputError: If an input cannot be evaluated.
    """
    if metric not in _THRESHOLDS:
        raise ValueError(f'metric must be one of {sorted(_THRESHOLDS)}, found {metric!r}')
    if n < 1:
        raise ValueError(f'n must be 1 or more, found {n}')
    truth = gt if isinstance(gt, GroundTruth) else GroundTruth.from_dict(gt, backend=backend)
    pair = []
    for name, results in (('results_a', results_a), ('results_b', results_b)):
        if not isinstance(results, VideoAPResult):
            results = evaluate_video_ap(truth, results, class_agnostic=class_agnostic, results_name=name)
        pair.append(results)
    values = np.empty((2, n))
    for sample, copies in enumerate(resamples(len(truth.videos), n, seed)):
        values[:, sample] = [resampled_ap(result, copies, metric) for result in pair]
    return BootstrapResult(values[0], values[1], pair[0][metric] - pair[1][metric])
