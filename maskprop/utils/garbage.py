"""Python's garbage collection, put off where it finds nothing."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


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
            if not gc.get_freeze_count():  # else what others froze would thaw
                gc.freeze()
                gc.unfreeze()
            gc.enable()
