"""tools/benchmarks/growth.py: exponents, sets, rows; and no tool's memory grows with the square of a size."""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools/benchmarks'))

import common  # noqa: E402
import growth  # noqa: E402

from maskprop.datasets.splits import split_videos  # noqa: E402
from maskprop.datasets.ytvis_json import find_problems, load_ytvis  # noqa: E402

pytestmark = pytest.mark.slow

SMALL = dict(videos=20, frames=2, objects=1, predictions=1, categories=3)


@pytest.mark.parametrize('power', [0.5, 1, 2, 3])
def test_the_exponent_is_that_of_what_grows(power):
    assert growth.exponent(1, [1 + 7 * n**power for n in (1, 4, 16)], (1, 4, 16)) == pytest.approx(power)
    assert growth.exponent(1, [1 + 7 * n**power for n in (2, 32)], (2, 32)) == pytest.approx(power)


def test_no_exponent_of_what_does_not_grow():
    steps = (1, 4, 16)
    assert growth.exponent(1.0, [1.0, 1.02, 1.1], steps) is None
    assert growth.exponent(1.0, [1.0, 2.0, 1.5], steps) is None
    assert growth.exponent(0.0, [1.0, 0.9, 3.6], steps) == pytest.approx(1)  # noise at first
    assert 0 < growth.exponent(1.0, [1.0, 0.9, 1.8], steps) < 2  # and of the start


def test_a_set_is_without_fault_and_as_large_as_it_is_meant(tmp_path):
    growth.write_set(tmp_path, **{**SMALL, 'predictions': 5})
    assert [p for p in find_problems(tmp_path / 'gt.json', tmp_path / 'images')] == []
    content = json.loads((tmp_path / 'gt.json').read_text())
    assert [len(content[key]) for key in ('videos', 'annotations', 'categories')] == [20, 20, 3]
    assert len(json.loads((tmp_path / 'results.json').read_text())) == 100


def test_a_row_is_of_processes_of_their_own_and_a_failure_is_said(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(growth, 'TOOLS', dict(check=growth.Tool(growth.check, SMALL)))
    monkeypatch.setattr(growth, 'warm_up', lambda: None)
    out = tmp_path / 'rows.json'
    monkeypatch.setattr(sys, 'argv', ['growth.py', '--sizes', 'videos', '--json', str(out)])
    growth.main()
    (row,) = json.loads(out.read_text())['rows']
    assert (
        row['tool'] == 'check'
        and len(row['seconds']) == len(row['memory']) == len(row['steps']) == 4
        and min(row['seconds']) > 0
    )
    assert '| check | videos, 20 |' in capsys.readouterr().out
    monkeypatch.setattr(growth, 'write_set', lambda folder, **sizes: (folder / 'gt.json').write_text('{}'))
    with pytest.raises(common.BenchmarkError, match='check, 4 times the videos'):
        growth.measure('check', 'videos', 4)


def test_a_tool_leaves_the_words_of_the_script(tmp_path, capsys):
    growth.write_set(tmp_path, **SMALL, images=False)
    words = list(sys.argv)
    growth.check(tmp_path)
    assert sys.argv == words


@pytest.mark.parametrize('tool', ['check', 'split', 'eval', 'train'])
def test_each_tool_runs_on_the_smallest_set(tool):
    assert growth.measure(tool, 'videos', 0)[0] > 0


def split(folder: Path) -> None:
    split_videos(load_ytvis(folder / 'gt.json'), 8, 0)


@pytest.mark.parametrize('size', ['videos', 'frames', 'objects', 'categories'])
@pytest.mark.parametrize('tool', [growth.check, split, growth.score], ids=['check', 'split', 'score'])
def test_memory_is_not_that_of_a_square(tool: Callable[[Path], None], size, tmp_path, monkeypatch, capsys):
    """Four times the size is 4 times the memory; a table of videos times videos would be 16 times."""
    peaks = []
    for step in (8, 32):
        folder = tmp_path / str(step)
        folder.mkdir()
        growth.write_set(folder, **{**SMALL, size: SMALL[size] * step}, images=False)
        tool(folder)  # what is loaded at first use is no growth
        tracemalloc.start()
        tool(folder)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 5 * peaks[0], peaks
