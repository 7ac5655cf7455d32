"""tools/benchmarks/track_metrics.py at tiny size: TrackEval's own reader and Evaluator give the same numbers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip('trackeval', reason='pip install --no-deps trackeval==1.3.0')
sys.path.insert(0, str(Path(__file__).parents[2] / 'tools/benchmarks'))
import common  # noqa: E402
import track_metrics  # noqa: E402
from video_sets import SetShape  # noqa: E402

pytestmark = pytest.mark.slow

TINY = SetShape(videos=4, frames=(3, 6), truths=(1, 3), categories=3, predictions=60, same=0.8)
SIZE = (72, 128)


def test_both_sides_agree():
    row = track_metrics.measure(TINY, 1, SIZE)
    assert row['difference'] <= 1e-9 and row['predictions'] == 60 and 0.05 < row['HOTA'] < 0.95
    lines = track_metrics.lines_of({'tiny': row})
    assert sum(line.startswith('| tiny | ') for line in lines) == 3


def test_sides_that_differ_are_refused(monkeypatch):
    def of_fewer(self) -> None:
        kinds = tuple(track_metrics.KINDS)
        self.found = track_metrics.measure_tracks(self.truth, self.detections, kinds, min_score=0.4)

    monkeypatch.setattr(track_metrics.MaskProp, 'evaluate', of_fewer)
    with pytest.raises(common.BenchmarkError, match='the numbers differ by up to'):
        track_metrics.measure(TINY, 1, SIZE)
