"""Differences of two results files: each resample is a set of really repeated videos."""

from __future__ import annotations

import numpy as np
import pytest

from maskprop.analysis.compare import OF_CLASSES, STABILITY, _Resampled, compare_scores
from maskprop.evaluation import METRIC_NAMES, GroundTruth, paired_bootstrap, score_results
from maskprop.evaluation.scoring import METRICS
from tests.evaluation.eval_cases import better_and_worse, random_case, repeated

EVERYTHING = dict(metrics=METRICS, keep_videos=True, min_score=0.3)


def test_numbers_of_a_resample_are_those_of_repeated_videos():
    rng = np.random.default_rng(1)
    compared = 0
    for seed in range(4):
        gt, results = random_case(seed, num_videos=5)
        truth = GroundTruth.from_dict(gt)
        resampled = _Resampled(truth, score_results(truth, results, **EVERYTHING))
        for _ in range(3):
            copies = np.bincount(rng.integers(5, size=5), minlength=5)
            many, records = repeated(gt, results, copies)
            if not (many['annotations'] and records):
                continue
            scores = score_results(GroundTruth.from_dict(many), records, metrics=METRICS, min_score=0.3)
            expected = scores.to_dict()
            found = resampled.numbers(copies)
            wanted = {name: expected[name] for name in METRIC_NAMES}
            wanted |= {name: expected['stability'][name] for name in STABILITY}
            wanted |= {f'AP of c{number}': ap for number, ap in expected['per_category'].items()}
            wanted |= scores.tracks.metrics()
            for name, kind in dict(HOTA='hota', MOTSA='clear', IDF1='identity').items():
                wanted |= {
                    f'{name} of {row["name"]}': row[name] for row in expected[kind]['per_category'].values()
                }
            found_tracks = resampled.resampled.choose(copies)
            assert found_tracks.num_tracks == {k: n for k, n in scores.tracks.num_tracks.items() if n}
            assert found_tracks.num_predictions == scores.tracks.num_predictions
            for name, value in wanted.items():
                if name.partition(' of ')[0] in OF_CLASSES.values() and name not in found:
                    continue  # a class of crowds only, which AP does not have
                if value is None or (value == -1 and name not in STABILITY):
                    assert np.isnan(found[name]), name
                else:
                    assert found[name] == pytest.approx(value, abs=1e-12), name
            compared += 1
    assert compared > 8


def test_ap_has_the_interval_of_the_bootstrap():
    gt, exact, results = better_and_worse(num_videos=6)
    truth = GroundTruth.from_dict(gt)
    a, b = (score_results(truth, records, **EVERYTHING) for records in (results, exact))
    found = compare_scores(truth, a, b, 40, 3)
    expected = paired_bootstrap(truth, b.video_ap, a.video_ap, n=40, seed=3)
    assert found['AP'].b - found['AP'].a == pytest.approx(expected.observed)
    assert (found['AP'].low, found['AP'].high) == pytest.approx(expected.interval())
    assert found['AP'].share_better == expected.share_positive and found['AP'].clear
    switches = found['id_switches_per_track']
    assert switches.share_better == pytest.approx(np.mean([switches.b < switches.a]), abs=1)
    same = compare_scores(truth, a, a, 10, 0)
    assert all((d.low, d.high) == (0, 0) and not d.clear for d in same.values())


def test_fewer_missed_frames_are_better(monkeypatch):
    gt, _, results = better_and_worse(num_videos=4)
    truth = GroundTruth.from_dict(gt)
    scores = score_results(truth, results, **EVERYTHING)
    values = iter([0.4, 0.1] * 3)  # the set itself, then each resample: A, B
    numbers = lambda self, copies: dict(missed_share=(v := next(values)), AP=v)  # noqa: E731
    monkeypatch.setattr(_Resampled, 'numbers', numbers)
    found = compare_scores(truth, scores, scores, 2, 0)
    assert found['missed_share'].share_better == 1 and found['AP'].share_better == 0


def test_one_video_has_no_intervals():
    gt, results = random_case(3, num_videos=1)
    assert gt['annotations'] and results
    truth = GroundTruth.from_dict(gt)
    scores = score_results(truth, results, **EVERYTHING)
    found = compare_scores(truth, scores, scores, 10, 0)
    assert found and all(np.isnan(d.low) and not d.clear for d in found.values())
