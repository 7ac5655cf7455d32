"""Counts by class and video, AP of single videos, the worst videos, confusion of classes."""

from __future__ import annotations

import numpy as np

from maskprop.analysis.counts import Tally, confuse_classes, tally_classes, tally_video, video_aps, worst_videos
from maskprop.analysis.errors import find_errors
from maskprop.analysis.video_matches import match_videos
from maskprop.evaluation import GroundTruth, evaluate_video_ap
from maskprop.evaluation.detections import read_detections
from tests.analysis.video_cases import make_truth, result
from tests.evaluation.eval_cases import random_case

LEFT, RIGHT, FAR = (5, 5, 20, 20), (45, 30, 20, 20), (60, 2, 12, 12)


def small_case() -> tuple[dict, list[dict]]:
    gt = make_truth([[(1, [LEFT] * 2), (2, [RIGHT] * 2)], [(2, [LEFT] * 2)], []], classes=4)
    results = [
        result(1, 1, 0.9, [LEFT] * 2),
        result(1, 3, 0.8, [RIGHT] * 2),  # class 2 taken for 3
        {**result(1, 2, 0.2, [RIGHT] * 2), 'track_id': 7},  # right, but hardly sure
        result(2, 2, 0.7, [FAR] * 2),
        result(3, 1, 0.6, [FAR]),
    ]
    return gt, results


def matched(gt, results):
    truth = GroundTruth.from_dict(gt)
    detections = read_detections(truth, results, keep_all=True)
    return truth, detections, match_videos(truth, detections)


def test_tracks_by_class_and_video():
    _, _, matches = matched(*small_case())
    assert tally_classes(matches, 0.3) == {1: Tally(1, 1, 1), 2: Tally(2, 0, 1), 3: Tally(0, 0, 1)}
    assert tally_classes(matches, 0.1)[2] == Tally(2, 1, 1)
    assert [tally_video(video, 0.3) for video in matches] == [Tally(2, 1, 1), Tally(1, 0, 1), Tally(0, 0, 1)]
    assert Tally(5, 3, 9).missed == 2


def test_ap_of_one_video_is_that_of_a_set_of_it():
    compared = 0
    for seed in range(6):
        gt, results = random_case(seed, num_videos=4)
        if not (gt['annotations'] and results):
            continue
        truth = GroundTruth.from_dict(gt)
        whole = evaluate_video_ap(truth, results)
        for index, video in enumerate(truth.videos):
            own = [r for r in results if r['video_id'] == video.id]
            annotations = [a for a in gt['annotations'] if a['video_id'] == video.id]
            if not annotations:
                assert video_aps(whole, index) == (-1, -1)
                continue
            alone = evaluate_video_ap({**gt, 'annotations': annotations}, own, allow_empty=True)
            assert video_aps(whole, index) == (alone['AP'], alone['AP50'])
            compared += 0 < alone['AP'] < 1
    assert compared > 3


def test_worst_videos_come_first_and_have_ground_truth():
    truth, detections, matches = matched(*small_case())
    errors = find_errors(truth, detections, matches)
    assert worst_videos({0: (0.5, 0.5), 1: (0.0, 0.0), 2: (-1, -1)}, errors, 9) == [1, 0]
    assert worst_videos({0: (0.2, 0.5), 1: (0.2, 0.5)}, errors, 1) == [1]  # 2 errors, video 0 has 1


def test_confusion_of_classes():
    truth, detections, matches = matched(*small_case())
    names, table = confuse_classes(truth, detections, matches, 0.3)
    assert names == ['class 1', 'class 2', 'class 3']
    assert table.tolist() == [
        [1, 0, 0, 0],
        [0, 0, 1, 1],  # one taken for class 3, one missed
        [0, 0, 0, 0],
        [1, 1, 0, 0],  # results that are nothing
    ]
    assert table[:-1].sum() == sum(tally.truths for tally in tally_classes(matches, 0.3).values())


def test_an_object_with_a_record_in_two_classes_counts_once():
    gt = make_truth([[(1, [LEFT] * 2)]])
    results = [{**result(1, c, score, [LEFT] * 2), 'track_id': 4} for c, score in ((2, 0.9), (1, 0.8))]
    names, table = confuse_classes(*matched(gt, results), 0.3)
    assert names == ['class 1', 'class 2'] and np.argwhere(table).tolist() == [[0, 1]]


def test_crowds_and_unsure_results_are_in_no_table():
    gt = make_truth([[(1, [LEFT] * 2), (1, [RIGHT] * 2)]])
    gt['annotations'][1]['iscrowd'] = 1
    found = matched(gt, [result(1, 2, 0.9, [RIGHT] * 2), result(1, 1, 0.1, [FAR] * 2)])
    assert tally_classes(found[2], 0.3) == {1: Tally(1, 0, 0), 2: Tally(0, 0, 1)}
    names, table = confuse_classes(*found, 0.3)
    assert names == ['class 1'] and table.tolist() == [[0, 1], [0, 0]]  # missed; nothing of the crowd
