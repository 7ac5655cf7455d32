"""Mutants of a target, one after the other, with hypothesis as the engine."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS
from tests.fuzz.verdicts import BAD


def fuzz(
    target: str, folder: Path, mutants: int, first: int = 0, shrink: bool = False
) -> tuple[Counter, list[str]]:
    """Counts by verdict, and the words of each bad one.

    Args:
        target: of ``TARGETS``. folder: for files. mutants: how many.
        first: the seed; one seed always gives the same mutants.
        shrink: raise AssertionError at a bad verdict, of the smallest mutant that has one.
    """
    read, counts, bad = TARGETS[target][0], Counter(), []
    phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]

    @seed(first)
    @settings(
        max_examples=mutants, deadline=None, database=None, phases=phases, suppress_health_check=list(HealthCheck)
    )
    @given(st.data())
    def one(data: st.DataObject) -> None:
        verdict, words = read(data.draw, folder)
        counts[verdict] += 1
        if verdict in BAD:
            bad.append(f'{target}: {verdict}: {words}')
            assert not shrink, bad[-1]

    one()
    return counts, bad
