"""Identity metrics: Ristani et al., "Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking",
ECCV 2016 workshops."""

from __future__ import annotations

import numpy as np

from .overlaps import MATCH_IOU, TrackOverlaps

TITLE = 'Identity'
RATES = ('IDF1', 'IDP', 'IDR')
COUNTS = ('IDTP', 'IDFP', 'IDFN')


def count(overlaps: TrackOverlaps) -> dict[str, np.ndarray]:
    """What adds up over videos and classes: the ``COUNTS``, of the matching of tracks with most IDTP."""
    from scipy.optimize import linear_sum_assignment

    together = np.count_nonzero(overlaps.ious >= MATCH_IOU, axis=0)
    true = together[linear_sum_assignment(together, maximize=True)].sum()
    counts = dict(IDTP=true, IDFP=overlaps.found.sum() - true, IDFN=overlaps.truths.sum() - true)
    return {name: np.asarray(value, dtype=np.float64) for name, value in counts.items()}


def numbers(sums: dict[str, np.ndarray]) -> dict[str, float]:
    """The ``RATES``, and the ``COUNTS`` as whole numbers; a rate of nothing is 0."""
    true, false, missed = (sums[name] for name in COUNTS)
    rates = dict(
        IDF1=true / max(1.0, true + 0.5 * false + 0.5 * missed),
        IDP=true / max(1.0, true + false),
        IDR=true / max(1.0, true + missed),
    )
    return {name: float(rates[name]) for name in RATES} | {name: int(sums[name]) for name in COUNTS}
