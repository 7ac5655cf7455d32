"""Frames from an mp4, a folder of images or arrays, one at a time."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import mmcv
import numpy as np

from maskprop.datasets.image_folders import IMAGE_SUFFIXES, image_size, list_images
from maskprop.utils.errors import UserError

DEFAULT_FPS = 6.0  # of folders and arrays, which have none; YouTube-VIS lists six frames a second

ImageReader = Callable[[Path], 'np.ndarray | None']


class VideoError(UserError, ValueError):
    """A video that can't be used; the message names file or frame, what was found and what to do."""


@dataclass(frozen=True)
class FrameSource:
    """Frames of one video; iterating reads them one by one and keeps none.

    Attributes:
        name: file or folder name without suffix.
        fps: frames a second of what is yielded (the stride taken into account).
        num_frames: how many there will be, None where that isn't known before the end; for a video file it is what
            the file's header says, which may be off.
    """

    name: str
    fps: float
    num_frames: int | None
    _open: Callable[[], Iterator[np.ndarray]]

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yields (h, w, 3) uint8 BGR arrays."""
        return self._open()


def open_frames(
    source: str | Path | Iterable[np.ndarray], frame_stride: int = 1, read_image: ImageReader = mmcv.imread
) -> FrameSource:
    """Opens a video, so that errors show before any long work.

    Args:
        source: a video file, a folder of images (in natural order: 2.jpg before 10.jpg), or arrays.
        frame_stride: keep frames 0, s, 2s, ...
        read_image: reads an image of a folder into a (h, w, 3) uint8 BGR array, None if it can't.

    Raises:
        FileNotFoundError: no such file or folder.
        VideoError: a bad stride, a folder without images, no frames at all, a file that OpenCV can't decode.
    """
    if isinstance(frame_stride, bool) or not isinstance(frame_stride, int) or frame_stride < 1:
        raise VideoError(f'frame_stride must be a whole number of at least 1, got {frame_stride!r}')
    if not isinstance(source, (str, Path)):
        return _from_arrays(source, frame_stride)
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f'{path}: no such video file or folder of images')
    return _from_folder(path, frame_stride, read_image) if path.is_dir() else _from_file(path, frame_stride)


def check_frame(frame: np.ndarray, shape: tuple[int, ...] | None, where: str) -> None:
    """Checks one frame.

    Args:
        frame: should be (h, w, 3) uint8.
        shape: of the video's first frame; None for the first itself.
        where: names the frame in errors.

    Raises:
        TypeError: not a uint8 numpy array.
        VideoError: another shape than (h, w, 3), no pixels, or another size than the first frame's.
    """
    if not isinstance(frame, np.ndarray):
        raise TypeError(
            f'{where}: expected a numpy array (height, width, 3) uint8 BGR, got {type(frame).__name__}'
        )
    if frame.dtype != np.uint8:
        raise TypeError(f'{where}: expected dtype uint8 with values 0 to 255, got {frame.dtype}')
    if frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        raise VideoError(f'{where}: expected the shape (height, width, 3), BGR, got {frame.shape}')
    if shape is not None and frame.shape != shape:
        found = f'{frame.shape[0]}x{frame.shape[1]} after frames of {shape[0]}x{shape[1]} (height x width)'
        raise VideoError(
            f'{where}: {found}; all frames of a video must have one size: resize them, or start a new session'
        )


def _from_arrays(source: Iterable[np.ndarray], stride: int) -> FrameSource:
    if isinstance(source, np.ndarray) and source.ndim != 4:
        raise VideoError(
            f'expected frames as a list or a (T, height, width, 3) array, got the shape {source.shape}'
        )
    length = len(source) if isinstance(source, (Sequence, np.ndarray)) else None
    if length == 0:
        raise VideoError('the video has no frames')
    count = None if length is None else -(-length // stride)
    return FrameSource('video', DEFAULT_FPS, count, lambda: islice(iter(source), 0, None, stride))


def _from_folder(folder: Path, stride: int, read_image: ImageReader) -> FrameSource:
    paths = list_images(folder)
    if not paths:
        raise VideoError(f'{folder}: the folder has no images ({", ".join(IMAGE_SUFFIXES)})')
    kept = paths[::stride]
    _check_sizes(kept)

    def read() -> Iterator[np.ndarray]:
        shape = None
        for path in kept:
            frame = read_image(path)
            if frame is None:
                raise VideoError(f'{path}: not an image that OpenCV can decode; the file may be damaged')
            check_frame(frame, shape, str(path))
            shape = frame.shape
            yield frame

    return FrameSource(folder.resolve().name, DEFAULT_FPS, len(kept), read)


def _check_sizes(paths: Sequence[Path]) -> None:
    """See by the pictures' headers, before any long work, that all can be read and have one size."""
    first: tuple[int, int] | None = None
    for path in paths:
        size = image_size(path)
        if size is None:
            raise VideoError(f'{path}: not an image that can be read; the file may be damaged')
        if first is not None and size != first:
            found = f'{size[1]}x{size[0]} after frames of {first[1]}x{first[0]} (height x width)'
            raise VideoError(f'{path}: {found}; all frames of a video must have one size: resize them')
        first = size


def _from_file(path: Path, stride: int) -> FrameSource:
    capture = cv2.VideoCapture(str(path))
    readable = capture.isOpened() and capture.grab()
    fps, count = capture.get(cv2.CAP_PROP_FPS), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    fourcc = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, 'little', signed=True)
    capture.release()
    if not readable:
        raise VideoError(_unreadable(path, fourcc))

    def read() -> Iterator[np.ndarray]:
        capture = cv2.VideoCapture(str(path))
        try:
            index = 0
            while capture.grab():
                if index % stride == 0:
                    decoded, frame = capture.retrieve()
                    if not decoded:
                        raise VideoError(f'{path}: frame {index} cannot be decoded; the file may be damaged')
                    yield frame
                index += 1
            if index < count:
                warnings.warn(f'{path}: {index} frames could be read, its header says {count}', stacklevel=2)
        finally:
            capture.release()

    fps = fps if 0 < fps < 1000 else DEFAULT_FPS  # some files carry none, or nonsense
    return FrameSource(path.stem, fps / stride, -(-count // stride) if count > 0 else None, read)


def _unreadable(path: Path, fourcc: bytes) -> str:
    name = fourcc.decode('ascii', 'ignore').strip('\0 ')  # without a codec OpenCV 4 gives zeros, 5 gives -1
    codec = f'its codec is "{name}"' if name.isprintable() and name else 'no codec was recognised'
    return (
        f'{path}: OpenCV {cv2.__version__} finds no video frames in it ({codec}). It is empty, damaged, no video, '
        'or of a codec that this OpenCV cannot decode (H.264, H.265, VP9 and MPEG-4 work as a rule; AV1 often '
        f'does not). Convert it: ffmpeg -i "{path}" -c:v libx264 -pix_fmt yuv420p out.mp4, or pass a folder of '
        'images'
    )
