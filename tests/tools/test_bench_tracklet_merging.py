"""tools/benchmarks/tracklet_merging.py at tiny size: equal tracks, rows; a form that differs is refused."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools/benchmarks'))

import tracklet_merging  # noqa: E402
from common import BenchmarkError  # noqa: E402
from tracklet_merging import FORMS, check, main, make_tracklets  # noqa: E402

pytestmark = pytest.mark.slow


def test_rows_are_written(tmp_path, capsys):
    out = tmp_path / 'rows.json'
    main(['--tracklets', '20', '40', '--threads', '1', '--runs', '2', '--json', str(out)])
    rows = json.loads(out.read_text())['rows']
    assert [row['tracklets'] for row in rows] == [20, 40]
    assert all(row['tracks'] < row['tracklets'] and len(row[name]) == 2 for row in rows for name in FORMS)
    assert 'All tracks are equal' in capsys.readouterr().out


def test_a_form_with_other_tracks_is_refused(monkeypatch):
    monkeypatch.setitem(tracklet_merging.FORMS, 'recursion', lambda *a: FORMS['merging'](*a)[::-1])
    with pytest.raises(BenchmarkError, match='the forms differ'):
        check(*make_tracklets(40))
