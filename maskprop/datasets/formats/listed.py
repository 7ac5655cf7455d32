"""The set that results are of: its videos by name, its classes by name, its frames by number."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maskprop.datasets.formats.sets import categories_of
from maskprop.datasets.formats.tracks import VideoInfo, video_names
from maskprop.datasets.json_files import AnnotationError


class Detection(NamedTuple):
    """An object that another program found in a frame; ``track`` is its number there, None without tracking."""

    video_id: int
    frame: int
    category_id: int
    score: float
    mask: dict
    track: int | None


class ListedSet:
    """A loaded annotation file, whose annotations may be missing.

    Attributes:
        videos: by name: (id, :class:`VideoInfo`).
        categories: ids by name.
        first_number: by video id: the number of its first frame, as detections in COCO's format count frames
            (docs/given_detections.md).
    """

    def __init__(self, gt: Mapping[str, Any], source: str | Path) -> None:
        self.source = str(source)
        names = video_names(
            [video['file_names'] for video in gt['videos']], [video['id'] for video in gt['videos']]
        )
        self.videos: dict[str, tuple[int, VideoInfo]] = {}
        self.first_number: dict[int, int] = {}
        number = 1
        for name, video in zip(names, gt['videos'], strict=True):
            info = VideoInfo(name, video['height'], video['width'], video['file_names'])
            self.videos[name] = video['id'], info
            self.first_number[video['id']] = number
            number += len(video['file_names'])
        self.categories = {category.name: category.id for category in categories_of(gt)}

    def video(self, name: str, where: str) -> tuple[int, VideoInfo]:
        """The video of a name, or the only one.

        Raises:
            AnnotationError: there is none.
        """
        for known, found in self.videos.items():
            if known == name or known.endswith(f'/{name}'):
                return found
        if len(self.videos) == 1:
            return next(iter(self.videos.values()))
        raise AnnotationError(
            f'{where}: {self.source} has no video {name}; its first is {next(iter(self.videos))}'
        )

    def frames_named(self, stem: str) -> list[tuple[int, VideoInfo, int]]:
        """Frames of a name without folder and suffix: (video id, video, index)."""
        return self._named.get(stem, [])

    @functools.cached_property
    def _named(self) -> dict[str, list[tuple[int, VideoInfo, int]]]:
        found: dict[str, list[tuple[int, VideoInfo, int]]] = {}
        for video_id, info in self.videos.values():
            for index, stem in enumerate(info.stems()):
                found.setdefault(stem, []).append((video_id, info, index))
        return found

    def category(self, name: str, where: str) -> int:
        """The id of a class.

        Raises:
            AnnotationError: the set has none of this name.
        """
        if not isinstance(name, str) or name not in self.categories:
            listed = ', '.join(list(self.categories)[:5])
            raise AnnotationError(
                f'{where}: the class {name!r} is not in {self.source} ({listed}, ...); give --classes with the '
                'names that the set has, null for those to leave out'
            )
        return self.categories[name]

    def records(self, detections: Iterable[Detection]) -> list[dict]:
        """Records of a results file: tracks where every detection has one, else detections of single frames.

        A track has the mean score of its detections, and their most frequent class.
        """
        detections = list(detections)
        if not detections or any(found.track is None for found in detections):
            return [
                dict(
                    image_id=self.first_number[found.video_id] + found.frame,
                    category_id=found.category_id,
                    score=found.score,
                    segmentation=found.mask,
                )
                for found in detections
            ]
        lengths = {video_id: len(info.file_names) for video_id, info in self.videos.values()}
        tracks: dict[tuple[int, int], list[Detection]] = {}
        for found in detections:
            if found.track is not None:
                tracks.setdefault((found.video_id, found.track), []).append(found)
        records = []
        for (video_id, _), parts in sorted(tracks.items()):
            masks: list[dict | None] = [None] * lengths[video_id]
            for found in parts:
                masks[found.frame] = found.mask
            classes = [found.category_id for found in parts]
            score = float(np.mean([found.score for found in parts]))
            category = max(dict.fromkeys(classes), key=classes.count)
            records.append(dict(video_id=video_id, category_id=category, score=score, segmentations=masks))
        return records
