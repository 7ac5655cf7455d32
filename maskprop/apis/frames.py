"""Frames from a video file, a folder of images, a camera, an address or arrays, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np

from maskprop.apis.captures import Capture, VideoError, camera_index, is_address, video_name
from maskprop.datasets.image_folders import IMAGE_SUFFIXES, image_size, list_images

DEFAULT_FPS = 6.0  # of folders and arrays, which have none; YouTube-VIS lists six frames a second
VIDEO_SUFFIXES = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm')  # named in a hint

ImageReader = Callable[[Path], 'np.ndarray | None']


@dataclass(frozen=True)
class FrameSource:
    """Frames of one video; iterating reads them one by one and keeps none.

    Attributes:
        name: file or folder name without suffix; ``camera0``.
        fps: frames a second of what is yielded (the stride taken into account).
        num_frames: how many there will be, None where that isn't known before the end; for a video file it is what
            the file's header says, which may be off.
        live: a camera or stream, which goes on until it is stopped.
        read_image: reads a picture of a folder, see :func:`open_frames`; None: as ``mmcv.imread``.
        file_names: of a folder's pictures that are yielded; empty: it is no folder.
        size: (height, width) of the frames; None where it isn't known before the first.
    """

    name: str
    fps: float
    num_frames: int | None
    _open: Callable[[ImageReader], Iterator[np.ndarray]]
    live: bool = False
    read_image: ImageReader | None = None
    file_names: tuple[str, ...] = ()
    size: tuple[int, int] | None = None

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yields (h, w, 3) uint8 BGR arrays."""
        return self._open(self.read_image or _imread)


def open_frames(
    source: str | Path | int | Iterable[np.ndarray] | FrameSource,
    frame_stride: int = 1,
    read_image: ImageReader | None = None,
) -> FrameSource:
    """Opens a video, so that errors show before any long work.

    Args:
        source: a video file, a folder of images (in natural order: 2.jpg before 10.jpg), the index of a camera,
            the address of a stream or file (``rtsp://``, ``http://``), or arrays. One that is open already keeps
            its stride.
        frame_stride: keep frames 0, s, 2s, ...
        read_image: reads an image of a folder into a (h, w, 3) uint8 BGR array, None if it can't; None: as
            ``mmcv.imread``.

    Raises:
        FileNotFoundError: no such file or folder.
        VideoError: a bad stride, a folder without images, no frames at all, a file that OpenCV can't decode, a
            camera or address that gives no picture.
    """
    if isinstance(frame_stride, bool) or not isinstance(frame_stride, int) or frame_stride < 1:
        raise VideoError(f'frame_stride must be a whole number of at least 1, got {frame_stride!r}')
    if isinstance(source, FrameSource):
        return replace(source, read_image=read_image or source.read_image)
    index = camera_index(source)
    if index is not None or is_address(source):
        return _from_capture(cast('str | Path', source) if index is None else index, frame_stride)
    if not isinstance(source, (str, Path)):
        return _from_arrays(cast('Iterable[np.ndarray]', source), frame_stride)
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f'{path}: no such video file or folder of images')
    opened = _from_folder(path, frame_stride) if path.is_dir() else _from_capture(path, frame_stride)
    return replace(opened, read_image=read_image)


def _imread(path: Path) -> np.ndarray | None:
    import mmcv  # not at the top: it brings torch, and missing videos are told before

    return mmcv.imread(path)


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
    return FrameSource('video', DEFAULT_FPS, count, lambda _: islice(iter(source), 0, None, stride))


def _from_folder(folder: Path, stride: int) -> FrameSource:
    paths = list_images(folder)
    if not paths:
        videos = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES)
        hint = f', but videos such as {videos[0]}: name those' if videos else ''
        raise VideoError(f'{folder}: the folder has no images ({", ".join(IMAGE_SUFFIXES)}){hint}')
    kept = paths[::stride]
    size = _check_sizes(kept)

    def read(read_image: ImageReader) -> Iterator[np.ndarray]:
        shape = None
        for path in kept:
            frame = read_image(path)
            if frame is None:
                raise VideoError(f'{path}: not an image that OpenCV can decode; the file may be damaged')
            check_frame(frame, shape, str(path))
            shape = frame.shape
            yield frame

    names = tuple(path.name for path in kept)
    return FrameSource(video_name(folder), DEFAULT_FPS, len(kept), read, file_names=names, size=size)


def _check_sizes(paths: Sequence[Path]) -> tuple[int, int] | None:
    """See by the pictures' headers, before any long work, that all can be read and have one size: (h, w)."""
    first: tuple[int, int] | None = None
    for path in paths:
        size = image_size(path)
        if size is None:
            raise VideoError(f'{path}: not an image that can be read: damaged, or of more than 179 million pixels')
        if first is not None and size != first:
            found = f'{size[1]}x{size[0]} after frames of {first[1]}x{first[0]} (height x width)'
            raise VideoError(f'{path}: {found}; all frames of a video must have one size: resize them')
        first = size
    return None if first is None else (first[1], first[0])


def _from_capture(source: str | Path | int, stride: int) -> FrameSource:
    capture = Capture(source)
    count = None if capture.num_frames is None else -(-capture.num_frames // stride)
    fps = (capture.fps or DEFAULT_FPS) / stride
    return FrameSource(capture.name, fps, count, lambda _: capture.read(stride), capture.live, size=capture.size)
