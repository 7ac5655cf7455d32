"""tools/benchmarks/clustering.py at tiny size: equal labels, rows; a form that differs is refused."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools/benchmarks'))

import clustering  # noqa: E402
from clustering import FORMS, check, main, make_pixels  # noqa: E402
from common import BenchmarkError  # noqa: E402

pytestmark = pytest.mark.slow


def test_rows_are_written(tmp_path, capsys):
    out = tmp_path / 'rows.json'
    main(['--pixels', '500', '--objects', '2', '4', '--threads', '1', '--runs', '2', '--json', str(out)])
    rows = json.loads(out.read_text())['rows']
    assert [row['objects'] for row in rows] == [2, 4] and all(row['clusters'] for row in rows)
    assert all(len(row[name]['seconds']) == 2 for row in rows for name in FORMS)
    assert 'All labels are equal' in capsys.readouterr().out


def test_a_form_with_other_labels_is_refused(monkeypatch):
    loop = FORMS['loop']
    monkeypatch.setitem(clustering.FORMS, 'loop', lambda *pixels: loop(*pixels).clamp(max=1))
    with pytest.raises(BenchmarkError, match='labels differ'):
        check(make_pixels(500, 4), 'cpu')
