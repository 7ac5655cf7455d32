"""A progress bar that appears only when a job takes long."""

from __future__ import annotations

import sys

#: Seconds before anything is shown.
DELAY = 5.0


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


def progress_bar(total: int, title: str, unit: str = 'it'):
    """A tqdm bar on stderr that stays hidden for the first ``DELAY`` seconds; has ``update`` and ``close``."""
    try:
        from tqdm import tqdm
    except ImportError:
        return _Silent()
    return tqdm(
        total=total, desc=title, unit=unit, unit_scale=total > 10_000, delay=DELAY, leave=False, file=sys.stderr
    )
