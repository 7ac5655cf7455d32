"""Three frames for training: a reference frame and two neighbours elsewhere in the video."""

from __future__ import annotations

import numpy as np
from mmdet.datasets.transforms import BaseFrameSample
from mmdet.registry import TRANSFORMS


@TRANSFORMS.register_module()
class SampleReferenceAndPair(BaseFrameSample):
    """The key frame as reference, then a previous and a current frame anywhere in the video (FEELVOS, Section 4).

    Takes and gives what :class:`~maskprop.datasets.transforms.frame_sampling.SampleFramePair` does. In a video
    that is shorter than the step the two are its first and its last frame.

    Args:
        step: listed frames from the previous to the current frame; of several, one is drawn.
        both_ways: half of the pairs are in the opposite order, for clips, which carry masks backwards too.
        max_gap: between the reference and the previous frame, in listed frames; None: anywhere.
        collect_video_keys: keys of the video to copy to its frames.

    Raises:
        ValueError: a step is below 1, or ``max_gap`` below 0.
    """

    def __init__(
        self,
        step: int | tuple[int, ...] = 1,
        both_ways: bool = False,
        max_gap: int | None = None,
        collect_video_keys: tuple[str, ...] = ('video_id', 'video_length'),
    ) -> None:
        super().__init__(list(collect_video_keys))
        self.steps = [step] if isinstance(step, int) else list(step)
        if not self.steps or min(self.steps) < 1:
            raise ValueError(f'step: found {step}; expected 1 or more, or several such')
        if max_gap is not None and max_gap < 0:
            raise ValueError(f'max_gap: found {max_gap}; expected 0 or more, or None for no limit')
        self.both_ways = both_ways
        self.max_gap = max_gap

    def transform(self, video: dict) -> dict[str, list]:
        length = len(video['images'])
        key = video.get('key_frame_id')
        if key is None:
            key = np.random.randint(length)
        step = min(int(np.random.choice(self.steps)), length - 1)
        starts: np.ndarray = np.arange(length - step)
        if self.max_gap is not None:
            near = starts[np.abs(starts - key) <= self.max_gap]
            starts = near if len(near) else starts[[np.abs(starts - key).argmin()]]
        first = int(np.random.choice(starts))
        pair = [first, first + step]
        if self.both_ways and np.random.rand() < 0.5:
            pair.reverse()
        results = self.prepare_data(video, [key, *pair])
        results['key_frame_flags'] = [True, False, False]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(step={self.steps}, both_ways={self.both_ways}, max_gap={self.max_gap})'
