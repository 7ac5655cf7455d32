"""H.264, which browsers play: written with PyAV, an optional library that brings the encoder."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np

ENCODER = 'libx264'
SUFFIXES = ('.mp4', '.m4v', '.mov', '.mkv')
# the quality as a picture's at 90; the matrix is the one by which FFmpeg turns RGB to YUV, or browsers guess
OPTIONS = {'crf': '20', 'preset': 'veryfast', 'x264-params': 'colormatrix=smpte170m'}


@cache
def has_h264() -> bool:
    """Whether PyAV is installed and has the encoder."""
    try:
        import av
    except ImportError:
        return False
    return ENCODER in getattr(av, 'codecs_available', ())  # a folder named av is no PyAV


class H264Encoder:
    """Writes frames of one size into a file, as ``cv2.VideoWriter`` does, but says what fails.

    Args:
        path: the file; its suffix is one of ``SUFFIXES``.
        fps: frames a second.
        size: (width, height) in pixels, even.

    Raises:
        OSError: the file cannot be written, as on a full disk; of every method.
    """

    def __init__(self, path: Path, fps: float, size: tuple[int, int]) -> None:
        import av

        self._av = av
        self._rate = Fraction(str(fps))
        self._count = 0
        self._failed = False
        options = {}
        if path.suffix.lower() != '.mkv':
            # The index goes before the pictures, so that a player begins before it has the whole. At the default
            # of 1000 ticks a second short videos of high rates would last 0 ticks, and no frame would be shown.
            options = {'movflags': 'faststart', 'movie_timescale': str(max(1000, self._rate.numerator))}
        self._container = av.open(str(path), 'w', options=options)
        self._stream = self._container.add_stream(ENCODER, rate=self._rate, options=OPTIONS)
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = 'yuv420p'

    def write(self, frame_bgr: np.ndarray) -> None:
        """Appends a (h, w, 3) uint8 BGR frame."""
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(frame_bgr), format='bgr24')
        frame.pts, frame.time_base = self._count, 1 / self._rate
        self._count += 1
        self._mux(frame)

    def release(self) -> None:
        """Finishes the file."""
        try:
            if not self._failed:  # after a header without room the next packet would end the process
                self._mux(None)
        finally:
            try:
                self._container.close()
            except self._av.FFmpegError as error:
                raise OSError(*error.args[:2]) from error

    def _mux(self, frame: object) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except self._av.FFmpegError as error:
            self._failed = True
            raise OSError(*error.args[:2]) from error
