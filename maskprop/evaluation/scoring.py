"""Everything that is measured of one set of results, on masks decoded once: video AP and temporal stability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .detections import read_detections
from .ground_truth import GroundTruth
from .matching import match_all
from .stability import MIN_SCORE, measure_stability
from .stability_result import StabilityResult
from .video_ap import VideoAPResult, summarize


@dataclass
class Scores:
    """Video AP, and temporal stability unless that was left out."""

    video_ap: VideoAPResult
    stability: StabilityResult | None = None

    def to_dict(self) -> dict[str, Any]:
        """What metrics.json holds: that of ``video_ap``, and ``stability``."""
        stability = {} if self.stability is None else {'stability': self.stability.to_dict()}
        return {**self.video_ap.to_dict(), **stability}

    def table(self) -> str:
        """The tables, one under the other."""
        return '\n\n'.join(part.table() for part in (self.video_ap, self.stability) if part is not None)


def score_results(
    truth: GroundTruth,
    results: list[dict],
    *,
    class_agnostic: bool = False,
    stability: bool = True,
    min_score: float = MIN_SCORE,
    results_name: str = 'results',
    allow_empty: bool = False,
) -> Scores:
    """Video AP and temporal stability of results.

    Args:
        truth: The ground truth. results: A parsed submission.
        class_agnostic: Take all categories as one.
        stability: Measure it. min_score: Predictions of a lower score take no part in the stability.
        results_name: File name for messages.
        allow_empty: Score an empty list of results instead of refusing it.

    Raises:
        EvalInputError: If the results cannot be evaluated.
    """
    detections = read_detections(truth, results, results_name, class_agnostic, allow_empty)
    video_ap = summarize(truth, match_all(truth, detections, class_agnostic), class_agnostic)
    if not stability:
        return Scores(video_ap)
    return Scores(video_ap, measure_stability(truth, detections, class_agnostic, min_score))
