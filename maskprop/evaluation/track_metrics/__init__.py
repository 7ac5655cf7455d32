"""HOTA, CLEAR and identity metrics of masks, equal to TrackEval's; docs/metrics.md has the definitions.

from maskprop.evaluation import evaluate_tracks
print(evaluate_tracks(json.load(open('gt.json')), json.load(open('results.json'))).table())
"""

from __future__ import annotations

from .measure import evaluate_tracks, measure_tracks
from .resampling import ResampledTracks
from .result import KINDS, TrackResult

__all__ = ['KINDS', 'ResampledTracks', 'TrackResult', 'evaluate_tracks', 'measure_tracks']
