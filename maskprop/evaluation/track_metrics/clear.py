"""CLEAR metrics of masks: Voigtlaender et al., "MOTS: Multi-Object Tracking and Segmentation", CVPR 2019."""

from __future__ import annotations

import numpy as np

from .overlaps import EPS, MATCH_IOU, TrackOverlaps, assign

TITLE = 'CLEAR'
RATES = ('MOTSA', 'sMOTSA', 'MOTSP')
COUNTS = ('IDSW', 'TP', 'FP', 'FN', 'Frag', 'MT', 'PT', 'ML')
#: What going on with the prediction of the frame before is worth in a match; more than any sum of IoUs.
_GOING_ON = 1000
_NONE = -1


def count(overlaps: TrackOverlaps) -> dict[str, np.ndarray]:
    """What adds up over videos and classes: the ``COUNTS``, and ``IoU``, the sum of those of the matches."""
    num_gts = len(overlaps.truths)
    last, before = np.full(num_gts, _NONE), np.full(num_gts, _NONE)  # the prediction that a ground truth had
    matched_frames, begins = np.zeros(num_gts), np.zeros(num_gts)
    true = switches = 0
    iou_sum = 0.0
    # Frames without predictions are passed over, so a track goes on behind them: as TrackEval does.
    for _, gts, dets, ious in overlaps.frames:
        score = np.where(ious < MATCH_IOU - EPS, 0, _GOING_ON * (dets == before[gts, None]) + ious)
        rows, columns = assign(score)
        kept = score[rows, columns] > EPS
        rows, columns = rows[kept], columns[kept]
        matched, ids = gts[rows], dets[columns]
        switches += np.count_nonzero((last[matched] != _NONE) & (last[matched] != ids))
        begins[matched] += before[matched] == _NONE
        matched_frames[matched] += 1
        before[:] = _NONE
        last[matched] = before[matched] = ids
        true += rows.size
        iou_sum += ious[rows, columns].sum()
    share = matched_frames / overlaps.truths.sum(axis=1)
    mostly, hardly = np.count_nonzero(share > 0.8), np.count_nonzero(share < 0.2)
    counts = dict(
        IDSW=switches,
        TP=true,
        FP=overlaps.found.sum() - true,
        FN=overlaps.truths.sum() - true,
        Frag=np.maximum(begins - 1, 0).sum(),
        MT=mostly,
        PT=num_gts - mostly - hardly,
        ML=hardly,
        IoU=iou_sum,
    )
    return {name: np.float64(value) for name, value in counts.items()}


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
