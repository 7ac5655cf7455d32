"""tools/benchmarks/mask_assembly.py at tiny size: equal forms, rows; a form that differs is refused."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools/benchmarks'))

import mask_assembly  # noqa: E402
from common import BenchmarkError  # noqa: E402
from mask_assembly import FORMS, check, main, make_inputs, parse_args  # noqa: E402

pytestmark = pytest.mark.slow

TINY = ['--size', '32', '48', '--bases', '3', '--boxes', '2', '5', '--threads', '1']


def test_rows_are_written(tmp_path, capsys):
    out = tmp_path / 'rows.json'
    main([*TINY, '--runs', '2', '--json', str(out)])
    rows = json.loads(out.read_text())['rows']
    assert [row['boxes'] for row in rows] == [2, 5] and all(row['difference'] <= 1e-5 for row in rows)
    assert all(len(row[name][kind]) == 2 for row in rows for name in FORMS for kind in ('forward', 'step'))
    assert sum(line.startswith('| ') for line in capsys.readouterr().out.splitlines()) == 1 + 2 * len(FORMS)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda form: lambda *a: form(*a) + 1e-4, 'the forms differ by'),
        (lambda form: lambda c, *a: form(c.detach() + 0.5 * (c - c.detach()), *a), 'the gradients differ by'),
    ],
)
def test_a_form_that_is_another_function_is_refused(change, message, monkeypatch):
    monkeypatch.setitem(mask_assembly.FORMS, 'loop, slices', change(FORMS['loop, slices']))
    with pytest.raises(BenchmarkError, match=message):
        check(make_inputs(parse_args(TINY), 5))
