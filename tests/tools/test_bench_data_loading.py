"""tools/benchmarks/data_loading.py at tiny size: both sides load the same, what differs is refused, rows."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools/benchmarks'))

import common  # noqa: E402
import data_loading  # noqa: E402
from annotation_files import KINDS, TRAINING  # noqa: E402

pytestmark = pytest.mark.slow

TINY = replace(TRAINING, videos=51, frames=(2, 4), size=(72, 128))


@pytest.mark.parametrize('kind', KINDS)
def test_both_sides_have_the_same_objects(kind):
    row = data_loading.measure(kind, TINY, runs=1)
    assert row['videos'] == 51 and 51 * 2 <= row['frames'] <= 51 * 4 and row['masks'] > 51
    assert row['compared'] > 0 and len(row['ratios']) == 1


@pytest.mark.parametrize('key', ['bbox', 'bbox_label', 'instance_id', 'ignore_flag', 'mask'])
def test_sides_that_differ_are_refused(key, monkeypatch):
    real = data_loading.build

    def broken(root, side):
        dataset = real(root, side)
        if side == 'mmdet':
            get, wrong = dataset.get_data_info, dict(bbox=[0, 0, 1, 1], mask=[[0, 0, 9, 0, 9, 9]])
            dataset.get_data_info = lambda video: damage(get(video), key, wrong.get(key, 77))
        return dataset

    def damage(info, key, value):
        next(image for image in info['images'] if image['instances'])['instances'][0][key] = value
        return info

    monkeypatch.setattr(data_loading, 'build', broken)
    with pytest.raises(common.BenchmarkError, match='the objects differ'):
        data_loading.measure(KINDS[0], replace(TINY, videos=3), runs=1)


def test_prints_a_table_and_writes_rows(tmp_path, monkeypatch, capsys):
    out = tmp_path / 'rows.json'
    words = ['--videos', '2', '--runs', '1', '--threads', '1', '--kinds', KINDS[1], '--json', str(out)]
    monkeypatch.setattr(sys, 'argv', ['data_loading.py', *words])
    monkeypatch.setattr(data_loading, 'TRAINING', TINY)
    data_loading.main()
    row = json.loads(out.read_text())['rows'][KINDS[1]]
    assert row['videos'] == 2 and set(row['seconds']) == {'maskprop', 'mmdet'}
    assert capsys.readouterr().out.count(f'| {KINDS[1]} |') == 2
