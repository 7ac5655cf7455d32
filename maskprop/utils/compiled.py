"""Functions that numba compiles, where it is installed."""

from __future__ import annotations

from collections.abc import Callable


def compile_function(function: Callable) -> Callable:
    """The function, compiled when it is first called; the next process finds it in numba's cache.

    Raises:
        ImportError: numba is not installed, or does not fit NumPy.
    """
    import numba

    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # numba found no folder that it may write its cache to
        return numba.njit(nogil=True)(function)
