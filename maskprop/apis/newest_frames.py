"""A live source and a model that is slower: the newest frame is taken, and those in between are counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterable

import numpy as np


class NewestFrames:
    """Frames of a live source; while the reader is busy a newer one takes the place of one that waits.

    Frames are read in a thread of their own, as cameras and servers don't wait. A source that is ahead of its
    frame rate is a file in truth: it is made to wait, so that a reader that keeps up gets every frame.

    Args:
        frames: of the source, (h, w, 3) uint8 each. fps: as the source says.

    Attributes:
        left_out: how many frames have been left out so far.
    """

    def __init__(self, frames: Iterable[np.ndarray], fps: float) -> None:
        self._frames, self._fps = frames, fps
        self._waiting: np.ndarray | None = None
        self._error: BaseException | None = None
        self._ended = self._stopped = False
        self._change = threading.Condition()
        self._before: dict[int, int] = {}
        self._left_out_now = self.left_out = 0

    def __iter__(self) -> Generator[np.ndarray, None, None]:
        """Yields frames until the source ends; its error then comes here."""
        reader = threading.Thread(target=self._read, daemon=True)
        reader.start()
        number = 0
        try:
            while (frame := self._take(number)) is not None:
                yield frame
                number += 1
        finally:
            with self._change:
                self._stopped = True
                self._change.notify_all()
            reader.join()

    def pop_left_out(self, number: int) -> int:
        """How many frames were left out right before the one that came as this number, counted from 0."""
        with self._change:
            return self._before.pop(number, 0)

    def _take(self, number: int) -> np.ndarray | None:
        with self._change:
            while self._waiting is None and not self._ended:
                self._change.wait()
            if self._waiting is None and self._error is not None:
                raise self._error
            frame, self._waiting = self._waiting, None
            if self._left_out_now:
                self._before[number] = self._left_out_now
            self._left_out_now = 0
            self._change.notify_all()
            return frame

    def _read(self) -> None:
        start, error = None, None
        try:
            for number, frame in enumerate(self._frames):
                start = time.monotonic() if start is None else start
                if not self._put(frame, start + number / self._fps):
                    break
        except BaseException as caught:
            error = caught
        with self._change:
            self._error, self._ended = error, True
            self._change.notify_all()

    def _put(self, frame: np.ndarray, due: float) -> bool:
        """Let a frame wait to be taken, from its time on in place of one that waits; False: no more are wanted."""
        with self._change:
            while self._waiting is not None and not self._stopped and (early := due - time.monotonic()) > 0:
                self._change.wait(early)
            if self._waiting is not None:
                self._left_out_now += 1
                self.left_out += 1
            self._waiting = frame
            self._change.notify_all()
            return not self._stopped
