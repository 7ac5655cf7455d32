"""HOTA: Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking", IJCV 2021."""

from __future__ import annotations

import numpy as np

from .overlaps import EPS, TrackOverlaps, assign

#: Localization thresholds, over which the numbers are averaged.
ALPHAS = np.arange(0.05, 0.99, 0.05)
TITLE = 'HOTA'
RATES = ('HOTA', 'DetA', 'AssA', 'LocA', 'DetRe', 'DetPr', 'AssRe', 'AssPr')
COUNTS: tuple[str, ...] = ()


def count(overlaps: TrackOverlaps) -> dict[str, np.ndarray]:
    """What adds up over videos and classes, each float64 (19,), by ``ALPHAS``.

    ``TP``, ``FN``, ``FP``; and sums over the true positives: ``IoU``, and by the tracks of each, A its association
    IoU (``Ass``), recall (``AssRe``) and precision (``AssPr``).
    """
    gt_frames, det_frames = overlaps.truths.sum(axis=1), overlaps.found.sum(axis=1)
    gts, dets, ious = _match(overlaps, gt_frames, det_frames)
    reached = ious >= ALPHAS[:, None] - EPS  # (19, M)
    true = reached.sum(axis=1).astype(np.float64)
    sums = dict(TP=true, FN=gt_frames.sum() - true, FP=det_frames.sum() - true, IoU=reached @ ious)
    if not ious.size:
        return sums | dict.fromkeys(('Ass', 'AssRe', 'AssPr'), np.zeros(ALPHAS.size))
    pairs, which = np.unique(gts * len(det_frames) + dets, return_inverse=True)
    together = np.zeros((pairs.size, ALPHAS.size))
    np.add.at(together, which, reached.T)
    in_gt, in_det = gt_frames[pairs // len(det_frames)][:, None], det_frames[pairs % len(det_frames)][:, None]
    for name, frames in (('Ass', in_gt + in_det - together), ('AssRe', in_gt), ('AssPr', in_det)):
        sums[name] = (together * together / frames).sum(axis=0)
    return sums


def _match(
    overlaps: TrackOverlaps, gt_frames: np.ndarray, det_frames: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One-to-one matches of all frames: rows of the ground truths and predictions, int64 (M,), and IoUs.

    Tracks that often could match, each frame weighted by the pair's share of the IoUs there, match first.
    """
    potential = np.zeros((len(gt_frames), len(det_frames)))
    for _, gts, dets, ious in overlaps.frames:
        rivals = ious.sum(axis=0)[None, :] + ious.sum(axis=1)[:, None] - ious
        potential[gts[:, None], dets] += np.divide(ious, rivals, out=np.zeros(ious.shape), where=rivals > EPS)
    alignment = potential / (gt_frames[:, None] + det_frames - potential)
    matches: list[list[np.ndarray]] = [[], [], []]
    for _, gts, dets, ious in overlaps.frames:
        rows, columns = assign(alignment[gts[:, None], dets] * ious)
        for found, values in zip(matches, (gts[rows], dets[columns], ious[rows, columns]), strict=True):
            found.append(values)
    kinds = (np.int64, np.int64, np.float64)
    gts, dets, ious = (np.concatenate([np.zeros(0, k), *m]) for k, m in zip(kinds, matches, strict=True))
    return gts, dets, ious


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
