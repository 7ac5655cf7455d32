"""HOTA, CLEAR and identity metrics: equal to TrackEval, and what takes part."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pycocotools import mask as mask_api
from scipy.optimize import linear_sum_assignment
from track_cases import UNSEEN, encode, random_tracks

from maskprop.evaluation import EvalInputError, evaluate_tracks
from maskprop.evaluation.scoring import score_results
from maskprop.evaluation.track_metrics import KINDS

#: Many tracks with duplicates, where other ones of equal matches give other numbers: with sums of IoUs in another
#: order (141, 213), and where the first of equal scores is taken (105).
TIES = (105, 141, 213)


@pytest.fixture
def oracle():
    pytest.importorskip('trackeval', reason='pip install --no-deps trackeval==1.3.0')
    import trackeval_oracle

    return trackeval_oracle


@pytest.mark.parametrize('first', [0, 8, 16])
def test_equal_to_trackeval(oracle, first):
    for seed in range(first, first + 8):
        assert oracle.compare(*random_tracks(seed), 0.3) <= 1e-9, seed
    assert oracle.compare(*random_tracks(first), 0.0) <= 1e-9


@pytest.mark.parametrize('seed', TIES)
def test_equal_to_trackeval_where_many_matches_are_equal(oracle, seed):
    assert oracle.compare(*random_tracks(seed, num_videos=1, most=14), 0.3) <= 1e-9


def test_random_sets_have_what_they_are_for():
    gts, results = zip(*(random_tracks(seed) for seed in range(24)), strict=True)
    tracks = [record['segmentations'] for records in ([g['annotations'] for g in gts], results)
              for part in records for record in part]  # fmt: skip
    masks = [mask for track in tracks for mask in track]
    seen = [sum(mask is not None and mask_api.area(mask) > 0 for mask in track) for track in tracks]
    assert None in masks and any(mask is not None and mask_api.area(mask) == 0 for mask in masks)
    assert seen.count(1) > 50 and seen.count(0) > 10
    assert sum(tracks.count(track) > 1 for track in tracks[:200]) > 10  # duplicates
    assert any(record['category_id'] == UNSEEN for part in results for record in part)


def test_crowds_ignore_predictions_as_in_mots(oracle):
    """TrackEval's rule for MOTS, literally: a mask that is half in a crowd and matches nothing is taken out."""
    ignored_masks = 0
    for seed in range(30, 42):
        gt, results = random_tracks(seed, num_videos=1, most=8)
        results = [record for record in results if record['score'] >= 0.3]
        rng = np.random.default_rng(seed)
        for record in gt['annotations']:
            record['iscrowd'] = int(rng.random() < 0.5)
        result = evaluate_tracks(gt, results)
        for category in result.num_tracks:
            truths, crowds = (
                [
                    r['segmentations']
                    for r in gt['annotations']
                    if (r['category_id'], r['iscrowd']) == (category, c)
                ]
                for c in (0, 1)
            )
            found = [r['segmentations'] for r in results if r['category_id'] == category]
            length = gt['videos'][0]['length']
            ignored = ignored_by_crowds(truths, crowds, found, length)
            ignored_masks += len(ignored)
            data = oracle.sequence_data(truths, found, length, ignored)
            for kind, metric in oracle.METRICS.items():
                expected = metric.combine_sequences({0: metric.eval_sequence(data)})
                assert oracle.largest_difference(result.per_category(kind)[category], expected) <= 1e-9, seed
    assert ignored_masks > 20


def ignored_by_crowds(truths: list, crowds: list, found: list, length: int) -> set[tuple[int, int]]:
    """(frame, index of the prediction)."""
    ignored = set()
    for frame in range(length):
        dense = [[mask_api.decode(t[frame]).astype(bool) if t[frame] else None for t in part]
                 for part in (truths, crowds, found)]  # fmt: skip
        gts, regions, dets = ([(i, m) for i, m in enumerate(part) if m is not None and m.any()] for part in dense)
        ious = np.array([[(g & d).sum() / (g | d).sum() for _, d in dets] for _, g in gts])
        ious = ious.reshape(len(gts), len(dets))
        ious[ious < 0.5 - np.finfo(float).eps] = -10000
        pairs = zip(*linear_sum_assignment(-ious), strict=True)
        matched = {column for row, column in pairs if ious[row, column] > 0}
        for column, (i, det) in enumerate(dets):
            within = any((det & region).sum() / det.sum() > 0.5 for _, region in regions)
            if within and column not in matched:
                ignored.add((frame, i))
    return ignored


def test_numpy_form_is_equal():
    for seed in range(4):
        gt, results = random_tracks(seed, num_videos=1)
        expected = evaluate_tracks(gt, results, backend='numba').to_dict()
        assert evaluate_tracks(gt, results, backend='numpy').to_dict() == expected


def box(*spans: tuple[int, int] | None) -> list[dict | None]:
    """A track on frames of 1 x 10 pixels, which has the pixels first..last-1 of each frame."""
    tracks = []
    for span in spans:
        mask = np.zeros((1, 10), dtype=bool)
        if span:
            mask[0, span[0] : span[1]] = True
        tracks.append(encode(mask) if span else None)
    return tracks


def small_set(truths: list[list], predictions: list[list], **fields: object) -> tuple[dict, list[dict]]:
    length = len(truths[0])
    gt = {
        'videos': [dict(id=1, height=1, width=10, length=length)],
        'categories': [dict(id=3, name='cat'), dict(id=5, name='dog')],
        'annotations': [
            dict(id=i, video_id=1, category_id=3, iscrowd=0, segmentations=track, areas=[2] * length)
            for i, track in enumerate(truths, 1)
        ],
    }
    results = [dict(video_id=1, category_id=3, score=0.9, segmentations=track, **fields) for track in predictions]
    return gt, results


def test_by_hand():
    """One object in four frames. A prediction has it in two of them, with IoU 1; another in one, with IoU 1/2."""
    gt, results = small_set(
        [box((0, 4), (0, 4), (0, 4), (0, 4))],
        [box((0, 4), (0, 4), None, None), box(None, None, (0, 2), (6, 8))],
    )
    result = evaluate_tracks(gt, results)
    clear = result.overall('clear')
    assert [clear[name] for name in ('TP', 'FP', 'FN', 'IDSW', 'Frag', 'MT', 'PT', 'ML')] == [
        3,
        1,
        1,
        1,
        0,
        0,
        1,
        0,
    ]
    assert clear['MOTSA'] == (3 - 1 - 1) / 4 and clear['sMOTSA'] == (2.5 - 1 - 1) / 4 and clear['MOTSP'] == 2.5 / 3
    identity = result.overall('identity')
    assert [identity[name] for name in ('IDTP', 'IDFP', 'IDFN')] == [2, 2, 2] and identity['IDF1'] == 0.5
    hota = result.overall('hota')
    low, high = 10, 9  # thresholds up to .5, and above
    assert hota['DetA'] == pytest.approx((low * 3 / 5 + high * 2 / 6) / 19)
    associations = (2 * 2 / 4 + 1 * 1 / 5) / 3, 2 / 4  # true positives of each pair: frames together / of either
    assert hota['AssA'] == pytest.approx((low * associations[0] + high * associations[1]) / 19)
    assert hota['LocA'] == pytest.approx((low * 2.5 / 3 + high * 1) / 19)


def test_a_frame_with_an_empty_mask_is_one_without():
    for seed in range(6):
        gt, results = random_tracks(seed)
        expected = evaluate_tracks(gt, results)
        without = [
            {**r, 'segmentations': [m if m and mask_api.area(m) else None for m in r['segmentations']]}
            for r in results
        ]
        assert without != results
        found = evaluate_tracks(gt, without).to_dict()
        assert found == expected.to_dict()


def test_predictions_may_overlap_and_count_from_min_score_on():
    gt, results = small_set([box((0, 4), (0, 4))], [box((0, 4), (0, 4)), box((0, 4), (0, 3))])
    assert evaluate_tracks(gt, results).overall('clear')['FP'] == 2  # no pixel is taken from the second
    results[1]['score'] = 0.3
    assert evaluate_tracks(gt, results).overall('clear')['FP'] == 2
    results[1]['score'] = 0.2999
    found = evaluate_tracks(gt, results)
    assert found.overall('clear')['FP'] == 0 and found.num_predictions == 1
    assert evaluate_tracks(gt, results, min_score=0.1).overall('clear')['FP'] == 2
    with pytest.raises(ValueError, match='min_score is nan'):
        evaluate_tracks(gt, results, min_score=float('nan'))


def test_class_agnostic_takes_the_best_record_of_a_track():
    gt, results = small_set([box((0, 4), (0, 4))], [box((0, 4), (0, 4))] * 2, track_id=8)
    results[0] |= dict(category_id=5)
    results[1] |= dict(score=0.5)
    by_class = evaluate_tracks(gt, results).overall('clear')
    assert (by_class['TP'], by_class['FP']) == (2, 2)  # false as a dog
    found = evaluate_tracks(gt, results, class_agnostic=True)
    assert (found.overall('clear')['TP'], found.overall('clear')['FP']) == (2, 0)
    assert found.per_category('clear') == {} and found.table().count('\n') == 10  # one row each
    results[1]['track_id'] = 9
    assert evaluate_tracks(gt, results, class_agnostic=True).overall('clear')['FP'] == 2


def test_only_classes_with_ground_truth_are_listed_with_their_names():
    gt, results = small_set([box((0, 4), (0, 4))], [box((0, 4), (0, 4))] * 2)
    gt['categories'] = [dict(id=i, name=f'name {i}') for i in range(1, 50_001)]
    results[1]['category_id'] = 7
    scores = score_results(load(gt), results, metrics=['video_ap', *KINDS])
    assert scores.table().count('\n') < 30 and 'name 3' in scores.table() and 'name 7' not in scores.table()
    written = json.loads(json.dumps(scores.to_dict()))
    assert written['per_category'] == pytest.approx({'3': 1}) and written['category_names'] == {'3': 'name 3'}
    for kind in KINDS:
        assert (
            list(written[kind]['per_category']) == ['3'] and written[kind]['per_category']['3']['name'] == 'name 3'
        )
    assert written['clear']['FP'] == 2 and written['clear']['per_category']['3']['FP'] == 0  # those of class 7


def load(gt: dict):
    from maskprop.evaluation import GroundTruth

    return GroundTruth.from_dict(gt)


def test_nothing_found_and_nothing_to_find():
    gt, _ = small_set([box((0, 4), None)], [])
    found = evaluate_tracks(gt, [])
    assert found.overall('hota')['HOTA'] == 0 and found.overall('clear')['FN'] == 1
    assert found.overall('clear')['ML'] == 1 and found.overall('identity')['IDFN'] == 1
    gt, results = small_set([box(None, None)], [box((0, 4), None)])
    empty = evaluate_tracks(gt, results)
    assert empty.overall('clear')['FP'] == 1 and empty.overall('clear')['MOTSA'] == -1
    assert empty.per_category('hota') == {} and empty.mean('hota') == {} and '-' in empty.table()
    with pytest.raises(EvalInputError, match='Results must be a list'):
        evaluate_tracks(gt, {})
