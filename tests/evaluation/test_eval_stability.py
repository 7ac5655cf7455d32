"""Temporal stability: a case computed by hand for each number, and random cases against the literal form."""

from __future__ import annotations

import dataclasses
import json
import math

import literal_stability
import numpy as np
import pytest
from eval_cases import area_of, encode, random_case
from pycocotools import mask as mask_api

from maskprop.evaluation import EvalInputError, GroundTruth, evaluate_stability
from maskprop.evaluation.column_runs import ColumnRuns
from maskprop.evaluation.motion import centroids, moved_ious
from maskprop.evaluation.rle import decode_masks
from maskprop.evaluation.stability import count_switches, match_tracks

BACKENDS = pytest.mark.parametrize('backend', ['numba', 'numpy'])


def draw(*rows: str) -> np.ndarray:
    """A mask from text: '#' is foreground."""
    return np.array([[pixel == '#' for pixel in row] for row in rows])


def bar(start: int, stop: int, length: int = 12) -> np.ndarray:
    """A mask of one row: pixels start..stop-1 of ``length``."""
    return draw(''.join('#' if start <= x < stop else '.' for x in range(length)))


def track(*masks: np.ndarray | None) -> list[dict | None]:
    return [None if mask is None else encode(mask) for mask in masks]


def truth_of(*tracks: list, categories: list[int] | None = None, crowds: list[int] | None = None) -> dict:
    """A set of one video with these ground-truth tracks."""
    height, width = next(mask['size'] for masks in tracks for mask in masks if mask)
    count = len(tracks)
    return {
        'videos': [{'id': 1, 'height': height, 'width': width, 'length': len(tracks[0])}],
        'categories': [{'id': 1, 'name': 'one'}, {'id': 2, 'name': 'two'}],
        'annotations': [
            {
                'id': i + 1,
                'video_id': 1,
                'category_id': (categories or [1] * count)[i],
                'iscrowd': (crowds or [0] * count)[i],
                'segmentations': masks,
                'areas': [area_of(mask) for mask in masks],
            }
            for i, masks in enumerate(tracks)
        ],
    }


def result(masks: list, score: float = 0.9, category: int = 1, **extra) -> dict:
    return {'video_id': 1, 'category_id': category, 'score': score, 'segmentations': masks, **extra}


@pytest.mark.slow
@BACKENDS
def test_missed_share_by_hand(backend):
    ten = bar(0, 10)
    gt = truth_of(track(ten, ten, ten, None, ten, ten, ten))
    # first appearance: frame 1, last: frame 5; the ground truth is visible in 1, 2, 4 and 5 of these.
    # frame 1: IoU 1; frame 2: no mask, missed; frame 3: not visible, not counted;
    # frame 4: bar(9, 11) shares 1 of 11 pixels, IoU .0909 < .1, missed; frame 5: bar(9, 10), IoU 1/10, not missed.
    # Frames 0 and 6 are outside of the span.
    found = track(None, ten, None, ten, bar(9, 11), bar(9, 10), None)
    stability = evaluate_stability(gt, [result(found)], backend=backend)
    assert stability.total('spanned') == 4 and stability.total('missed') == 2
    assert stability.missed_share == 0.5
    assert stability.track_recall == 1
    assert stability.frame_recall == 1 / 6  # frame 1 alone, of six visible


@BACKENDS
def test_smoothness_of_a_moving_object_by_hand(backend):
    gt = truth_of(track(bar(0, 4), bar(3, 7), bar(5, 9)))  # centroids 1.5, 4.5, 6.5: moves by 3, then 2
    # The prediction moves by 3, as the truth does: IoU 1. Then by 1 less than the truth: bar(3, 7) moved by 2 is
    # bar(5, 9), the prediction is bar(4, 8), which shares 3 of 5 pixels. The truth's own value is 1 in both.
    stability = evaluate_stability(gt, [result(track(bar(0, 4), bar(3, 7), bar(4, 8)))], backend=backend)
    assert stability.total('pairs') == 2
    assert stability.smoothness == pytest.approx(((1 - 1) + (3 / 5 - 1)) / 2, abs=1e-15)
    # What never moves is bar(3, 7) and bar(2, 6) moved, against bar(0, 4): 1 of 7, then 2 of 6 pixels.
    stability = evaluate_stability(gt, [result(track(*[bar(0, 4)] * 3))], backend=backend)
    assert stability.smoothness == pytest.approx((1 / 7 + 2 / 6) / 2 - 1, abs=1e-15)


@BACKENDS
def test_smoothness_of_a_growing_object_by_hand(backend):
    """A 2 x 2 square grows to 4 x 4: scale sqrt(16 / 4) = 2 about its centroid (2.5, 2.5), which stays."""
    small = draw('......', '......', '..##..', '..##..', '......', '......')
    large = draw('......', '.####.', '.####.', '.####.', '.####.', '......')
    gt = truth_of(track(small, large))
    # The prediction is a column of 2 at x = 2. Pixel (x', y') of the moved mask looks at 2.5 + (x' - 2.5) / 2:
    # x' = 1, 2, 3, 4 at 1.75, 2.25, 2.75, 3.25, that is 2, 2, 3, 3. So x' = 1, 2 and, likewise, y' = 1..4.
    # Its later self, 3 columns of 4, shares 8 of 12 pixels with that; the truth's own value is 16 / 16.
    column = draw('......', '......', '..#...', '..#...', '......', '......')
    later = draw('......', '.###..', '.###..', '.###..', '.###..', '......')
    stability = evaluate_stability(gt, [result(track(column, later))], backend=backend)
    assert stability.smoothness == pytest.approx(8 / 12 - 1, abs=1e-15)


@BACKENDS
def test_smoothness_is_relative_to_the_truth_and_may_be_positive(backend):
    # The truth goes from 4 x 1 to 1 x 4: the same area, its centroid from (1.5, 1) to (2, 1.5), so it moves by
    # (.5, .5); a pixel looks at (x' - .5, y' - .5), halves go up, at (x', y'): nothing moves. Row 1 of columns
    # 0..3 shares with column 2 of rows 0..3 one of 7 pixels. A prediction that stays as it is has IoU 1.
    wide, tall = draw('....', '####', '....', '....'), draw('..#.', '..#.', '..#.', '..#.')
    stability = evaluate_stability(
        truth_of(track(wide, tall)), [result(track(wide, wide))], min_score=0, backend=backend
    )
    assert stability.smoothness == pytest.approx(1 - 1 / 7, abs=1e-15)
    assert stability.to_dict()['smoothness_ground_truth'] == pytest.approx(1 / 7, abs=1e-15)


@BACKENDS
def test_smoothness_counts_pairs_with_all_four_masks(backend):
    a, empty = bar(0, 4), bar(0, 0)
    gt = truth_of(track(a, a, None, a, a, empty, a, a))
    found = [result(track(a, a, a, None, a, a, a, a))]
    # pairs (0,1) and (6,7); the others lack a mask, of the truth (frames 2 and 5) or the prediction (3).
    assert evaluate_stability(gt, found, backend=backend).total('pairs') == 2


@BACKENDS
def test_id_switches_by_hand(backend):
    ten = bar(0, 10)
    gt = truth_of(track(*[ten] * 7, None))
    results = [
        # frame:        0           1           2     3     4          5           6          7
        result(track(bar(0, 9), bar(0, 8), None, None, None, bar(0, 10), bar(0, 4), ten), 0.9, track_id=7),
        result(track(bar(0, 5), bar(0, 9), None, None, ten, bar(0, 9), bar(0, 4), ten), 0.8, track_id=3),
        result(track(None, None, ten, None, None, None, ten, ten), 0.7, category=2, track_id=5),
    ]
    # Best ids of category 1: 7, 3, -, -, 3, 7, - (IoU .4), -: two changes. Taken together, frames 2 and 6 have 5:
    # 7, 3, 5, -, 3, 7, 5, -: five.
    stability = evaluate_stability(gt, results, backend=backend)
    assert stability.id_switches == 2 and stability.id_switches_per_track == 2
    assert stability.frame_recall == 4 / 7
    together = evaluate_stability(gt, results, class_agnostic=True, backend=backend)
    assert together.id_switches == 5 and together.frame_recall == 6 / 7


def test_identity_is_the_track_id_else_the_record():
    ten = bar(0, 10)
    gt = truth_of(track(ten, ten), track(ten, ten), categories=[1, 2])
    halves = [result(track(ten, None), 0.9), result(track(None, ten), 0.8)]
    assert evaluate_stability(gt, halves).id_switches == 1
    assert evaluate_stability(gt, halves).id_switches_per_track == 0.5
    same = [dict(record, track_id='a') for record in halves]
    assert evaluate_stability(gt, same).id_switches == 0
    assert evaluate_stability(gt, [dict(halves[0], track_id=1), halves[1]]).id_switches == 1
    # One id that was seen as two categories is found as each of them; class-agnostic it is one object.
    twice = [result(track(ten, ten), 0.9, 1, track_id=4), result(track(ten, ten), 0.8, 2, track_id=4)]
    assert evaluate_stability(gt, twice).track_recall == 1
    assert evaluate_stability(gt, twice, class_agnostic=True).track_recall == 0.5
    with pytest.raises(EvalInputError, match=r'results\[0\] \(video 1\): "track_id": found \[1\].*a number or'):
        evaluate_stability(gt, [dict(halves[0], track_id=[1])])


def test_ties():
    """Equal IoUs: the match goes to the higher score, the frame to the id before, else to the higher score."""
    low, high = bar(0, 5), bar(5, 10)
    gt = truth_of(track(bar(0, 10), bar(0, 10)))
    # Both have video IoU 10 / 20, one in two frames, the other in one.
    results = [result(track(low, low), 0.8), result(track(bar(0, 10), None), 0.9)]
    (row,) = evaluate_stability(gt, results).tracks
    assert row.spanned == 1
    results = [result(track(low, low), 0.9), result(track(bar(0, 10), None), 0.8)]
    (row,) = evaluate_stability(gt, results).tracks
    assert row.spanned == 2
    # Frame 0: id 2 alone. Frame 1: ids 1 and 2 are equal, 2 stays although 1 has the higher score.
    results = [result(track(None, low), 0.9, track_id=1), result(track(high, high), 0.8, track_id=2)]
    assert evaluate_stability(gt, results).id_switches == 0
    ious = np.array([[0.5, 0.5, 0.5], [0.4, 0.5, 0.5], [0.6, 0.6, 0.5]])
    assert count_switches(ious, np.array([5, 6, 7])) == (1, 3)  # 5, 6 (before 7), 6


def test_matching_is_one_to_one_and_best_in_sum():
    # Prediction 0 is the best of both tracks, but .7 + .5 is more than .8 + 0: track 0 gets 1, track 1 gets 0.
    assert match_tracks(np.array([[0.8, 0.7], [0.5, 0.0]])) == {0: 1, 1: 0}
    assert match_tracks(np.array([[0.8, 0.7]])) == {0: 0}
    assert match_tracks(np.zeros((2, 2))) == {}
    assert match_tracks(np.zeros((0, 3))) == match_tracks(np.zeros((3, 0))) == {}


def test_low_scores_other_categories_and_crowds_take_no_part():
    a, b = bar(0, 5), bar(6, 12)
    gt = truth_of(track(a, a), track(b, b), crowds=[0, 1])
    assert len(evaluate_stability(gt, []).tracks) == 1
    for other in (result(track(a, a), 0.29), result(track(a, a), category=2), result(track(b, b))):
        stability = evaluate_stability(gt, [other])
        assert stability.track_recall == stability.frame_recall == 0, other
        assert stability.missed_share is None and stability.smoothness is None
    assert evaluate_stability(gt, [result(track(a, a), 0.3)]).track_recall == 1
    assert evaluate_stability(gt, [result(track(a, a), 0.1)], min_score=0).track_recall == 1
    assert evaluate_stability(gt, [result(track(a, a), category=2)], class_agnostic=True).track_recall == 1
    # As many as video AP counts: behind 100 of higher score, one takes no part.
    hundred = [result(track(b, b))] * 100
    assert evaluate_stability(gt, [*hundred, result(track(a, a), 0.5)]).num_predictions == 100
    assert evaluate_stability(gt, [*hundred, result(track(a, a), 0.5)]).track_recall == 0


def video_without_tracks() -> dict:
    gt = truth_of(track(bar(0, 5)))
    return {**gt, 'videos': [{'id': 2, 'height': 3, 'width': 4, 'length': 5}, *gt['videos']]}


NOTHING_TO_COUNT = {
    'nothing found': (truth_of(track(bar(0, 5))), []),
    'one-frame video': (truth_of(track(bar(0, 5))), [result(track(bar(0, 5)))]),
    'crowds only': (truth_of(track(bar(0, 5)), crowds=[1]), [result(track(bar(0, 5)))]),
    'never visible': (truth_of(track(bar(0, 0), None)), [result(track(bar(0, 5), bar(0, 5)))]),
    'prediction of empty masks': (truth_of(track(bar(0, 5))), [result(track(bar(0, 0)))]),
    'video without ground truth': (
        video_without_tracks(),
        [{**result([None] * 5), 'video_id': 2}, result(track(bar(0, 5)))],
    ),
}


@BACKENDS
@pytest.mark.parametrize('class_agnostic', [False, True])
@pytest.mark.parametrize('case', NOTHING_TO_COUNT)
def test_nothing_to_count_is_none_and_never_nan(case, class_agnostic, backend):
    gt, results = NOTHING_TO_COUNT[case]
    stability = evaluate_stability(gt, results, class_agnostic=class_agnostic, backend=backend)
    numbers = stability.to_dict()
    assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers
    assert numbers['smoothness'] is None and numbers['id_switches'] == 0
    found = case in ('one-frame video', 'video without ground truth')
    assert numbers['missed_share'] == (0 if found else None)
    to_find = case not in ('crowds only', 'never visible')
    assert numbers['track_recall'] == numbers['frame_recall'] == (float(found) if to_find else None)
    assert numbers['id_switches_per_track'] == (0 if to_find else None)
    assert ('-' in stability.table().splitlines()[2].split()) and 'nan' not in stability.table()


def with_identities(results: list[dict], seed: int) -> list[dict]:
    """Some results share a ``track_id``, some have none; scores mostly pass, with ties."""
    rng = np.random.default_rng(seed)
    changed = []
    for record in results:
        track_id = {'track_id': int(rng.integers(4))} if rng.random() < 0.7 else {}
        changed.append({**record, **track_id, 'score': float(rng.choice([0.2, 0.3, 0.5, 0.9, 0.9]))})
    return changed


@BACKENDS
@pytest.mark.parametrize('class_agnostic', [False, True])
@pytest.mark.parametrize('seed', range(25))
def test_equals_the_literal_form(seed, class_agnostic, backend):
    gt, results = random_case(seed)
    # Of ground truths with the same masks, either may get the match.
    different = {(a['video_id'], json.dumps(a['segmentations'])): a for a in gt['annotations']}
    gt['annotations'] = list(different.values())
    # Every assignment is tried: few predictions of a video.
    counts: dict[int, int] = {}
    few = []
    for record in with_identities(results, seed):
        counts[record['video_id']] = counts.get(record['video_id'], 0) + 1
        few += [record] if counts[record['video_id']] <= 4 else []
    stability = evaluate_stability(gt, few, class_agnostic=class_agnostic, backend=backend)
    expected = literal_stability.measure_set(gt, few, class_agnostic, min_score=0.3)

    def key(row: dict) -> tuple:
        return tuple(row[name] for name in sorted(row) if not name.endswith('moved_iou')), row['moved_iou']

    found = sorted(map(dataclasses.asdict, stability.tracks), key=key)
    assert found == [pytest.approx(row, rel=0, abs=1e-12) for row in sorted(expected, key=key)]


@BACKENDS
def test_identical_results_are_exactly_as_stable_as_the_truth(backend):
    gt, _ = random_case(3, num_videos=6, large=True)
    gt['annotations'] = [{**a, 'iscrowd': 0} for a in gt['annotations']]
    results = [{**a, 'score': 1.0, 'track_id': a['id']} for a in gt['annotations']]
    stability = evaluate_stability(GroundTruth.from_dict(gt, backend=backend), results)
    assert stability.smoothness == 0 and stability.missed_share == 0 and stability.total('pairs') > 5
    assert stability.track_recall == stability.frame_recall == 1


@BACKENDS
@pytest.mark.parametrize('seed', range(20))
def test_moved_masks_equal_the_literal_ones(seed, backend):
    """Any masks and motions, out of the frame too; scales from a fraction to several."""
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(3, 20, 2))
    masks = rng.random((4, height, width)) < rng.choice([0.1, 0.5, 0.9])
    masks[:, height // 2, width // 2] = True
    other = rng.random(masks.shape) < 0.5
    rows = [[encode(mask)['counts'] for mask in masks], [encode(mask)['counts'] for mask in other]]
    decoded = decode_masks(rows, 4, (height, width), np.ones(2, bool), backend == 'numba')
    runs = ColumnRuns.of_track(decoded, 0)
    centres = np.stack([np.argwhere(mask)[:, ::-1].mean(axis=0) for mask in masks])
    np.testing.assert_allclose(runs.centroids(), centres, rtol=0, atol=1e-12)
    origin, target = centres, centres + rng.integers(-8, 9, centres.shape) / 2
    scale = rng.choice([1, 0.5, 2, 0.3, 1.7, 6], 4)
    moved = runs.moved(origin, target, scale)
    ious = moved.ious(ColumnRuns.of_track(decoded, 1))
    for frame, mask in enumerate(masks):
        dense = np.zeros_like(mask)
        for y, x in np.ndindex(height, width):
            source = (origin[frame] + (np.array([x, y]) - target[frame]) / scale[frame]).tolist()
            x0, y0 = (math.floor(value + 0.5 + 1e-9) for value in source)
            dense[y, x] = 0 <= x0 < width and 0 <= y0 < height and mask[y0, x0]
        drawn = np.zeros_like(mask)
        for run in np.flatnonzero(moved.frame == frame):
            assert not drawn[moved.top[run] : moved.bottom[run], moved.column[run]].any()
            drawn[moved.top[run] : moved.bottom[run], moved.column[run]] = True
        np.testing.assert_array_equal(drawn, dense)
        assert ious[frame] == (dense & other[frame]).sum() / max((dense | other[frame]).sum(), 1)


@pytest.mark.parametrize('seed', range(20))
def test_compiled_motion_equals_the_other_form(seed):
    """To the last bit; with frames passed over, empty runs of an RLE, and masks moved out of the frame."""
    rng = np.random.default_rng(seed)
    height, width, frames = (int(n) for n in rng.integers(3, 20, 3))
    size = height, width
    rows = []
    for _ in range(3):
        masks = rng.random((frames, height, width)) < rng.choice([0.02, 0.5, 0.95], frames)[:, None, None]
        masks[:, height // 2, width // 2] = True
        rows.append([encode(mask)['counts'] for mask in masks])
    pixels = height * width
    touching = {'size': list(size), 'counts': [2, 3, 0, pixels - 7, 2]}
    rows[1][-1] = mask_api.frPyObjects(touching, *size)['counts']
    rows[2][frames // 2] = None
    pairs = rng.permutation(np.array([f for f in range(frames - 1) if frames // 2 not in (f, f + 1)], np.int64))
    origin, target = rng.random((2, pairs.size, 2)) * [width, height] * 2 - 5
    scale = rng.choice([1, 0.5, 2, 0.3, 1.7, 6], pairs.size)
    ones, others = (decode_masks(rows, frames, size, np.ones(3, bool), compiled) for compiled in (True, False))
    for row in range(3):
        np.testing.assert_array_equal(centroids(ones, row), centroids(others, row))
        found, expected = (moved_ious(masks, row, pairs, origin, target, scale) for masks in (ones, others))
        np.testing.assert_array_equal(found, expected)


@BACKENDS
def test_intervals_of_a_track(backend):
    """Column-major pixels [start, end) by frame; runs of no length leave nothing."""
    frames = [draw('.#', '##'), draw('..', '..'), None, draw('##', '##')]
    rows = [[None if mask is None else encode(mask)['counts'] for mask in frames]]
    rows[0][1] = mask_api.frPyObjects({'size': [2, 2], 'counts': [1, 0, 1, 1, 1]}, 2, 2)['counts']
    masks = decode_masks([[None] * 4, *rows], 4, (2, 2), np.ones(2, bool), backend == 'numba')
    frame, start, end = masks.intervals(1)
    assert frame.tolist() == [0, 1, 3] and start.tolist() == [1, 2, 0] and end.tolist() == [4, 3, 4]
    assert all(part.size == 0 for part in masks.intervals(0))


def test_table():
    ten = bar(0, 10)
    gt = truth_of(track(ten, ten, ten), track(ten, ten, None))
    lines = evaluate_stability(gt, [result(track(ten, None, bar(0, 5)))]).table().splitlines()
    assert lines[0].startswith('Temporal stability') and '1 predictions scored 0.3 or more, 2 ground' in lines[0]
    assert lines[1].split() == 'track recall frame recall missed frames smoothness id switches per track'.split()
    # video IoU 15 of 30 pixels and 10 of 25: matched to the first, which is spanned for 3 frames, missed in one.
    # Found: frames 0 and 2 of the first, 0 of the second, of 5.
    assert lines[2].split() == ['50.0', '60.0', '33.3', '-', '0', '0.000']
