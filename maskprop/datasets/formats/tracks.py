"""What every format is read into and written from: videos, and the objects of their frames."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from maskprop.utils.files import unique_names


@dataclass(frozen=True)
class VideoInfo:
    """A video.

    Attributes:
        name: unique in its set; folders inside it are parted by slashes.
        height, width: of its frames, in pixels.
        file_names: of its frames in order, relative to the image folder.
    """

    name: str
    height: int
    width: int
    file_names: Sequence[str]

    def stems(self) -> list[str]:
        """Names of the frames without folder and suffix."""
        return [PurePosixPath(name).stem for name in self.file_names]


class FrameObject(NamedTuple):
    """An object in a frame.

    Attributes:
        id: its number in the video, from 1.
        category: name of its class.
        score: from 0 to 1; None for annotations.
        mask: compressed RLE of the video's size, ``{'size': [h, w], 'counts': str or bytes}``.
        crowd: whether it is a group that is neither learnt nor counted as missed.
    """

    id: int
    category: str
    score: float | None
    mask: dict[str, Any]
    crowd: bool = False


class Category(NamedTuple):
    """A class as a file lists it."""

    id: int
    name: str


#: A video and its frames in order: the objects of each frame. The frames may come from a generator.
VideoFrames = tuple[VideoInfo, Iterable[Sequence[FrameObject]]]


@dataclass
class Track:
    """An object of a video: the mask of each frame in which it is visible, by the frame's index."""

    category: str
    masks: dict[int, dict[str, Any]]
    crowd: bool = False


@dataclass
class ReadVideo:
    """A video as a reader gives it.

    Attributes:
        info: of all its frames.
        tracks: its objects.
        annotated: indices of the frames of which the source says what is in them, if only that nothing is.
        where: names its part of the source in messages.
    """

    info: VideoInfo
    tracks: list[Track]
    annotated: set[int]
    where: str


@dataclass
class Reading:
    """What a reader gives.

    Attributes:
        videos: read one by one.
        count: how many they are.
        categories: as the source numbers them; None: the classes of the tracks, by name.
    """

    videos: Iterator[ReadVideo]
    count: int
    categories: Sequence[Category] | None = None


@dataclass(frozen=True)
class ReadOptions:
    """What a user may say of a source.

    Attributes:
        images: the folder that ``file_names`` are relative to: a folder for each video, or one video's pictures.
        classes: class of each object where the format has none: {video: {object: class}} or {video: class}.
        binary: in pictures of masks, all above 0 is one object.
        by_colour: in indexed pictures of masks, objects are told apart by colours, not by values.
    """

    images: Path | None = None
    classes: Mapping[str, Any] | None = None
    binary: bool = False
    by_colour: bool | None = None


class TrackBuilder:
    """Collects the masks of one video into tracks. What odd sources mean is decided here, for all formats.

    - Several masks of one key, class and frame are pieces of one object: their union is taken.
    - A key with two classes in one frame stands for two objects (ids that start anew in each class).
    - A key whose class changes between frames is one object of its most frequent class, the first of equals; that
      is warned of.

    Args:
        where: names the video in messages.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self._found: dict[Any, dict[int, list[tuple[str, dict]]]] = {}
        self._crowds: set[Any] = set()

    def add(self, key: Any, frame: int, category: str, mask: dict[str, Any], crowd: bool = False) -> None:
        """Takes a mask: compressed RLE of the video's size. Empty ones are left out. Keys can be sorted."""
        if coco_mask.area(mask) == 0:
            return
        self._found.setdefault(key, {}).setdefault(frame, []).append((category, mask))
        if crowd:
            self._crowds.add(key)

    def tracks(self) -> list[Track]:
        """The tracks, by key."""
        tracks, changed = [], []
        for key, frames in sorted(self._found.items()):
            parts = [frames]
            classes = Counter(category for found in frames.values() for category, _ in found)
            if any(len({category for category, _ in found}) > 1 for found in frames.values()):
                parts = [_of_class(frames, category) for category in classes]
            elif len(classes) > 1:
                changed.append((key, classes))
            for part in parts:
                counts = Counter(category for found in part.values() for category, _ in found)
                masks = {frame: _union([mask for _, mask in found]) for frame, found in sorted(part.items())}
                tracks.append(Track(counts.most_common(1)[0][0], masks, key in self._crowds))
        if changed:
            key, classes = changed[0]
            found = ', '.join(f'{name} in {count} frames' for name, count in classes.most_common())
            warnings.warn(
                f'{self.where}: the class of {len(changed)} objects changes, the first: {key} is {found}; the '
                'most frequent one is taken',
                stacklevel=3,
            )
        return tracks


def track_lists(track: Track, length: int) -> dict[str, list]:
    """Lists of a YouTube-VIS annotation, one entry a frame: ``segmentations``, ``bboxes`` and ``areas``."""
    lists: dict[str, list] = dict(segmentations=[None] * length, bboxes=[None] * length, areas=[None] * length)
    for frame, mask in track.masks.items():
        lists['segmentations'][frame] = mask
        lists['bboxes'][frame] = [float(value) for value in coco_mask.toBbox(mask)]
        lists['areas'][frame] = int(coco_mask.area(mask))
    return lists


def encode(mask: Any) -> dict[str, Any]:
    """Compressed RLE of an (H, W) bool or uint8 array, its counts as a string."""
    return plain(coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)))


def plain(rle: Mapping[str, Any]) -> dict[str, Any]:
    """Compressed RLE that JSON can hold."""
    counts = rle['counts']
    return dict(size=list(rle['size']), counts=counts.decode('ascii') if isinstance(counts, bytes) else counts)


def video_names(file_names: Sequence[Sequence[str]], ids: Sequence[int]) -> list[str]:
    """A name for each video: the folder of its frames where it has one of its own, else its id; all different."""
    folders = [{PurePosixPath(name).parent.as_posix() for name in names} for names in file_names]
    named = [next(iter(found)) if len(found) == 1 else '.' for found in folders]
    shared = Counter(named)
    names = [f'video_{i}' if n == '.' or shared[n] > 1 else n for n, i in zip(named, ids, strict=True)]
    safe = [all(part not in ('', '..') for part in PurePosixPath(name).parts) and name[0] != '/' for name in names]
    if len({name.lower() for name in names}) == len(names) and all(safe):
        return names
    return unique_names(names)


def _of_class(frames: Mapping[int, list], category: str) -> dict[int, list]:
    kept = {frame: [pair for pair in found if pair[0] == category] for frame, found in frames.items()}
    return {frame: found for frame, found in kept.items() if found}


def _union(masks: list[dict]) -> dict[str, Any]:
    return plain(masks[0] if len(masks) == 1 else coco_mask.merge(masks))
