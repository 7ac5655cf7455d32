"""Which videos a command line means, and where their files go; checked before torch and the model are loaded."""

from __future__ import annotations

import glob
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from maskprop.apis.captures import camera_index, is_address, video_name
from maskprop.apis.frames import FrameSource, VideoError, open_frames
from maskprop.apis.saved_formats import check_saved
from maskprop.datasets.image_folders import IMAGE_SUFFIXES, natural_key
from maskprop.utils.files import check_writable, unique_names
from maskprop.utils.numeric import MOST_PIXELS

RESULTS_NAME, VIDEO_NAME = 'results.json', 'overlay.mp4'


@dataclass(frozen=True)
class VideoJob:
    """A video that was opened, and the folder of its files."""

    source: FrameSource
    folder: Path


def plan_videos(
    arguments: Sequence[str],
    out_dir: str | Path,
    frame_stride: int = 1,
    write_video: bool = True,
    save: Sequence[str] = (),
    upscale: int = 1,
    on_error: Callable[[str, Exception], None] | None = None,
) -> list[VideoJob]:
    """Open every video and see that its files can be written.

    Args:
        arguments: video files, folders of images, cameras' indices, addresses, or patterns such as
            ``'clips/*.mp4'`` (natural order; ``**`` for folders in folders).
        out_dir: gets the files of a single video; of several, or of a pattern, each has a folder of its own in it,
            called as the video, with a number where two are called alike.
        frame_stride: take frames 0, s, 2s, ... of each.
        write_video: whether overlays are to be written.
        save: other formats to be written, see :mod:`maskprop.apis.saved_formats`.
        upscale: as of :func:`check_scale`.
        on_error: of several videos, called with the name and the error of each one that cannot be run, which is
            left out; None: the first such error is raised.

    Raises:
        FileNotFoundError: no such file or folder, or a pattern that none fits.
        VideoError: as of :func:`~maskprop.apis.frames.open_frames` and :func:`check_scale`; several single
            pictures.
        OSError: as :func:`~maskprop.utils.files.check_writable`.
    """
    sources = [source for argument in arguments for source in _expand(argument)]
    sources = list(dict.fromkeys(sources))
    single = len(arguments) == 1 and sources == list(arguments)
    pictures = [s for s in sources if isinstance(s, str) and Path(s).suffix.lower() in IMAGE_SUFFIXES]
    if len(pictures) > 1:
        raise VideoError(
            f'{pictures[0]}, {pictures[1]}, ...: are single pictures; to take them as the frames of one video, '
            f'name their folder: {Path(pictures[0]).parent}'
        )
    folders = [Path(out_dir)]
    if not single:
        check_writable(out_dir, '--out', folder=True)
        folders = [Path(out_dir) / name for name in unique_names(map(video_name, sources))]
    root = Path(out_dir).resolve()
    read = [source for source in sources if Path(source).resolve().is_relative_to(root)]  # others cannot be lost
    if single:  # before it is opened, which may take a while
        check_outputs(out_dir, write_video, save, sources=read)
    jobs = []
    for source, folder in zip(sources, folders, strict=True):
        try:
            opened = open_frames(source, frame_stride)
            check_scale(opened, upscale if write_video else 1)
            check_outputs(folder, write_video, save, sources=read)
        except (VideoError, OSError) as error:
            if single or on_error is None:
                raise
            on_error(folder.name, error)
        else:
            jobs.append(VideoJob(opened, folder))
    return jobs


def check_outputs(
    folder: str | Path,
    write_video: bool = True,
    save: Sequence[str] = (),
    option: str = '--out',
    sources: Sequence[str | Path] = (),
) -> None:
    """See that a video's files can be written into a folder.

    Args:
        sources: the videos that are read; none of them may be replaced.

    Raises:
        OSError: one can't; names ``option``.
        ValueError: an unknown format to save.
    """
    for name in (RESULTS_NAME, VIDEO_NAME)[: 1 + write_video]:
        check_writable(Path(folder) / name, option, sources=sources)
    check_saved(folder, save, option, sources)


def check_scale(source: FrameSource, upscale: int | None) -> None:
    """See that enlarged frames have no more than ``MOST_PIXELS`` pixels, where the source says its size.

    Raises:
        VideoError: they have more.
    """
    if source.size is None or upscale in (None, 1):
        return
    height, width = source.size
    if height * width * upscale**2 > MOST_PIXELS:
        most = max(math.isqrt(MOST_PIXELS // (height * width)), 1)
        raise VideoError(
            f'--scale {upscale}: frames of {source.name} are {width}x{height}, so the overlay would have '
            f'{width * upscale}x{height * upscale}; expected --scale {most} at most'
        )


def _expand(argument: str) -> list[str]:
    """The files and folders that a pattern fits; anything else as it is."""
    if camera_index(argument) is not None or is_address(argument) or Path(argument).exists():
        return [argument]
    if not glob.has_magic(argument):
        raise FileNotFoundError(f'{argument}: no such video file or folder of images')
    found = sorted((Path(path) for path in glob.glob(argument, recursive=True)), key=_path_key)
    if not found:
        raise FileNotFoundError(f'{argument}: no file or folder fits this pattern')
    return [str(path) for path in found]


def _path_key(path: Path) -> list:
    return [natural_key(Path(part)) for part in path.parts]
