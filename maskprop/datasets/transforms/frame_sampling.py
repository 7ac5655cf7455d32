"""Pairs of frames for training, with or without support frames."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Literal

import numpy as np
from mmdet.datasets.transforms import BaseFrameSample
from mmdet.registry import TRANSFORMS


@TRANSFORMS.register_module()
class SampleFramePair(BaseFrameSample):
    """The key frame t and a second one t + delta, in this order (paper, Sections 4.1 and 5.1).

    delta is uniform over the gaps from -max_gap to max_gap that exist, without 0. A video of one frame gives that
    frame twice.

    With ``num_support`` K the support frames of t follow (K of them), then those of t + delta: [t, t + delta, K of
    t, K of t + delta]. They lie before and after their frame in turn, K // 2 at least on each side, and are drawn
    uniformly from the frames of that side within ``max_support_gap``, none twice if there are enough. If no frame
    of that side is that near, the nearest one is taken; if there is none at all, the frame itself.

    Takes a video's dict of ``images``, ``video_id``, ``video_length`` and, optionally, ``key_frame_id`` (a random
    one without it); gives the images' dicts as lists, and ``key_frame_flags`` [True, False, False, ...].

    Args:
        max_gap: Largest gap; None: any frame of the video. If no frame is that near, the nearest one is taken.
        gap_unit: 'listed': gaps are counted in the annotation file's frames (after ``frame_stride``); 'source': in
            frames of the source video, by the last number in each file name (00005.jpg is frame 5).
        with_objects: The second frame is one with objects, where such a frame is within the gap.
        num_support: Support frames of each of the two frames, for a model with an ``aggregator`` of the same
            ``num_support``.
        max_support_gap: Largest gap between a frame and its support frames, in the same unit.
        collect_video_keys: Keys of the video to copy to its frames.

    Raises:
        ValueError: With 'source', if a file name has no number, or two names the same.
    """

    def __init__(
        self,
        max_gap: int | None = 25,
        gap_unit: Literal['listed', 'source'] = 'listed',
        with_objects: bool = False,
        num_support: int = 0,
        max_support_gap: int = 3,
        collect_video_keys: tuple[str, ...] = ('video_id', 'video_length'),
    ) -> None:
        super().__init__(list(collect_video_keys))
        if max_gap is not None and max_gap < 1:
            raise ValueError(f'max_gap: found {max_gap}; expected 1 or more, or None for no limit')
        if gap_unit not in ('listed', 'source'):
            raise ValueError(f"gap_unit: found {gap_unit!r}; expected 'listed' or 'source'")
        if num_support < 0:
            raise ValueError(f'num_support: found {num_support}; expected 0 or more')
        if max_support_gap < 1:
            raise ValueError(f'max_support_gap: found {max_support_gap}; expected 1 or more')
        self.max_gap = max_gap
        self.gap_unit = gap_unit
        self.with_objects = with_objects
        self.num_support = num_support
        self.max_support_gap = max_support_gap

    def transform(self, video: dict) -> dict[str, list]:
        key = video.get('key_frame_id')
        if key is None:
            key = np.random.randint(len(video['images']))
        pair = [key, self._second_frame(video, key)]
        frames = [*pair, *(near for frame in pair for near in self._support_frames(video, frame))]
        results = self.prepare_data(video, frames)
        results['key_frame_flags'] = [True, *[False] * (len(frames) - 1)]
        return results

    def _second_frame(self, video: dict, key: int) -> int:
        images = video['images']
        if len(images) == 1:
            return key
        times = self._times(video)
        gaps = times - times[key]  # [T]
        within = gaps != 0
        if self.max_gap is not None:
            within &= np.abs(gaps) <= self.max_gap
        if self.with_objects:
            filled = within & np.array([has_objects(image) for image in images])
            within = filled if filled.any() else within
        if not within.any():  # not found before this frame is drawn, which may be after hours
            return int(np.where(gaps == 0, np.inf, np.abs(gaps)).argmin())
        return int(np.random.choice(np.flatnonzero(within)))

    def _support_frames(self, video: dict, frame: int) -> list[int]:
        """K support frames, the 1st, 3rd, ... before and the 2nd, 4th, ... after the frame."""
        if not self.num_support:
            return []
        times = self._times(video)
        gaps = times - times[frame]
        chosen = [frame] * self.num_support
        for start, side in ((0, gaps < 0), (1, gaps > 0)):
            places = range(start, self.num_support, 2)
            distances = np.where(side, np.abs(gaps), np.inf)
            if not places or not side.any():
                continue
            near = np.flatnonzero(distances <= self.max_support_gap)
            if not len(near):
                near = np.array([distances.argmin()])
            drawn = np.random.choice(near, len(places), replace=len(near) < len(places))
            for place, index in zip(places, drawn.tolist(), strict=True):
                chosen[place] = index
        return chosen

    def _times(self, video: dict) -> np.ndarray:
        """(T,) int64 frame numbers in the unit of the gap."""
        images = video['images']
        if self.gap_unit == 'listed':
            return np.arange(len(images))
        numbers = [re.findall(r'\d+', PurePosixPath(image['file_name']).stem) for image in images]
        for image, found in zip(images, numbers, strict=True):
            if not found:
                raise ValueError(
                    f'video {video["video_id"]}: file_names: {image["file_name"]!r} has no frame number, which '
                    "gap_unit='source' needs; use gap_unit='listed'"
                )
        times = np.array([int(found[-1]) for found in numbers])
        if len(np.unique(times)) < len(times):
            raise ValueError(
                f'video {video["video_id"]}: file_names: two names have the same last number (the first is '
                f"{images[0]['file_name']!r}), so it is no frame number; use gap_unit='listed'"
            )
        return times

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(max_gap={self.max_gap}, gap_unit={self.gap_unit!r}, '
            f'num_support={self.num_support}, max_support_gap={self.max_support_gap})'
        )


def has_objects(image: dict) -> bool:
    """Crowds don't count."""
    return not all(instance.get('ignore_flag') for instance in image['instances'])
