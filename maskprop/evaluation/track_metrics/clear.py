"""CLEAR metrics of masks: Voigtlaender et al., "MOTS: Multi-Object Tracking and Segmentation", CVPR 2019."""

from __future__ import annotations

import numpy as np

from ..kernels import get_kernels
from .overlaps import NONE, TrackOverlaps, above

TITLE = 'CLEAR'
RATES = ('MOTSA', 'sMOTSA', 'MOTSP')
COUNTS = ('IDSW', 'TP', 'FP', 'FN', 'Frag', 'MT', 'PT', 'ML')
#: What going on with the prediction of the frame before is worth in a match; more than any sum of IoUs.
_GOING_ON = 1000


def count(overlaps: TrackOverlaps) -> dict[str, float]:
    """What adds up over videos and classes: the ``COUNTS``, and ``IoU``, the sum of those of the matches."""
    truths, found = overlaps.truths.sum(), overlaps.found.sum()
    if not overlaps.ious.size:
        return dict.fromkeys((*COUNTS, 'IoU'), 0.0) | dict(
            FP=float(found), FN=float(truths), ML=len(overlaps.truths)
        )
    frames = np.flatnonzero(overlaps.truths.any(axis=0) & overlaps.found.any(axis=0))
    matches = _match(overlaps, frames)
    matched = matches != NONE
    place, gts = np.nonzero(matched)
    # Frames without predictions are passed over, so a track goes on behind them: as TrackEval does.
    begins = (matched & ~np.vstack([np.zeros_like(matched[:1]), matched[:-1]])).sum(axis=0)
    share = matched.sum(axis=0) / overlaps.truths.sum(axis=1)
    mostly, hardly = np.count_nonzero(share > 0.8), np.count_nonzero(share < 0.2)
    counts = dict(
        IDSW=sum(np.count_nonzero(np.diff(ids[ids != NONE])) for ids in matches.T),
        TP=place.size,
        FP=found - place.size,
        FN=truths - place.size,
        Frag=np.maximum(begins - 1, 0).sum(),
        MT=mostly,
        PT=share.size - mostly - hardly,
        ML=hardly,
        IoU=overlaps.ious[frames[place], matches[place, gts], gts].sum(),
    )
    return {name: float(value) for name, value in counts.items()}


def _match(overlaps: TrackOverlaps, frames: np.ndarray) -> np.ndarray:
    """The prediction matched to each ground truth in each of the frames, or ``NONE``: int64 (F, G)."""
    possible = above(overlaps.ious[frames])
    matches, unclear = overlaps.nearest(possible)
    keep_matches = get_kernels(overlaps.use_numba).keep_matches
    place = keep_matches(possible, unclear, 0, matches)
    while place < frames.size:
        scores = possible[place].copy()
        if place:
            gts = np.flatnonzero(matches[place - 1] != NONE)
            before = matches[place - 1, gts]
            scores[before, gts] += np.where(scores[before, gts] > 0, _GOING_ON, 0)
        matches[place] = overlaps.match_frame(int(frames[place]), scores)
        place = keep_matches(possible, unclear, place + 1, matches)
    return matches


def numbers(sums: dict[str, float]) -> dict[str, float]:
    """The ``RATES``, and the ``COUNTS`` as whole numbers; a rate of nothing is 0."""
    truths = max(1.0, sums['TP'] + sums['FN'])
    wrong = sums['FP'] + sums['IDSW']
    rates = dict(
        MOTSA=(sums['TP'] - wrong) / truths,
        sMOTSA=(sums['IoU'] - wrong) / truths,
        MOTSP=sums['IoU'] / max(1.0, sums['TP']),
    )
    return {name: float(rates[name]) for name in RATES} | {name: int(sums[name]) for name in COUNTS}
