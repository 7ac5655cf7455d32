"""tools/benchmarks/inter_frame_attention.py at tiny size: equal forms, rows; a form that differs is refused."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools/benchmarks'))

import inter_frame_attention  # noqa: E402
from common import BenchmarkError  # noqa: E402
from inter_frame_attention import FORMS, check, main, make_inputs, parse_args  # noqa: E402

pytestmark = pytest.mark.slow

TINY = ['--size', '96', '128', '--channels', '8', '--objects', '2', '--frames', '6', '--threads', '1']


@pytest.mark.parametrize('weight', [[], ['--spatial-weight']])
def test_rows_are_written(weight, tmp_path, capsys):
    out = tmp_path / 'rows.json'
    main([*TINY, *weight, '--runs', '2', '--json', str(out)])
    rows = json.loads(out.read_text())['rows']
    assert rows['cells'] == 12 * 16 and rows['difference'] <= 1e-5
    assert all(len(rows[name]['seconds']) == 2 for name in FORMS)
    assert sum(line.startswith('| ') for line in capsys.readouterr().out.splitlines()) == 1 + len(FORMS)


def test_a_form_that_is_another_function_is_refused(monkeypatch):
    dense = FORMS['dense, batched']
    monkeypatch.setitem(inter_frame_attention.FORMS, 'dense, batched', lambda *a: dense(*a) + 1e-4)
    with pytest.raises(BenchmarkError, match='the forms differ by'):
        check((*make_inputs(parse_args(TINY)), None), 'cpu')
