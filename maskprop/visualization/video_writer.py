"""A video file written frame by frame."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from maskprop.utils.errors import UserError
from maskprop.visualization.h264 import SUFFIXES, H264Encoder, has_h264

MAX_RATE = 2**16 - 1  # MPEG-4's largest numerator of frames a second


class CodecError(UserError, RuntimeError):
    """OpenCV can't encode a video as asked; the message says what to use."""


class VideoWriter:
    """Writes frames to a video file that appears, whole, when the ``with`` block ends without an error.

    Only the frame at hand is in memory. Odd sides are made even, as codecs ask, by repeating the last row or
    column.

    Args:
        path: the file to make; its folder is made too.
        fps: frames a second, written at the nearest rate that MPEG-4 holds: 66.667 as 66.67.
        codec: 'h264', which browsers play and PyAV writes, or a FOURCC for OpenCV: 'mp4v' comes with every wheel.
            None: H.264 where PyAV is installed (``pip install "maskprop[video]"``), else 'mp4v'.

    Raises:
        ValueError: fps not above 0; a frame that isn't (h, w, 3) uint8 or as large as the first; no frame.
        CodecError: this codec can't be encoded into this kind of file.
        OSError: the file could not be written to its end, as on a full disk; one that was there before is kept.

    Example:
        >>> with VideoWriter('out.mp4', fps=6) as writer:
        ...     for frame in frames:
        ...         writer.write(frame)
    """

    def __init__(self, path: str | Path, fps: float, codec: str | None = None) -> None:
        if not 0 < fps < math.inf:
            raise ValueError(f'{path}: fps must be above 0, got {fps}')
        self.path = Path(path)
        if codec is None:
            codec = 'h264' if has_h264() and self.path.suffix.lower() in SUFFIXES else 'mp4v'
        if len(codec) != 4:
            raise ValueError(f'{path}: a codec is named by four characters such as mp4v, got {codec!r}')
        self.fps = nearest_rate(fps)
        self.codec = codec
        self.num_frames = 0
        # The suffix stays: it tells OpenCV the kind of file.
        self._temporary = self.path.with_name(f'.{self.path.stem}.{os.getpid()}.tmp{self.path.suffix}')
        self._shape: tuple[int, ...] = ()
        self._writer: cv2.VideoWriter | H264Encoder | None = None

    def write(self, frame_bgr: np.ndarray) -> None:
        """Appends a (h, w, 3) uint8 BGR frame."""
        if frame_bgr.dtype != np.uint8 or frame_bgr.ndim != 3 or frame_bgr.shape[2] != 3:
            found = f'{frame_bgr.shape} {frame_bgr.dtype}'
            raise ValueError(f'{self.path}: a frame must be (height, width, 3) uint8, got {found}')
        if self._writer is None:
            self._writer = self._open(frame_bgr.shape)
        if frame_bgr.shape != self._shape:  # OpenCV would drop the frame without a word
            found = f'{frame_bgr.shape[:2]} after frames of {self._shape[:2]}'
            raise ValueError(f'{self.path}: frame {self.num_frames} has the size {found}')
        height, width = frame_bgr.shape[:2]
        if height % 2 or width % 2:
            frame_bgr = cv2.copyMakeBorder(frame_bgr, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        with self._naming_the_file():
            self._writer.write(frame_bgr)
        self.num_frames += 1

    def close(self) -> None:
        """Finishes the file and gives it its name."""
        if self._writer is None:
            raise ValueError(f'{self.path}: no frame was written')
        try:
            with self._naming_the_file():
                self._writer.release()
            self._check_whole()
            os.replace(self._temporary, self.path)
        finally:
            self._temporary.unlink(missing_ok=True)

    def discard(self) -> None:
        """Drops what was written; may be called again."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with contextlib.suppress(OSError):
                writer.release()
        self._temporary.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _naming_the_file(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            found = f'could not be written to its end ({error.strerror}); is the disk full?'
            raise OSError(f'{self.path}: {found}') from error

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        if exc_type is None:
            self.close()
        else:
            self.discard()

    def _check_whole(self) -> None:
        """OpenCV says nothing of frames that it failed to write."""
        written = _count_frames(self._temporary, self.num_frames)
        if written != self.num_frames:
            raise OSError(
                f'{self.path}: only {written} of {self.num_frames} frames could be written; is the disk full?'
            )

    def _open(self, shape: tuple[int, ...]) -> cv2.VideoWriter | H264Encoder:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        height, width = shape[0] + shape[0] % 2, shape[1] + shape[1] % 2
        self._shape = shape
        if self.codec == 'h264':
            return self._open_h264((width, height))
        fourcc = cv2.VideoWriter_fourcc(*self.codec)
        writer = cv2.VideoWriter(str(self._temporary), fourcc, self.fps, (width, height))
        if not writer.isOpened():
            self._check_room()
            raise CodecError(
                f'{self.path}: OpenCV {cv2.__version__} cannot write {self.path.suffix} files with the codec '
                f'"{self.codec}". '
                'Use codec "mp4v" with .mp4 or "MJPG" with .avi; if neither works, repair OpenCV with: '
                'pip install --force-reinstall opencv-python-headless'
            )
        return writer

    def _check_room(self) -> None:
        """OpenCV does not tell a disk without room from a codec that it lacks."""
        try:
            with self._naming_the_file():
                self._temporary.write_bytes(bytes(4096))
        finally:
            self._temporary.unlink(missing_ok=True)

    def _open_h264(self, size: tuple[int, int]) -> H264Encoder:
        if not has_h264() or self.path.suffix.lower() not in SUFFIXES:
            raise CodecError(
                f'{self.path}: H.264 needs PyAV and one of {", ".join(SUFFIXES)}: pip install '
                '"maskprop[video]", or use the codec "mp4v"'
            )
        return H264Encoder(self._temporary, self.fps, size)


def nearest_rate(fps: float) -> float:
    """The nearest rate that OpenCV can write as MPEG-4: N / 10^k frames a second, N up to 65535, k up to 3."""
    for scale in (1000, 100, 10, 1):
        if round(fps * scale) <= MAX_RATE:
            return max(round(fps * scale), 2) / scale  # OpenCV takes .001 for 0
    return float(MAX_RATE)


def _count_frames(path: Path, expected: int) -> int:
    """Frames of a file: by its header, and where that says otherwise than expected by reading them."""
    capture = cv2.VideoCapture(str(path))
    try:
        if int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == expected:
            return expected
        count = 0
        while capture.grab():
            count += 1
        return count
    finally:
        capture.release()
