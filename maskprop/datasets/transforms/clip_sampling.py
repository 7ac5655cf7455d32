"""Clips of several frames for training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmdet.datasets.transforms import BaseFrameSample
from mmdet.registry import TRANSFORMS

from maskprop.datasets.transforms.frame_sampling import has_objects


@TRANSFORMS.register_module()
class SampleClip(BaseFrameSample):
    """A clip at a random place of a video: the frames at fixed offsets from its first one.

    The first frame is uniform over those from which all offsets are inside the video. A video that is too short
    begins with its first frame, and its last frame stands for those after its end.

    Takes and gives what :class:`~maskprop.datasets.transforms.frame_sampling.SampleFramePair` does, but for
    ``key_frame_flags``; the request's key frame says only how often a video comes.

    Args:
        offsets: from the first frame, ascending from 0. The default is STEm-Seg's: 8 of 9 consecutive frames.
        with_objects: frames without an object are left out before frames are counted.
        collect_video_keys: keys of the video to copy to its frames.

    Raises:
        ValueError: the offsets do not ascend from 0.
    """

    def __init__(
        self,
        offsets: Sequence[int] = (0, 1, 2, 3, 5, 6, 7, 8),
        with_objects: bool = True,
        collect_video_keys: Sequence[str] = ('video_id', 'video_length'),
    ) -> None:
        super().__init__(list(collect_video_keys))
        if not offsets or offsets[0] != 0 or any(a >= b for a, b in zip(offsets, offsets[1:], strict=False)):
            raise ValueError(f'offsets: found {tuple(offsets)}; expected numbers that ascend from 0')
        self.offsets = tuple(offsets)
        self.with_objects = with_objects

    def transform(self, video: dict) -> dict[str, list]:
        frames: Sequence[int] = range(len(video['images']))
        if self.with_objects:
            # in a data set for training every video has one
            frames = [frame for frame in frames if has_objects(video['images'][frame])] or frames
        first = np.random.randint(max(len(frames) - self.offsets[-1], 1))
        return self.prepare_data(video, [frames[min(first + o, len(frames) - 1)] for o in self.offsets])

    def __repr__(self) -> str:
        return f'{type(self).__name__}(offsets={self.offsets}, with_objects={self.with_objects})'
