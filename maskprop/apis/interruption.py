"""Ctrl-C that ends a live video in good order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar('T')


class StopOnInterrupt:
    """In its ``with`` block the first Ctrl-C (or SIGTERM) ends :meth:`until_stopped`; a second one acts as ever.

    Outside the main thread, where Python takes no signals, it changes nothing.
    """

    def __init__(self) -> None:
        self.stopped = False
        self._before: dict[signal.Signals, Any] = {}

    def until_stopped(self, items: Iterable[T]) -> Iterator[T]:
        """Yields the items until then."""
        for item in items:
            if self.stopped:
                return
            yield item

    def __enter__(self) -> StopOnInterrupt:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._stop) or signal.SIG_DFL
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, *_: object) -> None:
        self.stopped = True
        self.__exit__()
