"""Frames of video files, or pictures of a folder, as files that annotation files can name."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from maskprop.apis.frames import VideoError, open_frames
from maskprop.datasets.image_folders import list_images, natural_key
from maskprop.utils.files import name_in_errors, unique_names

VIDEO_SUFFIXES = ('.mp4', '.mov', '.avi', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg', '.ts', '.wmv')


def find_sources(path: str | Path) -> list[Path]:
    """The videos to take frames of: a file; the video files of a folder; or folders of pictures.

    Raises:
        FileNotFoundError: no such file or folder.
        VideoError: a folder that holds neither.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f'{path}: no such video file or folder')
    if path.is_file() or list_images(path):
        return [path]
    inside = [entry for entry in sorted(path.iterdir(), key=natural_key) if not entry.name.startswith('.')]
    videos = [entry for entry in inside if entry.suffix.lower() in VIDEO_SUFFIXES]
    folders = [entry for entry in inside if entry.is_dir() and list_images(entry)]
    if not videos and not folders:
        raise VideoError(f'{path}: no video files ({", ".join(VIDEO_SUFFIXES)}) and no pictures in it')
    return videos + folders


def extract_frames(
    source: str | Path,
    out: str | Path,
    stride: int = 1,
    frame_range: tuple[int, int | None] = (0, None),
    suffix: str = '.jpg',
    overwrite: bool = False,
    progress: Callable[[str, int], None] | None = None,
) -> dict[str, int]:
    """Writes OUT/VIDEO/00000.jpg and so on, upright as the file's metadata say, for each video of a source.

    A frame's name is its number in the video, from 0, so that with a stride of 5 they are 00000, 00005, ... The
    pictures of a folder are numbered in natural order. A video's folder appears when it is whole.

    Args:
        source: see :func:`find_sources`.
        out: gets a folder for each video.
        stride: take frames 0, s, 2s, ...
        frame_range: of these take the ones from the first number to before the second.
        suffix: '.jpg' (quality 95) or '.png'.
        overwrite: replace a video's folder that is there.
        progress: called with the video's name and its frames, when it is done.

    Returns:
        Number of frames by folder name.

    Raises:
        FileNotFoundError: no such file or folder.
        FileExistsError: a video's folder is there, and ``overwrite`` is off.
        VideoError: a video that can't be decoded, a bad stride or range, or no frame in the range.
        OSError: a frame can't be written.
    """
    start, stop = frame_range
    if start < 0 or (stop is not None and stop <= start):
        raise VideoError(f'range: found {start} to {stop}; expected numbers of frames, 0 <= start < stop')
    sources, out = find_sources(source), Path(out)
    names = unique_names([path.stem if path.is_file() else path.resolve().name for path in sources])
    for name in names:
        if (out / name).exists() and not overwrite:
            raise FileExistsError(f'{out / name} exists: pass --overwrite, or give another folder')
    opened = [open_frames(path, stride, _read_upright) for path in sources]  # errors before any work
    counts = {}
    for name, path, frames in zip(names, sources, opened, strict=True):
        counts[name] = _write(out, name, _within(iter(frames), stride, start, stop), suffix, path)
        if progress:
            progress(name, counts[name])
    return counts


def _within(
    frames: Iterator[np.ndarray], stride: int, start: int, stop: int | None
) -> Iterator[tuple[int, np.ndarray]]:
    for index, frame in enumerate(frames):
        number = index * stride
        if stop is not None and number >= stop:
            return
        if number >= start:
            yield number, frame


def _write(out: Path, name: str, frames: Iterator[tuple[int, np.ndarray]], suffix: str, source: Path) -> int:
    from maskprop.visualization.files import write_image  # imports torch

    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='.', dir=out) as temporary, name_in_errors(out, temporary):
        folder, count = Path(temporary) / name, 0
        folder.mkdir()
        for number, frame in frames:
            write_image(folder / f'{number:05d}{suffix}', frame)
            count += 1
        if not count:
            raise VideoError(f'{source}: no frame in the range')
        if (out / name).exists():
            shutil.rmtree(out / name)
        os.replace(folder, out / name)
    return count


def _read_upright(path: Path) -> np.ndarray | None:
    """A picture turned as its EXIF data say."""
    return cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
