"""Pseudo-videos whose frames follow one movement of the camera."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS

from maskprop.datasets.transforms.warps import warp_frame


@TRANSFORMS.register_module()
class FrameTrajectory(BaseTransform):
    """One camera movement over the frames of a sample, as VITA makes it: a turn, and often a moving window.

    Its place is between two ``TransformBroadcaster``, after the frames are loaded. The angles of the frames are
    drawn uniformly and sorted, in reversed order with probability .5; all turn about one point. With
    probability ``window_prob`` the image is then resized to one of ``short_sides`` and a window moves over it on a
    straight line, between two random places, at sorted random times, reversed with probability .5. Turn, size and
    window are one warp (:func:`~maskprop.datasets.transforms.warps.warp_frame`), so that masks are exact. Frames
    are in the order of the sample: a pair's second frame may be before the first one in the movement.

    Args:
        max_angle: degrees, to either side.
        centre_range: where the centre of the turn lies, in sides of the image.
        window_prob: of a moving window.
        short_sides: the image's shorter side before the window is cut out, in pixels.
        window_sides: shortest and longest side of the window in pixels, each drawn alone; at most the image's.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        max_angle: float = 15.0,
        centre_range: Sequence[float] = (0.4, 0.6),
        window_prob: float = 0.5,
        short_sides: Sequence[int] = (400, 500, 600),
        window_sides: Sequence[int] = (384, 600),
    ) -> None:
        if max_angle < 0:
            raise ValueError(f'max_angle={max_angle}: expected 0 or more')
        if not 0 <= window_prob <= 1:
            raise ValueError(f'window_prob={window_prob}: expected a probability, 0 to 1')
        if len(centre_range) != 2 or not 0 <= centre_range[0] <= centre_range[1] <= 1:
            raise ValueError(f'centre_range={centre_range}: expected (first, last) within 0 and 1')
        if not short_sides or min(short_sides) < 1:
            raise ValueError(f'short_sides={short_sides}: expected pixels, 1 or more')
        if len(window_sides) != 2 or not 1 <= window_sides[0] <= window_sides[1]:
            raise ValueError(f'window_sides={window_sides}: expected (shortest, longest) in pixels')
        self.max_angle = max_angle
        self.centre_range = centre_range[0], centre_range[1]
        self.window_prob = window_prob
        self.short_sides = tuple(short_sides)
        self.window_sides = tuple(window_sides)

    def transform(self, results: dict) -> dict:
        """Every key of ``results`` is a list with one entry a frame."""
        count = len(results['img'])
        size = results['img'][0].shape[:2]
        matrices, size = self.matrices(count, size)
        frames = [{key: values[i] for key, values in results.items()} for i in range(count)]
        frames = [warp_frame(frame, matrix, size) for frame, matrix in zip(frames, matrices, strict=True)]
        results.update({key: [frame[key] for frame in frames] for key in frames[0]})
        return results

    def matrices(self, count: int, size: tuple[int, int]) -> tuple[list[np.ndarray], tuple[int, int]]:
        """A random movement.

        Args:
            count: of frames. size: (height, width) of the image in pixels.

        Returns:
            ``count`` (3, 3) homographies, and (height, width) of the frames.
        """
        height, width = size
        centre = np.random.uniform(*self.centre_range, 2) * (width - 1, height - 1)
        turns = []
        for angle in self._in_order(np.random.uniform(-self.max_angle, self.max_angle, count)):
            turn = np.eye(3)
            turn[:2] = cv2.getRotationMatrix2D(tuple(centre), float(angle), 1.0)
            turns.append(turn)
        if np.random.rand() >= self.window_prob:
            return turns, size
        scale = int(np.random.choice(self.short_sides)) / min(size)
        scaled = np.array([round(width * scale), round(height * scale)])
        window = np.minimum(np.random.randint(self.window_sides[0], self.window_sides[1] + 1, 2), scaled)
        start, end = np.random.uniform(0, 1, (2, 2)) * (scaled - window)  # of the window's first corner, x and y
        windows = []
        for time in self._in_order(np.random.uniform(0, 1, count)):
            x, y = start + time * (end - start)
            # pixel centres: the image's outer edge, at -.5, stays an outer edge
            edge = (scale - 1) / 2
            windows.append(np.array([[scale, 0, edge - x], [0, scale, edge - y], [0, 0, 1]]))
        width, height = window.tolist()
        return [cut @ turn for cut, turn in zip(windows, turns, strict=True)], (height, width)

    @staticmethod
    def _in_order(numbers: np.ndarray) -> np.ndarray:
        """Sorted, or the other way round with probability .5."""
        numbers = np.sort(numbers)
        return numbers[::-1] if np.random.rand() < 0.5 else numbers

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(max_angle={self.max_angle}, centre_range={self.centre_range}, '
            f'window_prob={self.window_prob}, short_sides={self.short_sides}, window_sides={self.window_sides})'
        )
