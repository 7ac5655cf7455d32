"""TrackEval (MIT, PyPI ``trackeval``) on parsed files: the oracle of HOTA, CLEAR and identity metrics.

Its metric classes do the work; ids and IoUs of each frame are made here with pycocotools, video by video and class
by class, as its own reader does, but for frames with an empty mask, which count as absent. The comparison of many
random sets, of which the tests take some:

    python tests/evaluation/trackeval_oracle.py 300
"""

from __future__ import annotations

import contextlib
import io
import sys

import numpy as np
import pytest
from pycocotools import mask as mask_api

with contextlib.redirect_stdout(io.StringIO()):  # it prints which of its data sets lack a library
    trackeval = pytest.importorskip(
        'trackeval', reason='TrackEval is not installed: pip install --no-deps trackeval'
    )

QUIET = dict(PRINT_CONFIG=False)
METRICS = dict(
    hota=trackeval.metrics.HOTA(),
    clear=trackeval.metrics.CLEAR(QUIET),
    identity=trackeval.metrics.Identity(QUIET),
)
#: Our names that are not TrackEval's.
NAMES = dict(MOTSA='MOTA', sMOTSA='sMOTA', MOTSP='MOTP', TP='CLR_TP', FP='CLR_FP', FN='CLR_FN')


def trackeval_numbers(gt: dict, results: list[dict], min_score: float) -> dict[str, dict]:
    """{kind: {'all', 'mean', category id: TrackEval's combined fields}}; 'mean' over classes with ground truth."""
    results = [record for record in results if record['score'] >= min_score]
    by_class = {c['id']: _class_data(gt, results, c['id']) for c in gt['categories']}
    with_truth = [c for c, videos in by_class.items() if any(data['num_gt_ids'] for data in videos)]
    found: dict[str, dict] = {}
    for kind, metric in METRICS.items():
        rows = {
            category: metric.combine_sequences({i: metric.eval_sequence(data) for i, data in enumerate(videos)})
            for category, videos in by_class.items()
        }
        found[kind] = {category: rows[category] for category in with_truth}
        found[kind]['all'] = metric.combine_classes_det_averaged(rows)
        if with_truth:
            found[kind]['mean'] = metric.combine_classes_class_averaged({c: rows[c] for c in with_truth})
    return found


def _class_data(gt: dict, results: list[dict], category: int) -> list[dict]:
    """TrackEval's data of each video."""
    return [
        sequence_data(*(
            [r['segmentations'] for r in records if (r['video_id'], r['category_id']) == (video['id'], category)]
            for records in (gt['annotations'], results)
        ), video['length'])
        for video in gt['videos']
    ]  # fmt: skip


def sequence_data(truths: list[list], found: list[list], length: int, ignored: set | None = None) -> dict:
    """TrackEval's data of one video and class, of the masks of its tracks.

    Args:
        ignored: (frame, index of the prediction) of those that are taken out.
    """
    data: dict = dict(gt_ids=[], tracker_ids=[], similarity_scores=[], num_timesteps=length)
    for frame in range(length):
        gts = [i for i, track in enumerate(truths) if _visible(track[frame])]
        dets = [i for i, track in enumerate(found) if _visible(track[frame]) and (frame, i) not in (ignored or ())]
        ious = mask_api.iou([truths[i][frame] for i in gts], [found[i][frame] for i in dets], [False] * len(dets))
        data['gt_ids'].append(np.array(gts, dtype=int))
        data['tracker_ids'].append(np.array(dets, dtype=int))
        data['similarity_scores'].append(np.array(ious, dtype=float).reshape(len(gts), len(dets)))
    for ids, number, total in (('gt_ids', 'num_gt_ids', 'num_gt_dets'),
                               ('tracker_ids', 'num_tracker_ids', 'num_tracker_dets')):  # fmt: skip
        present = np.unique(np.concatenate(data[ids]))
        data[ids] = [np.searchsorted(present, of_frame) for of_frame in data[ids]]
        data[number], data[total] = len(present), sum(map(len, data[ids]))
    return data


def _visible(mask: dict | None) -> bool:
    return mask is not None and mask_api.area(mask) > 0


def largest_difference(ours: dict[str, float], theirs: dict) -> float:
    """Between our numbers of one kind and row and TrackEval's; HOTA's fields are averaged over the thresholds."""
    return max(abs(value - float(np.mean(theirs[NAMES.get(name, name)]))) for name, value in ours.items())


def compare(gt: dict, results: list[dict], min_score: float) -> float:
    """The largest difference of all numbers: each class with ground truth, all, and the mean of the classes."""
    from maskprop.evaluation import evaluate_tracks

    result = evaluate_tracks(gt, results, min_score=min_score)
    expected = trackeval_numbers(gt, results, min_score)
    differences = []
    for kind, theirs in expected.items():
        ours = {'all': result.overall(kind), 'mean': result.mean(kind), **result.per_category(kind)}
        assert {name for name, row in ours.items() if row} == set(theirs)
        differences += [largest_difference(ours[name], row) for name, row in theirs.items()]
    return max(differences)


def main(number: int) -> None:
    from track_cases import random_tracks

    worst, sets = 0.0, 0
    for options in ({}, dict(num_videos=1, most=14)):
        for seed in range(number):
            gt, results = random_tracks(seed, **options)
            if gt['annotations']:
                sets += 1
                worst = max(worst, *(compare(gt, results, min_score) for min_score in (0.0, 0.3)))
    print(f'{sets} sets, each at two thresholds of the score: largest difference {worst:.1e}')


if __name__ == '__main__':
    main(int(sys.argv[1]))
