"""Progress of long work on stderr: a bar on a terminal; elsewhere, as in log files, a line every few seconds."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

#: Seconds between two lines where there is no terminal.
INTERVAL = 10.0
_LINE = '{desc}: {n_fmt}/{total_fmt} {unit} [{elapsed}<{remaining}, {rate_fmt}{postfix}]'


def on_terminal() -> bool:
    """Whether stderr, to which progress goes, is a terminal of a known size, without which bars are empty."""
    return sys.stderr.isatty() and min(os.get_terminal_size(sys.stderr.fileno())) > 0


def progress_bar(
    items: Iterable | None = None, line: str = _LINE, every: int | None = None, **options: Any
) -> Any:
    """A bar of tqdm, or what has its methods and prints lines without carriage returns.

    Args:
        items: to walk over; None: the caller calls ``update``.
        line: ``bar_format`` of a line.
        every: steps between two lines; None: a line every ``INTERVAL`` seconds.
        options: of tqdm, such as ``total``, ``desc``, ``unit``, ``leave`` and ``delay``.

    Raises:
        ImportError: tqdm is not installed.
    """
    from tqdm import tqdm

    if on_terminal():
        return tqdm(items, dynamic_ncols=True, mininterval=0.5, file=sys.stderr, **options)

    class Lines(tqdm):
        """A line for each state that is shown, the last of them too."""

        disable: bool  # of tqdm
        # a thread that is never ended, for each class, and this one is made anew for each bar
        monitor_interval = 0

        def display(self, msg: str | None = None, pos: int | None = None) -> bool:
            if msg is None and self.n > self.initial:
                print(self, file=self.fp, flush=True)
            return True

        def clear(self, nolock: bool = False) -> None:
            """A line stays."""

        def close(self) -> None:
            if self.disable:
                return
            waited = self.last_print_t >= self.start_t + self.delay or self.delay <= 0
            if self.leave and waited and self.n > self.last_print_n:
                self.display()
            self.disable = True
            self._decr_instances(self)

    pace = dict(mininterval=0, miniters=every) if every else dict(mininterval=INTERVAL, miniters=0)
    options = {**options, **pace, 'bar_format': line}
    return Lines(items, file=sys.stderr, **options)
