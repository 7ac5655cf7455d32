"""Where the time goes: seconds by stage."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar('T')


class StageClock:
    """Adds up wall-clock time by stage. A GPU's work counts towards the stage that waits for its result.

    Example:
        >>> clock = StageClock()
        >>> with clock('model'):
        ...     pass
        >>> sorted(clock.seconds)
        ['model']

    Attributes:
        seconds: stage -> seconds so far, in the order of first use.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count the time of the block towards ``stage``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - start

    def iterate(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """Give ``items``, counting the waits for each towards ``stage``."""
        with self(stage):
            iterator = iter(items)
        while True:
            with self(stage):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def summary(self, frames: int) -> str:
        """One line: seconds by stage, in all and per frame."""
        parts = [f'{stage} {seconds:.2f} s' + (f' ({seconds / frames:.4f} a frame)' if frames else '')
                 for stage, seconds in self.seconds.items()]  # yapf: disable
        return f'{frames} frames; ' + ', '.join(parts)
