"""Types of the numbers of a command line, so that one which cannot work is told before anything is loaded."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

MOST = 2**31 - 1  # of a number without another limit: counters and slices take it everywhere
MOST_SEED = 2**32 - 1  # what NumPy's and torch's generators take
MOST_SIDE = 2**13  # of a frame, in pixels
MOST_PIXELS = MOST_SIDE**2  # of a frame: 192 MiB, twice the pixels of one of 8K
MOST_STRIDE = 100_000  # of frames: an hour has 90,000 at 25 a second
MOST_RESAMPLES = 100_000  # of videos, for an interval; no more digits come of more
MOST_STRIP_WIDTH = 2**15  # of a row of pictures, in pixels


def whole(least: int, most: int = MOST) -> Callable[[str], int]:
    """An argument's ``type``: an integer from ``least`` to ``most``."""
    return _within(int, 'a whole number', least, most)


def number(least: float, most: float = MOST) -> Callable[[str], float]:
    """An argument's ``type``: a number from ``least`` to ``most``, so neither nan nor infinity."""
    return _within(float, 'a number', least, most)


def _within(convert: Callable[[str], Any], kind: str, least: float, most: float) -> Callable[[str], Any]:
    upto = f'from {least:g} to {most}' if most != MOST else f'of {least:g} or more'

    def read(text: str) -> Any:
        try:
            value = convert(text)
        except ValueError:
            value = None
        if value is None or not least <= value <= most:
            raise argparse.ArgumentTypeError(f'{text}: expected {kind} {upto}')
        return value

    return read


positive = whole(1)
seed = whole(0, MOST_SEED)
stride = whole(1, MOST_STRIDE)
resamples = whole(0, MOST_RESAMPLES)
share = number(0, 1)  # scores, IoUs and parts of a video too


class Ascending(argparse.Action):
    """Two numbers, the first below the second, or as large with ``equal``; the attribute is a tuple."""

    def __init__(self, *args: Any, equal: bool = False, **keywords: Any) -> None:
        super().__init__(*args, **{**keywords, 'nargs': 2})
        self._equal = equal

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option: str | None = None,
    ) -> None:
        """Keep the two, or end with a message."""
        first, last = values
        if first > last or (first == last and not self._equal):
            relation = 'not above' if self._equal else 'below'
            raise argparse.ArgumentError(self, f'{first:g} {last:g}: expected the first {relation} the second')
        setattr(namespace, self.dest, (first, last))


def add_frame_range(parser: argparse.ArgumentParser) -> None:
    """Add ``--frame-range START STOP``, the part of every video that results are of."""
    parser.add_argument(
        '--frame-range',
        type=share,
        action=Ascending,
        default=(0.0, 1.0),
        metavar=('START', 'STOP'),
        help='the results are of this part of every video, in fractions of it (default 0 1)',
    )


def check_strip(parser: argparse.ArgumentParser, columns: int, cell_width: int) -> None:
    """End with a message if a row of so many pictures would have too many pixels."""
    if columns * cell_width > MOST_STRIP_WIDTH:
        parser.error(
            f'--columns {columns} --cell-width {cell_width}: the picture would be {columns * cell_width} pixels '
            f'wide; expected {MOST_STRIP_WIDTH} at most'
        )
