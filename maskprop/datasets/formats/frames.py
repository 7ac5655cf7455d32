"""Names and sizes of the frames of a source's videos: from a folder of images, or as they are made up."""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from maskprop.datasets.formats.pictures import frame_size
from maskprop.datasets.formats.tracks import VideoInfo
from maskprop.datasets.image_folders import IMAGE_SUFFIXES, list_images, natural_key
from maskprop.datasets.json_files import AnnotationError

_LAST_NUMBER = re.compile(r'(\d+)\D*$')


def frame_numbers(file_names: Sequence[str]) -> list[int] | None:
    """The last number in the name of each frame; None if one has none, or two have the same."""
    found = [_LAST_NUMBER.search(PurePosixPath(name).stem) for name in file_names]
    numbers = [int(match[1]) for match in found if match]
    return numbers if len(set(numbers)) == len(file_names) else None


class ImageFolder:
    """The folder that ``file_names`` are relative to.

    It has a folder for each video, or the pictures of one video.

    Raises:
        AnnotationError: no such folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        if not root.is_dir():
            raise AnnotationError(f'{root}: no such folder')
        self._used: set[str] = set()

    @functools.cached_property
    def videos(self) -> list[str]:
        """Its videos: the folders that hold pictures; ``'.'`` where it holds them itself."""
        if list_images(self.root):
            return ['.']
        found = (path for path in self.root.rglob('*') if path.is_dir() and list_images(path))
        names = [path.relative_to(self.root) for path in sorted(found, key=_folder_key)]
        names = [name for name in names if not any(part[0] == '.' for part in name.parts)]
        if not names:
            suffixes = ', '.join(IMAGE_SUFFIXES)
            raise AnnotationError(f'{self.root}: no pictures in it or its folders ({suffixes})')
        return [name.as_posix() for name in names]

    def find(self, video: str, where: str) -> str:
        """The folder of a video: the one of its name, or the only one there is.

        Raises:
            AnnotationError: there is none, or there are several of which none has its name.
        """
        folders, plain = self.videos, PurePosixPath(video).stem
        for name in folders:
            if name == video or name.endswith(f'/{video}') or video.endswith(f'/{name}'):
                return name
        fitting = [
            name for name in folders if name.split('/')[0] == video or name == plain
        ]  # VIDEO/img1, VIDEO.mp4
        if len(fitting) == 1:
            return fitting[0]
        if len(folders) == 1 and folders[0] not in self._used:
            return folders[0]
        raise AnnotationError(
            f'{where}: {self.root} has no folder {video}, but {len(folders)} others, as {folders[0]}; name the '
            "folder of the video's frames so"
        )

    def warn_of_others(self) -> None:
        """Warns of videos that were not asked for."""
        others = [name for name in self.videos if name not in self._used]
        if others:
            warnings.warn(
                f'{self.root}: {len(others)} folders have frames but no annotations, the first: {others[0]}; they '
                'are left out',
                stacklevel=3,
            )

    def frames(self, folder: str, name: str | None = None) -> VideoInfo:
        """The video in one of the folders: its pictures in natural order, and their size.

        Raises:
            AnnotationError: no pictures, one that cannot be read, of another size or turned by EXIF.
        """
        if folder in self._used:
            raise AnnotationError(
                f'{self.root / folder}: two videos of the annotations fit it; name folders of frames as videos'
            )
        self._used.add(folder)
        paths = list_images(self.root / folder)
        if not paths:
            raise AnnotationError(f'{self.root / folder}: no pictures in it ({", ".join(IMAGE_SUFFIXES)})')
        width, height = frame_size(paths[0])
        for path in paths:
            if frame_size(path) != (width, height):
                raise AnnotationError(f'{path}: another size than {paths[0].name}, which is {width}x{height}')
        names = [path.relative_to(self.root).as_posix() for path in paths]
        return VideoInfo(self.root.resolve().name if folder == '.' else name or folder, height, width, names)


def needed_images(root: Path | None, source: object) -> ImageFolder:
    """The folder of images, for formats that don't name their frames.

    Raises:
        AnnotationError: none was given.
    """
    if root is None:
        raise AnnotationError(
            f'{source}: this format does not name the files of its frames; give their folder by --images '
            '(frames of a video file: maskprop extract VIDEO FOLDER)'
        )
    return ImageFolder(root)


def check_size(info: VideoInfo, height: int, width: int, where: str) -> None:
    """Raises AnnotationError unless annotations of this size fit the frames."""
    if (height, width) != (info.height, info.width):
        found = f'{width}x{height}, but the frames are {info.width}x{info.height}'
        raise AnnotationError(f'{where}: {found} (width x height); give the frames that were annotated')


def place_by_name(info: VideoInfo, names: Sequence[str], where: str, root: str) -> list[int]:
    """The index of each named frame: by whole name, by name without folder, or without suffix.

    Where none fits so, the last number in the names counts, if the video's count from 0: CVAT's frame_000012 is
    00012.jpg of maskprop extract.

    Raises:
        AnnotationError: a frame is not among the video's, or two of the video's have its name.
    """
    places: dict[str, int | None] = {}
    for index, name in enumerate(info.file_names):
        path = PurePosixPath(name)
        for form in {name, path.name, path.stem}:
            places[form] = None if form in places else index
    paths = [PurePosixPath(name.replace('\\', '/')) for name in names]
    found = [next((places[f] for f in (str(p), p.name, p.stem) if f in places), None) for p in paths]
    if all(index is None for index in found):
        by_number, given = frame_numbers(info.file_names) or [], frame_numbers(names) or []
        if 0 in by_number and given and set(given) <= set(by_number):
            return [by_number.index(number) for number in given]
    known = [index for index in found if index is not None]
    if len(known) < len(found):
        raise AnnotationError(f'{where}: {names[found.index(None)]}: {root} has no frame of that name')
    return known


def place_by_number(
    info: VideoInfo, numbers: Sequence[int], where: str, first: int = 0, step: int = 1, count: int | None = None
) -> dict[int, int]:
    """The index of each numbered frame among a video's pictures.

    Where the source says how many frames it has and as many pictures are there, picture k is frame
    ``first + k * step``. Else the last number in a picture's name counts.

    Raises:
        AnnotationError: a frame has no picture, or the pictures cannot be told apart by numbers.
    """
    if count is not None and count == len(info.file_names):
        places = {first + index * step: index for index in range(count)}
    else:
        named = frame_numbers(info.file_names)
        if named is None:
            raise AnnotationError(
                f'{where}: {len(info.file_names)} pictures, whose names have no numbers of their own, for '
                f'{"numbered" if count is None else count} frames; name the pictures by frame: 00000.jpg'
            )
        places = {number: index for index, number in enumerate(named)}
    missing = sorted(set(numbers) - set(places))
    if missing:
        raise AnnotationError(
            f'{where}: frame {missing[0]} is annotated, but there is no picture of that number among '
            f'{info.file_names[0]} ... {info.file_names[-1]}; give all frames of the video'
        )
    return places


def in_natural_order(names: Iterator[str] | Sequence[str]) -> list[str]:
    """Names of files sorted as people count, folder by folder."""
    return sorted(names, key=lambda name: _folder_key(Path(name)))


def _folder_key(path: Path) -> list:
    return [natural_key(Path(part)) for part in path.parts]
