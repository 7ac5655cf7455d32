"""What the benchmarks share: rounds, growth of memory."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools/benchmarks'))

import common  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.mark.parametrize('warm_up, calls', [(True, ['a', 'b', 'a', 'a', 'b']), (False, ['a', 'a', 'b'])])
def test_forms_take_turns(warm_up, calls):
    made = []
    forms = {name: lambda n=name: made.append(n) for name in 'ab'}
    seconds = common.in_turns(forms, 1, repeats=dict(a=2), warm_up=warm_up)
    assert made == calls and {name: len(found) for name, found in seconds.items()} == dict(a=1, b=1)


@pytest.mark.xdist_group('memory')
def test_memory_growth_is_that_of_the_call_alone():
    large = torch.ones(2**24)  # 64 MiB, freed before: no longer the peak
    del large

    def form():
        passing = torch.ones(2**23)
        return passing[: 2**20].clone()  # 4 MiB that stay

    result, grown = common.memory_growth(form)
    assert len(result) == 2**20
    if grown is None:
        pytest.skip('this system does not say how memory grows')
    assert grown == pytest.approx(36, abs=2)


def test_memory_that_is_not_known_is_not_made_up(monkeypatch):
    monkeypatch.setattr(common, '_forget_peak', lambda: False)
    assert common.memory_growth(lambda: 7) == (7, None) and common.mebibytes(None) == ''


def test_sections_that_are_written_at_once_are_all_there(tmp_path):
    """Two benchmarks run at a time, and both replace their tables on one page."""
    page, names = tmp_path / 'page.md', [f'part{n}' for n in range(8)]
    page.write_text('\n'.join(f'<!-- {name} -->\nold\n<!-- end of {name} -->\n' for name in names))
    code = (
        f'import sys, pathlib; sys.path.insert(0, {str(Path(common.__file__).parent)!r}); import common\n'
        f'for n in range(20): common.write_section(pathlib.Path({str(page)!r}), sys.argv[1], [f"new {{n}}"])'
    )
    running = [subprocess.Popen([sys.executable, '-c', code, name]) for name in names]
    assert [process.wait() for process in running] == [0] * len(names)
    text = page.read_text()
    assert text.count('new 19') == len(names) and 'old' not in text
    assert all(f'<!-- {name} -->' in text and f'<!-- end of {name} -->' in text for name in names)


def test_a_page_without_the_section_is_told(tmp_path):
    (tmp_path / 'page.md').write_text('text')
    with pytest.raises(SystemExit, match='page.md has no lines <!-- a -->'):
        common.write_section(tmp_path / 'page.md', 'a', ['x'])
    assert (tmp_path / 'page.md').read_text() == 'text'
