"""HOTA: Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking", IJCV 2021."""

from __future__ import annotations

import numpy as np

from .overlaps import EPS, NONE, TrackOverlaps

#: Localization thresholds, over which the numbers are averaged.
ALPHAS = np.arange(0.05, 0.99, 0.05)
TITLE = 'HOTA'
RATES = ('HOTA', 'DetA', 'AssA', 'LocA', 'DetRe', 'DetPr', 'AssRe', 'AssPr')
COUNTS: tuple[str, ...] = ()
#: NumPy adds so many numbers in a row one after the other, and more in parts.
_ADDED_IN_PARTS = 8


def count(overlaps: TrackOverlaps) -> dict[str, np.ndarray]:
    """What adds up over videos and classes, each float64 (19,), by ``ALPHAS``.

    ``TP``, ``FN``, ``FP``; and sums over the true positives: ``IoU``, and by the tracks of each, A its association
    IoU (``Ass``), recall (``AssRe``) and precision (``AssPr``).
    """
    nothing = np.zeros(ALPHAS.size)
    if not overlaps.ious.size:
        only = dict(FN=nothing + overlaps.truths.sum(), FP=nothing + overlaps.found.sum())
        return dict.fromkeys(('TP', 'IoU', 'Ass', 'AssRe', 'AssPr'), nothing) | only
    gt_frames, det_frames = overlaps.truths.sum(axis=1), overlaps.found.sum(axis=1)
    matches = overlaps.match_frames(_scores(overlaps, gt_frames, det_frames))
    frames, gts = np.nonzero(matches != NONE)
    dets = matches[frames, gts]
    ious = overlaps.ious[frames, dets, gts]
    reached = ious >= ALPHAS[:, None] - EPS  # (19, M)
    true = reached.sum(axis=1).astype(np.float64)
    sums = dict(TP=true, FN=gt_frames.sum() - true, FP=det_frames.sum() - true, IoU=reached @ ious)
    pairs, which = np.unique(gts * len(det_frames) + dets, return_inverse=True)
    together = np.zeros((pairs.size, ALPHAS.size))
    if pairs.size:
        order = np.argsort(which, kind='stable')
        first = np.searchsorted(which[order], np.arange(pairs.size))
        together = np.add.reduceat(reached.T[order].astype(np.float64), first)
    in_gt, in_det = gt_frames[pairs // len(det_frames)][:, None], det_frames[pairs % len(det_frames)][:, None]
    for name, frames in (('Ass', in_gt + in_det - together), ('AssRe', in_gt), ('AssPr', in_det)):
        sums[name] = (together * together / frames).sum(axis=0)
    return sums


def _scores(overlaps: TrackOverlaps, gt_frames: np.ndarray, det_frames: np.ndarray) -> np.ndarray:
    """By what frames are matched: the IoU, times how well the two tracks agree over the video. (T, D, G)"""
    ious, rivals = overlaps.ious, _rivals(overlaps)
    shares = np.divide(ious, rivals, out=np.zeros(ious.shape), where=rivals > EPS)
    potential = shares.cumsum(axis=0)[-1]  # frames in which the two could match
    return ious * (potential / (det_frames[:, None] + gt_frames - potential))


def _rivals(overlaps: TrackOverlaps) -> np.ndarray:
    """Sum of the IoUs that each pair's two masks have with all of the frame: (T, D, G).

    Added in TrackEval's order: the last bit may decide between matches that are equal but for rounding.
    """
    ious, truths, found = overlaps.ious, overlaps.truths, overlaps.found
    of_det, of_gt = ious.cumsum(axis=2)[:, :, -1], ious.cumsum(axis=1)[:, -1]
    for frame in np.flatnonzero((truths.sum(axis=0) >= _ADDED_IN_PARTS) & found.any(axis=0)).tolist():
        dets = found[:, frame]
        of_det[frame, dets] = ious[frame][dets][:, truths[:, frame]].copy().sum(axis=1)
    return of_det[:, :, None] + of_gt[:, None, :] - ious


def numbers(sums: dict[str, np.ndarray]) -> dict[str, float]:
    """The ``RATES``, means over the thresholds; LocA is 1 where nothing matches, the others 0."""
    true, false, missed = sums['TP'], sums['FP'], sums['FN']
    some = np.maximum(1, true)
    found = dict(
        DetA=true / np.maximum(1, true + false + missed),
        AssA=sums['Ass'] / some,
        LocA=np.where(true > 0, sums['IoU'] / some, 1.0),
        DetRe=true / np.maximum(1, true + missed),
        DetPr=true / np.maximum(1, true + false),
        AssRe=sums['AssRe'] / some,
        AssPr=sums['AssPr'] / some,
    )
    found['HOTA'] = np.sqrt(found['DetA'] * found['AssA'])
    return {name: float(found[name].mean()) for name in RATES}
