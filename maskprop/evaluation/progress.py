"""What a user sees of a job only if it takes long: a progress bar, or a line where there are no steps to count."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from maskprop.utils import progress

#: Seconds before anything is shown.
DELAY = 5.0
#: Bytes of a JSON file that may take longer than that to parse, which is one step.
LARGE_FILE = 2**28


class _Silent:
    """Stands in for tqdm where that isn't installed."""

    def update(self, steps: int = 1) -> None:
        pass

    def close(self) -> None:
        pass

    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def progress_bar(total: int, title: str, unit: str = 'it') -> Any:
    """A bar, or lines, on stderr, but not in the first ``DELAY`` seconds; has ``update`` and ``close``."""
    try:
        return progress.progress_bar(
            total=total, desc=title, unit=unit, unit_scale=total > 10_000, delay=DELAY, leave=False
        )
    except ImportError:
        return _Silent()


def with_progress(items: Sequence, title: str, unit: str = 'it') -> Iterator:
    """The items, with a :func:`progress_bar`."""
    with progress_bar(len(items), title, unit) as bar:
        for item in items:
            yield item
            bar.update()


def announce_reading(path: str | Path) -> None:
    """Say on stderr that a large file is read."""
    size = Path(path).stat().st_size
    if size >= LARGE_FILE:
        print(f'reading {path} ({size / 2**20:,.0f} MiB)', file=sys.stderr, flush=True)
