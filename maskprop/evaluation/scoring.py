"""Everything that is measured of one set of results, on masks decoded once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .detections import MIN_SCORE, read_detections
from .ground_truth import GroundTruth
from .matching import match_all
from .stability import measure_stability
from .stability_result import StabilityResult
from .track_metrics import KINDS, TrackResult, measure_tracks
from .video_ap import VideoAPResult, summarize

#: Names of what can be measured, in the order in which it is printed.
METRICS = ('video_ap', 'stability', *KINDS)
DEFAULT_METRICS = ('video_ap', 'stability')


@dataclass
class Scores:
    """What was measured; None where it was not asked for."""

    video_ap: VideoAPResult | None = None
    stability: StabilityResult | None = None
    tracks: TrackResult | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """The numbers of the whole set by name: video AP's 12, and those of HOTA, CLEAR and identity."""
        video_ap = {} if self.video_ap is None else self.video_ap.metrics
        return {**video_ap, **({} if self.tracks is None else self.tracks.metrics())}

    def to_dict(self) -> dict[str, Any]:
        """What metrics.json holds: that of ``video_ap``, and an entry for each of the others."""
        found = {} if self.video_ap is None else self.video_ap.to_dict()
        if self.stability is not None:
            found['stability'] = self.stability.to_dict()
        return {**found, **({} if self.tracks is None else self.tracks.to_dict())}

    def table(self) -> str:
        """The tables, one under the other."""
        parts = (self.video_ap, self.stability, self.tracks)
        return '\n\n'.join(part.table() for part in parts if part is not None)


def check_metrics(metrics: Iterable[str]) -> tuple[str, ...]:
    """The names in the order of ``METRICS``, each once.

    Raises:
        ValueError: There is none, or one that is unknown.
    """
    metrics = [metrics] if isinstance(metrics, str) else list(metrics)
    unknown = [name for name in metrics if name not in METRICS]
    if unknown or not metrics:
        found = f'{", ".join(map(repr, unknown))} among them' if unknown else 'none'
        raise ValueError(f'metrics: expected some of {", ".join(METRICS)}; found {found}')
    return tuple(name for name in METRICS if name in metrics)


def video_ap_of(scores: Scores) -> VideoAPResult:
    """The video AP of scores that were asked for it."""
    assert scores.video_ap is not None
    return scores.video_ap


def score_results(
    truth: GroundTruth,
    results: list[dict],
    *,
    metrics: Iterable[str] = DEFAULT_METRICS,
    class_agnostic: bool = False,
    min_score: float = MIN_SCORE,
    results_name: str = 'results',
    allow_empty: bool = False,
    drop_unknown: bool = True,
    keep_videos: bool = False,
) -> Scores:
    """Measure results.

    Args:
        truth: The ground truth. results: A parsed submission.
        metrics: What to measure, of ``METRICS``.
        class_agnostic: Take all categories as one.
        min_score: Predictions of a lower score take part in video AP only.
        results_name: File name for messages.
        allow_empty: Score an empty list of results instead of refusing it.
        drop_unknown: Leave results of categories that the ground truth does not list out, with a warning, instead
            of refusing them.
        keep_videos: Give HOTA, CLEAR and identity of each video too, in ``TrackResult.videos``.

    Raises:
        EvalInputError: If the results cannot be evaluated.
        ValueError: If ``metrics`` or ``min_score`` make no sense.
    """
    metrics = check_metrics(metrics)
    detections = read_detections(
        truth, results, results_name, class_agnostic, allow_empty=allow_empty, drop_unknown=drop_unknown
    )
    scores = Scores()
    if 'video_ap' in metrics:
        scores.video_ap = summarize(truth, match_all(truth, detections, class_agnostic), class_agnostic)
    if 'stability' in metrics:
        scores.stability = measure_stability(truth, detections, class_agnostic, min_score)
    kinds = [name for name in metrics if name in KINDS]
    if kinds:
        scores.tracks = measure_tracks(truth, detections, kinds, class_agnostic, min_score, keep_videos)
    return scores
