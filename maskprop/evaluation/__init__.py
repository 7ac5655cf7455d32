"""Video AP of YouTube-VIS and temporal stability, without torch; the mmengine metric is in ``metric``."""

from __future__ import annotations

from .bootstrap import BootstrapResult, paired_bootstrap
from .ground_truth import GroundTruth, load_ground_truth
from .results_io import ResultsWriter, read_results, write_results, write_submission
from .scoring import Scores, score_results
from .stability import evaluate_stability
from .stability_result import StabilityResult, TrackStability
from .validation import EvalInputError
from .video_ap import METRIC_NAMES, VideoAPResult, evaluate_video_ap

__all__ = [
    'METRIC_NAMES',
    'BootstrapResult',
    'EvalInputError',
    'GroundTruth',
    'ResultsWriter',
    'Scores',
    'StabilityResult',
    'TrackStability',
    'VideoAPResult',
    'evaluate_stability',
    'evaluate_video_ap',
    'load_ground_truth',
    'paired_bootstrap',
    'read_results',
    'score_results',
    'write_results',
    'write_submission',
]
