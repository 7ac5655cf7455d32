"""CLEAR metrics of masks: Voigtlaender et al., "MOTS: Multi-Object Tracking and Segmentation", CVPR 2019."""

from __future__ import annotations

import numpy as np

from .overlaps import NONE, TrackOverlaps, above

TITLE = 'CLEAR'
RATES = ('MOTSA', 'sMOTSA', 'MOTSP')
COUNTS = ('IDSW', 'TP', 'FP', 'FN', 'Frag', 'MT', 'PT', 'ML')
#: What going on with the prediction of the frame before is worth in a match; more than any sum of IoUs.
_GOING_ON = 1000


def count(overlaps: TrackOverlaps) -> dict[str, np.ndarray]:
    """What adds up over videos and classes: the ``COUNTS``, and ``IoU``, the sum of those of the matches."""
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
        FP=overlaps.found.sum() - place.size,
        FN=overlaps.truths.sum() - place.size,
        Frag=np.maximum(begins - 1, 0).sum(),
        MT=mostly,
        PT=share.size - mostly - hardly,
        ML=hardly,
        IoU=overlaps.ious[frames[place], matches[place, gts], gts].sum(),
    )
    return {name: np.asarray(value, dtype=np.float64) for name, value in counts.items()}


def _match(overlaps: TrackOverlaps, frames: np.ndarray) -> np.ndarray:
    """The prediction matched to each ground truth in each of the frames, or ``NONE``: int64 (F, G)."""
    possible = above(overlaps.ious[frames])
    matches, unclear = overlaps.nearest(possible)
    before, gts = np.full(len(overlaps.truths), NONE), np.arange(len(overlaps.truths))
    for place, frame in enumerate(frames.tolist()):
        goes_on = (before != NONE) & (possible[place, before, gts] > 0)
        if unclear[place]:
            scores = possible[place].copy()
            scores[before[goes_on], gts[goes_on]] += _GOING_ON
            matches[place] = overlaps.match_frame(frame, scores)
        else:
            matches[place] = np.where(goes_on, before, matches[place])
        before = matches[place]
    return matches


def numbers(sums: dict[str, np.ndarray]) -> dict[str, float]:
    """The ``RATES``, and the ``COUNTS`` as whole numbers; a rate of nothing is 0."""
    truths = max(1.0, sums['TP'] + sums['FN'])
    wrong = sums['FP'] + sums['IDSW']
    rates = dict(
        MOTSA=(sums['TP'] - wrong) / truths,
        sMOTSA=(sums['IoU'] - wrong) / truths,
        MOTSP=sums['IoU'] / max(1.0, sums['TP']),
    )
    return {name: float(rates[name]) for name in RATES} | {name: int(sums[name]) for name in COUNTS}
