"""Video AP of YouTube-VIS, HOTA, CLEAR, identity metrics and temporal stability, without torch.

The mmengine metric is in ``metric``.
"""

from __future__ import annotations

from .bootstrap import BootstrapResult, paired_bootstrap
from .ground_truth import GroundTruth, load_ground_truth
from .results_io import ResultsWriter, read_results, write_results, write_submission
from .scoring import METRICS, Scores, score_results
from .stability import evaluate_stability
from .stability_result import StabilityResult, TrackStability
from .track_metrics import TrackResult, evaluate_tracks
from .validation import EvalInputError
from .video_ap import METRIC_NAMES, VideoAPResult, evaluate_video_ap

__all__ = [
    'METRICS',
    'METRIC_NAMES',
    'BootstrapResult',
    'EvalInputError',
    'GroundTruth',
    'ResultsWriter',
    'Scores',
    'StabilityResult',
    'TrackResult',
    'TrackStability',
    'VideoAPResult',
    'evaluate_stability',
    'evaluate_tracks',
    'evaluate_video_ap',
    'load_ground_truth',
    'paired_bootstrap',
    'read_results',
    'score_results',
    'write_results',
    'write_submission',
]
