"""The bootstrap over videos: resamples equal an evaluation of really repeated videos."""

from __future__ import annotations

import numpy as np
import pytest
from eval_cases import better_and_worse, random_case, repeated

from maskprop.evaluation import GroundTruth, evaluate_video_ap, paired_bootstrap
from maskprop.evaluation.bootstrap import resampled_ap


@pytest.mark.slow
@pytest.mark.parametrize('backend', ['numba', 'numpy'])
def test_resamples_equal_repeated_videos_bitwise(backend):
    rng = np.random.default_rng(0)
    checked = 0
    for seed in range(8):
        gt, results = random_case(seed, num_videos=5)
        result = evaluate_video_ap(gt, results, backend=backend)
        for _ in range(4):
            copies = np.bincount(rng.integers(5, size=5), minlength=5)
            many, records = repeated(gt, results, copies)
            if not (many['annotations'] and records):
                continue
            expected = evaluate_video_ap(many, records, backend=backend)
            for metric in ('AP', 'AP50', 'AP75'):
                assert resampled_ap(result, copies, metric) == expected[metric]
            checked += expected['AP'] != result['AP']
    assert checked > 15


def test_every_video_once_is_the_set_itself():
    for seed in range(5):
        result = evaluate_video_ap(*random_case(seed, num_videos=4))
        assert resampled_ap(result, np.ones(4, dtype=np.int64)) == result['AP']


def test_clear_winner():
    gt, exact, results = better_and_worse()
    outcome = paired_bootstrap(gt, exact, results, n=200)
    assert outcome.share_positive == 1 and outcome.observed > 0.3
    low, high = outcome.interval()
    assert 0 < low < outcome.observed < high
    assert outcome.differences.shape == (200,)


def test_equal_results_never_differ_and_order_flips_the_sign():
    gt, exact, results = better_and_worse()
    assert not paired_bootstrap(gt, results, results, n=20).differences.any()
    forward, backward = paired_bootstrap(gt, exact, results, n=20), paired_bootstrap(gt, results, exact, n=20)
    assert np.array_equal(forward.differences, -backward.differences)


def test_seed_decides_and_evaluations_can_be_given():
    gt, exact, results = better_and_worse()
    truth = GroundTruth.from_dict(gt)
    first = paired_bootstrap(truth, exact, results, n=30, seed=4)
    again = paired_bootstrap(
        truth, evaluate_video_ap(truth, exact), evaluate_video_ap(truth, results), n=30, seed=4
    )
    assert np.array_equal(first.values_a, again.values_a) and np.array_equal(first.values_b, again.values_b)
    assert not np.array_equal(first.values_b, paired_bootstrap(truth, exact, results, n=30, seed=5).values_b)


def test_bad_arguments():
    gt, exact, results = better_and_worse()
    with pytest.raises(ValueError, match="found 'APs'"):
        paired_bootstrap(gt, exact, results, metric='APs')
    with pytest.raises(ValueError, match='n must be 1 or more'):
        paired_bootstrap(gt, exact, results, n=0)
