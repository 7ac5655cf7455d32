"""Objects made while garbage collection is put off are not searched right after it."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from maskprop.utils import garbage
from maskprop.utils.garbage import without_garbage_collection


@pytest.fixture
def thawed() -> Iterator[None]:
    """Nothing is frozen, as outside of these tests (``conftest.py`` freezes what was imported)."""
    gc.unfreeze()
    yield
    gc.freeze()


def generation_of(made: object) -> int | None:
    return next((g for g in range(3) if any(o is made for o in gc.get_objects(generation=g))), None)


@pytest.mark.usefixtures('thawed')
def test_what_was_made_counts_as_old() -> None:
    with without_garbage_collection():
        assert not gc.isenabled()
        made: list = [[] for _ in range(2 * garbage.MANY)]
    assert gc.isenabled()
    assert generation_of(made) == 2
    assert not gc.get_freeze_count()


@pytest.mark.usefixtures('thawed')
def test_what_others_froze_stays_so() -> None:
    frozen: list = []
    gc.freeze()
    with without_garbage_collection():
        made = [[] for _ in range(2 * garbage.MANY)]
    # of what is frozen, no generation has it; their number falls whenever another thread lets some go
    assert len(made) and generation_of(frozen) is None
