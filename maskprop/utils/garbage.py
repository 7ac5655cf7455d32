"""Python's garbage collection, put off where it finds nothing."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

MANY = 100_000  # objects


@contextlib.contextmanager
def without_garbage_collection() -> Iterator[None]:
    """For code that makes many objects and no cycles, of which the search for cycles takes longer.

    What it made counts as old afterwards: as young, all of it would be searched at the next object that is made.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            # of few it isn't worth it, and counting what others froze, which would thaw, takes long
            if gc.get_count()[0] > MANY and not gc.get_freeze_count():
                gc.freeze()
                gc.unfreeze()
            gc.enable()
