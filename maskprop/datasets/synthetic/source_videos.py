"""Real videos to cut objects from: any set in YouTube-VIS format."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from maskprop.datasets.ytvis_json import decode_mask, load_ytvis


@dataclass(frozen=True)
class SourceTrack:
    """One annotated object. `segmentations` holds one entry per frame of its video, None where absent."""

    video: int
    category_id: int
    segmentations: tuple

    def is_seen_in(self, frames: list[int]) -> bool:
        return any(self.segmentations[frame] is not None for frame in frames)


@dataclass(frozen=True)
class SourceSet:
    """A set's videos, as lists of picture paths, and its tracks; a video is named by its position."""

    videos: tuple[tuple[str, ...], ...]
    sizes: tuple[tuple[int, int], ...]  # height, width
    tracks: tuple[SourceTrack, ...]
    categories: tuple[dict, ...]

    def picture(self, video: int, frame: int) -> np.ndarray:
        """(H, W, 3) uint8 BGR. Raises FileNotFoundError."""
        return _read_picture(self.videos[video][frame])

    def mask(self, track: SourceTrack, frame: int) -> np.ndarray | None:
        """(H, W) uint8 of 0 and 1, or None where the object is absent."""
        segmentation = track.segmentations[frame]
        return None if segmentation is None else decode_mask(segmentation, *self.sizes[track.video])


@lru_cache(maxsize=192)
def _read_picture(path: str) -> np.ndarray:
    picture = cv2.imread(path)
    if picture is None:
        raise FileNotFoundError(f'{path}: missing or not a picture; the set names it as a frame')
    picture.setflags(write=False)
    return picture


def find_annotation_file(source: str | Path) -> Path:
    """The one JSON of a set given by its folder; a JSON file is taken as it is.

    Raises:
        FileNotFoundError: no such file, or no JSON in `annotations/`.
        ValueError: several JSONs, and no way to tell which one is meant.
    """
    source = Path(source)
    if source.is_file():
        return source
    found = sorted((source / 'annotations').glob('*.json'))
    if not found:
        raise FileNotFoundError(
            f'{source / "annotations"}: no .json there; expected a folder in YouTube-VIS layout'
        )
    if len(found) > 1:
        raise ValueError(
            f'{source / "annotations"} holds {", ".join(path.name for path in found)}; give the path of one'
        )
    return found[0]


@lru_cache(maxsize=2)
def load_source_set(annotation_file: str) -> SourceSet:
    """Read a set laid out as ROOT/annotations/NAME.json and ROOT/JPEGImages.

    Crowd annotations are left out.

    Raises:
        AnnotationError: as `load_ytvis`.
    """
    path = Path(annotation_file)
    pictures = path.parent.parent / 'JPEGImages'
    content = load_ytvis(path)
    position = {video['id']: index for index, video in enumerate(content['videos'])}
    return SourceSet(
        videos=tuple(tuple(str(pictures / name) for name in v['file_names']) for v in content['videos']),
        sizes=tuple((v['height'], v['width']) for v in content['videos']),
        tracks=tuple(
            SourceTrack(position[a['video_id']], a['category_id'], tuple(a['segmentations']))
            for a in content['annotations'] or ()
            if not a.get('iscrowd', 0)
        ),
        categories=tuple(dict(category) for category in content['categories']),
    )


def play(rng: np.random.Generator, frames: list[int], count: int) -> list[int]:
    """`count` of `frames` in a row from a random start, turning round at either end where they are too few."""
    if len(frames) >= count:
        start = int(rng.integers(len(frames) - count + 1))
        return frames[start : start + count]
    there_and_back = frames + frames[-2:0:-1]
    start = int(rng.integers(len(there_and_back)))
    return [there_and_back[(start + step) % len(there_and_back)] for step in range(count)]
