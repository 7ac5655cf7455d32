"""tools/benchmarks/embedding_matching.py at tiny size: equal forms, rows; a form that differs is refused."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools/benchmarks'))

import embedding_matching  # noqa: E402
from common import BenchmarkError  # noqa: E402
from embedding_matching import FORMS, Inputs, check, main, parse_args  # noqa: E402

pytestmark = pytest.mark.slow

TINY = ['--size', '48', '64', '--channels', '8', '--objects', '2', '--radius', '3', '--threads', '1']


@pytest.mark.xdist_group('memory')
@pytest.mark.parametrize('band', ['1', '5', '0'])
def test_rows_are_written(band, tmp_path, capsys):
    out = tmp_path / 'rows.json'
    main([*TINY, '--band', band, '--runs', '2', '--json', str(out)])
    rows = json.loads(out.read_text())['rows']
    assert rows['cells'] == 12 * 16
    for name, forms in FORMS.items():
        assert rows[name]['difference'] <= 1e-5
        assert all(len(rows[name][form]['seconds']) == 2 for form in forms)
    assert sum(line.startswith('| ') for line in capsys.readouterr().out.splitlines()) == 1 + 4


@pytest.mark.xdist_group('memory')
@pytest.mark.parametrize('name', FORMS)
def test_a_form_that_is_another_function_is_refused(name, monkeypatch):
    dense = FORMS[name]['dense']
    monkeypatch.setitem(embedding_matching.FORMS[name], 'dense', lambda x: dense(x) + 1e-4)
    with pytest.raises(BenchmarkError, match=f'{name}: the forms differ by'):
        check(Inputs(parse_args(TINY)), 'cpu')
