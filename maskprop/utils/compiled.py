"""Plain loops over arrays, compiled by numba."""

from __future__ import annotations

from collections.abc import Callable


def compile_loops(function: Callable) -> Callable:
    """The function compiled by numba, without Python's global lock.

    What is compiled is cached beside the function's file, or in the user's cache folder.

    Raises:
        ImportError: numba cannot be imported.
    """
    import numba

    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # numba found no folder that it may write its cache to
        return numba.njit(nogil=True)(function)
