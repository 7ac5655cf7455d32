"""Which videos a command line means, and where their files go; checked before torch and the model are loaded."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maskprop.apis.captures import camera_index, is_address
from maskprop.apis.frames import FrameSource, VideoError, open_frames
from maskprop.apis.saved_formats import check_saved
from maskprop.datasets.image_folders import IMAGE_SUFFIXES, natural_key
from maskprop.utils.files import check_writable, unique_names

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

    Raises:
        FileNotFoundError: no such file or folder, or a pattern that none fits.
        VideoError: as of :func:`~maskprop.apis.frames.open_frames`; several single pictures.
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
    if single:  # before a video is opened, which may take a while
        check_outputs(out_dir, write_video, save)
    else:
        check_writable(out_dir, '--out', folder=True)
    opened = [open_frames(source, frame_stride) for source in sources]
    if single:
        return [VideoJob(opened[0], Path(out_dir))]
    jobs = [
        VideoJob(source, Path(out_dir) / name)
        for source, name in zip(opened, unique_names(source.name for source in opened), strict=True)
    ]
    for job in jobs:
        check_outputs(job.folder, write_video, save)
    return jobs


def check_outputs(
    folder: str | Path, write_video: bool = True, save: Sequence[str] = (), option: str = '--out'
) -> None:
    """See that a video's files can be written into a folder.

    Raises:
        OSError: one can't; names ``option``.
        ValueError: an unknown format to save.
    """
    for name in (RESULTS_NAME, VIDEO_NAME)[: 1 + write_video]:
        check_writable(Path(folder) / name, option)
    check_saved(folder, save, option)


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
