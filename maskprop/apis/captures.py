"""What OpenCV captures: video files, cameras, and streams of the network."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np

from maskprop.utils.errors import UserError

OPEN_SECONDS, READ_SECONDS = 10, 10  # without an answer of an address


class VideoError(UserError, ValueError):
    """A video that can't be used; the message names file or frame, what was found and what to do."""


def camera_index(source: object) -> int | None:
    """The index of the camera that is meant: a whole number, or its digits where no file has that name."""
    if isinstance(source, (int, np.integer)) and not isinstance(source, bool):
        return int(source)
    if not isinstance(source, str) or not (source.isascii() and source.isdecimal()):
        return None
    return None if Path(source).exists() else int(source)


def is_address(source: object) -> bool:
    """Whether it is the address of a stream or file: rtsp://, http://, udp://, ..."""
    return isinstance(source, str) and re.match(r'[a-z][a-z0-9+.-]*://', source, re.IGNORECASE) is not None


class Capture:
    """A file, camera or address that OpenCV reads; opened anew for each reading, as the model loads in between.

    Args:
        source: the path of a file, a camera's index, or an address.

    Attributes:
        name: of the file or address, as a folder may be called; ``camera0``.
        shown: as messages name it; without the password that an address may hold.
        fps: frames a second as the source says; None: it says none, or nonsense.
        size: (height, width) as the source says; None: it says nothing.
        num_frames: as a file's header says, which may be off; None: a stream without an end that is known.

    Raises:
        VideoError: no frame could be read; says why.
    """

    def __init__(self, source: str | Path | int) -> None:
        self._source = source if isinstance(source, int) else str(source)
        self._is_address = is_address(self._source)
        self.name, self.shown = _names(self._source)
        capture = self._open()
        try:
            readable = capture.isOpened() and capture.grab()
            fps, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
            height, width = (
                int(capture.get(key)) for key in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH)
            )
            fourcc = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, 'little', signed=True)
        finally:
            capture.release()
        if not readable:
            raise VideoError(self._unreadable(fourcc))
        self.fps = fps if 0 < fps < 1000 else None
        self.size = (height, width) if min(height, width) > 0 else None
        self.num_frames = int(count) if count > 0 and not isinstance(self._source, int) else None

    @property
    def live(self) -> bool:
        """Whether its end is not known: it goes on until it is stopped."""
        return self.num_frames is None and (self._is_address or isinstance(self._source, int))

    def read(self, stride: int) -> Iterator[np.ndarray]:
        """Yields frames 0, s, 2s, ... as (h, w, 3) uint8 BGR.

        A live source that changes its frames' size ends there, with a warning, so that what came before is kept.

        Raises:
            VideoError: a frame of a file cannot be decoded.
        """
        capture = self._open()
        shape: tuple[int, ...] | None = None
        try:
            index = 0
            while capture.grab():
                if index % stride == 0:
                    decoded, frame = capture.retrieve()
                    if not decoded and self.live:
                        break
                    if not decoded:
                        raise VideoError(f'{self.shown}: frame {index} cannot be decoded; the file may be damaged')
                    shape = shape or frame.shape
                    if self.live and frame.shape != shape:
                        _warn_of_size(self.shown, index, frame.shape, shape)
                        break
                    yield frame
                index += 1
            if index < (self.num_frames or 0):
                warnings.warn(
                    f'{self.shown}: {index} frames could be read, its header says {self.num_frames}', stacklevel=2
                )
        finally:
            capture.release()

    def _open(self) -> cv2.VideoCapture:
        if not self._is_address:
            return cv2.VideoCapture(self._source)
        limits = {
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: 1000 * OPEN_SECONDS,
            cv2.CAP_PROP_READ_TIMEOUT_MSEC: 1000 * READ_SECONDS,
        }
        return cv2.VideoCapture(self._source, cv2.CAP_FFMPEG, [n for pair in limits.items() for n in pair])

    def _unreadable(self, fourcc: bytes) -> str:
        if isinstance(self._source, int):
            return (
                f'{self.shown}: OpenCV gets no picture from it. Is it connected, allowed to this user and free of '
                'other programs? Others have the indices 0, 1, 2, ...'
            )
        if self._is_address:
            return (
                f'{self.shown}: OpenCV gets no picture from there within {OPEN_SECONDS} seconds. Does the address '
                f'play elsewhere, as in: ffplay "{self.shown}"?'
            )
        name = fourcc.decode('ascii', 'ignore').strip('\0 ')  # without a codec OpenCV 4 gives zeros, 5 gives -1
        codec = f'its codec is "{name}"' if name.isprintable() and name else 'no codec was recognised'
        return (
            f'{self.shown}: OpenCV {cv2.__version__} finds no video frames in it ({codec}). It is empty, damaged, '
            'no video, or of a codec that this OpenCV cannot decode (H.264, H.265, VP9 and MPEG-4 work as a rule; '
            f'AV1 often does not). Convert it: ffmpeg -i "{self.shown}" -c:v libx264 -pix_fmt yuv420p out.mp4, or '
            'pass a folder of images'
        )


def video_name(source: str | Path | int) -> str:
    """What a video is called, also one that cannot be opened: by its folder, file or address; ``camera0``."""
    index = camera_index(source)
    if index is not None:
        return _names(index)[0]
    path = Path(str(source))
    return path.resolve().name if not is_address(source) and path.is_dir() else _names(str(source))[0]


def _names(source: str | int) -> tuple[str, str]:
    """What a source is called, and how messages show it."""
    if isinstance(source, int):
        return f'camera{source}', f'camera {source}'
    if not is_address(source):
        return Path(source).stem, source
    parts = urlsplit(source)
    host = parts.netloc.rpartition('@')[2]
    shown = parts._replace(netloc=f'***@{host}').geturl() if '@' in parts.netloc else source
    return Path(parts.path).stem or host, shown


def _warn_of_size(shown: str, index: int, found: tuple[int, ...], first: tuple[int, ...]) -> None:
    sizes = f'{found[0]}x{found[1]} after frames of {first[0]}x{first[1]} (height x width)'
    warnings.warn(f'{shown}: frame {index}: {sizes}; the video ends there', stacklevel=3)
