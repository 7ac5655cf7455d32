"""tools/benchmarks/video_ap.py: the loops give the reference's numbers, and both sides give the same."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as mask_api

from maskprop.evaluation import evaluate_video_ap
from tests.evaluation.eval_cases import random_case

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get('MASKPROP_SHARED', ROOT.parent / 'shared'))
CASES = sorted((SHARED / 'ytvis_eval_goldens').glob('case_*'))

sys.path.insert(0, str(ROOT / 'tools/benchmarks'))
import common  # noqa: E402
import reference_video_ap as reference  # noqa: E402
import video_ap  # noqa: E402
from video_sets import SetShape, make_set, track_masks  # noqa: E402

pytestmark = pytest.mark.slow

TINY = SetShape(videos=4, frames=(3, 6), truths=(1, 3), categories=3, predictions=30, same=0.8)
SIZE = (72, 128)


@pytest.mark.skipif(not CASES, reason='needs ../shared/ytvis_eval_goldens (or MASKPROP_SHARED)')
@pytest.mark.parametrize('case', CASES, ids=lambda case: case.name)
def test_the_loops_give_the_numbers_of_the_reference(case):
    expected = json.loads((case / 'expected.json').read_text())
    metrics, per_category = reference.evaluate(reference.load_files(case / 'gt.json', case / 'results.json'))
    assert metrics == expected['stats']
    assert {str(key): value for key, value in per_category.items()} == expected['per_category_ap']


@pytest.mark.parametrize('seed', range(8))
def test_both_sides_agree_to_the_last_bit(seed):
    truth, results = random_case(seed, large=seed % 2 == 0)
    found = evaluate_video_ap(truth, results)
    video_ap.check_equal(
        reference.evaluate(reference.build_index(truth, results)), (found.metrics, found.per_category)
    )


def test_a_set_is_the_same_again_and_has_all_that_matters():
    truth, results = make_set(TINY, size=SIZE)
    assert (truth, results) == make_set(TINY, size=SIZE)
    assert (truth, results) != make_set(TINY, seed=1, size=SIZE)
    lengths = {video['id']: video['length'] for video in truth['videos']}
    assert len(lengths) == 4 and set(lengths.values()) <= {3, 4, 5, 6} and len(results) == 30
    for record in truth['annotations'] + results:
        assert len(record['segmentations']) == lengths[record['video_id']]
    for record in truth['annotations']:
        dense = [None if m is None else int(mask_api.decode(m).sum()) for m in record['segmentations']]
        assert record['areas'] == dense
    assert any(m is None for r in results for m in r['segmentations'])
    assert 0.05 < evaluate_video_ap(truth, results)['AP'] < 0.95  # neither all right nor all wrong
    row = video_ap.count(truth, results)
    pairs = [(r['video_id'], r['category_id']) for r in truth['annotations']]
    assert row['pairs'] == sum(pairs.count((r['video_id'], r['category_id'])) for r in results) > 0


def test_long_tracks_can_be_made():
    """pycocotools overflows on the areas of more than 255 masks at once."""
    from video_sets import Track

    track = Track(np.array([60.0, 30.0]), np.zeros(2), np.array([20.0, 10.0]), np.zeros(8))
    masks = track_masks(np.random.default_rng(0), track, 300, SIZE)
    assert len(masks) == 300 and sum(m is not None for m in masks) > 250


def test_a_row_has_counts_times_and_ratios():
    row = video_ap.measure(TINY, runs=2, size=SIZE)
    assert row['predictions'] == 30 and row['videos'] == 4
    for figure in video_ap.FIGURES:
        assert {name: len(values) for name, values in row[figure].items()} == dict(
            reference=2, maskprop=2, ratios=2
        )
    assert row['from files']['maskprop'][0] > row['loading and evaluation']['maskprop'][0]
    lines = video_ap.lines_of({'tiny': row})
    assert sum(line.startswith('| tiny |') for line in lines) == 4


@pytest.mark.parametrize('broken', ['AP75', 'category'])
def test_a_side_that_is_off_by_a_bit_is_refused(monkeypatch, broken):
    evaluate = reference.evaluate

    def off(index):
        metrics, per_category = evaluate(index)
        numbers, key = (metrics, 'AP75') if broken == 'AP75' else (per_category, max(per_category))
        numbers[key] = np.nextafter(numbers[key], 2)
        return metrics, per_category

    monkeypatch.setattr(reference, 'evaluate', off)
    with pytest.raises(common.BenchmarkError, match='AP75 is' if broken == 'AP75' else '3 is'):
        video_ap.measure(TINY, runs=1, size=SIZE)


def test_a_side_without_a_category_is_refused():
    with pytest.raises(common.BenchmarkError, match='not the same'):
        video_ap.check_equal(({'AP': 0.5}, {1: 0.5}), ({'AP': 0.5}, {}))


def test_script_writes_rows_and_page(monkeypatch, tmp_path, capsys):
    page = tmp_path / 'page.md'
    page.write_text('# Page\n\n<!-- video_ap -->\n<!-- end of video_ap -->\n\nEnd.\n')
    monkeypatch.setattr(video_ap, 'SETS', {'validation': TINY})
    monkeypatch.setattr(video_ap, 'make_set', lambda shape, size: make_set(shape, size=SIZE))
    monkeypatch.setattr(video_ap, 'first_use', lambda: (9.0, 0.5))
    words = ['--runs', '1', '--sets', 'validation', '--json', str(tmp_path / 'rows.json'), '--doc', str(page)]
    monkeypatch.setattr(sys, 'argv', ['tools/benchmarks/video_ap.py', *words])
    video_ap.main()
    rows = json.loads((tmp_path / 'rows.json').read_text())['rows']
    assert rows['validation']['predictions'] == 30 and rows['first_use'] == dict(fresh=9.0, cached=0.5)
    assert '| validation | from files |' in page.read_text() and page.read_text().endswith('\n\nEnd.\n')
    assert '9 s if nothing was compiled before' in capsys.readouterr().out
