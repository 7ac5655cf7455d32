"""Video average precision of YouTube-VIS: NumPy and numba only; the mmengine metric around it is in ``metric``."""

from __future__ import annotations

from .bootstrap import BootstrapResult, paired_bootstrap
from .ground_truth import GroundTruth, load_ground_truth
from .results_io import ResultsWriter, read_results, write_results, write_submission
from .validation import EvalInputError
from .video_ap import METRIC_NAMES, VideoAPResult, evaluate_video_ap

__all__ = [
    'METRIC_NAMES',
    'BootstrapResult',
    'EvalInputError',
    'GroundTruth',
    'ResultsWriter',
    'VideoAPResult',
    'evaluate_video_ap',
    'load_ground_truth',
    'paired_bootstrap',
    'read_results',
    'write_results',
    'write_submission',
]
