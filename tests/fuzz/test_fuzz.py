"""A short run of the fuzzer; the long one: python -m tests.fuzz."""

from __future__ import annotations

import time

import pytest

pytest.importorskip('hypothesis', reason='the fuzzer needs hypothesis: pip install hypothesis')

from hypothesis import given, settings  # noqa: E402

from tests.engine.tiny_config import quick_runs  # noqa: E402
from tests.fuzz import verdicts  # noqa: E402
from tests.fuzz.engine import fuzz  # noqa: E402
from tests.fuzz.mutants import ODD_VALUES  # noqa: E402
from tests.fuzz.targets import TARGETS  # noqa: E402
from tests.fuzz.verdicts import HANG, REFUSED, TRACEBACK, WRONG, Hang, WrongAcceptance, verdict_of  # noqa: E402

MUTANTS = dict(configs=4, studies=4)


@pytest.mark.slow
@pytest.mark.parametrize('target', TARGETS)
def test_no_mutant_is_met_by_a_traceback_or_taken_for_another(target, tmp_path):
    with quick_runs():
        counts, bad = fuzz(target, tmp_path, MUTANTS.get(target, 20), shrink=True)
    assert not bad and sum(counts.values()) >= 1


def raise_(error: BaseException) -> None:
    raise error


def busy() -> None:
    while True:
        pass


def test_verdicts(monkeypatch):
    monkeypatch.setattr(verdicts, 'MOST_SECONDS', 0.05)
    assert verdict_of(busy)[0] == HANG
    monkeypatch.setattr(verdicts, 'MOST_WAITING', 0.05)
    assert verdict_of(lambda: time.sleep(60))[0] == HANG
    monkeypatch.undo()
    assert verdict_of(lambda: raise_(OSError('file: gone')))[0] == REFUSED
    assert verdict_of(lambda: raise_(KeyError('x')))[0] == TRACEBACK
    assert verdict_of(lambda: raise_(Hang()))[0] == HANG
    assert verdict_of(lambda: 1, lambda found: raise_(WrongAcceptance('2')))[0] == WRONG


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(ODD_VALUES, ODD_VALUES)
def test_a_change_inside_of_a_drawn_value_is_not_in_the_next_mutant(first, second):
    for value in (first, second):
        if isinstance(value, list):
            assert 'changed' not in value
            value.append('changed')
