"""What the benchmarks share: rounds, growth of memory."""

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
