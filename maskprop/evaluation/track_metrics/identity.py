"""Identity metrics: Ristani et al., "Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking",
ECCV 2016 workshops."""

from __future__ import annotations

import numpy as np

from .overlaps import MATCH_IOU, TrackOverlaps

TITLE = 'Identity'
RATES = ('IDF1', 'IDP', 'IDR')
COUNTS = ('IDTP', 'IDFP', 'IDFN')


def count(overlaps: TrackOverlaps) -> dict[str, float]:
    """What adds up over videos and classes: the ``COUNTS``, of the matching of tracks with most IDTP."""
    true = _most_together(overlaps.ious) if overlaps.ious.size else 0.0
    return dict(IDTP=true, IDFP=float(overlaps.found.sum()) - true, IDFN=float(overlaps.truths.sum()) - true)


def _most_together(ious: np.ndarray) -> float:
    from scipy.optimize import linear_sum_assignment

    together = np.count_nonzero(ious >= MATCH_IOU, axis=0)
    return float(together[linear_sum_assignment(together, maximize=True)].sum())


def numbers(sums: dict[str, float]) -> dict[str, float]:
    """The ``RATES``, and the ``COUNTS`` as whole numbers; a rate of nothing is 0."""
    true, false, missed = (sums[name] for name in COUNTS)
    rates = dict(
        IDF1=true / max(1.0, true + 0.5 * false + 0.5 * missed),
        IDP=true / max(1.0, true + false),
        IDR=true / max(1.0, true + missed),
    )
    return {name: float(rates[name]) for name in RATES} | {name: int(sums[name]) for name in COUNTS}
