"""Frames of pseudo-videos made of still images: one warp of image and masks, and motion blur.

The default numbers are those of SeqFormer's code; docs/stills.md has the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmdet.registry import TRANSFORMS
from mmdet.structures.mask import BitmapMasks

from maskprop.datasets.transforms.annotations import FilterVideoAnnotations


def warp_frame(results: dict, matrix: np.ndarray, size: tuple[int, int]) -> dict:
    """Warp the image and all masks of a frame by one homography.

    What comes from outside is black and belongs to no object. Boxes are those of the warped masks, and objects of
    which nothing is left are absent. An object that has a box only comes with its filled box as a mask
    (``YouTubeVISJsonDataset``), so that its new box is the hull of the warped one.

    Args:
        results: of a pipeline, changed in place: ``img`` (H, W, 3) uint8; where they are loaded also ``gt_masks``
            and the other annotations of :class:`LoadVideoAnnotations`.
        matrix: (3, 3) float, from pixels of the frame to pixels of the result; (0, 0) is the first pixel's centre.
        size: (height, width) of the result in pixels.
    """
    height, width = size
    results['img'] = cv2.warpPerspective(results['img'], matrix, (width, height), flags=cv2.INTER_LINEAR)
    results['img_shape'] = (height, width)
    if 'gt_masks' not in results:
        return results
    warped = [warp_mask(mask, matrix, size) for mask in results['gt_masks'].masks]
    masks = BitmapMasks(np.array(warped, dtype=np.uint8).reshape(-1, height, width), height, width)
    results['gt_masks'] = masks
    results['gt_bboxes'] = masks.get_bboxes('hbox').numpy()
    return FilterVideoAnnotations()(results)


def warp_mask(mask: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) uint8 of 0 and 1 to one of ``size``: 1 where the warped mask covers half of a pixel."""
    height, width = size
    warped = cv2.warpPerspective(mask * 255, matrix, (width, height), flags=cv2.INTER_LINEAR)
    return (warped > 127).astype(np.uint8)


class Warp(NamedTuple):
    """What is drawn for a warp; sides are those of the image."""

    angle: float  # degrees, anticlockwise on the screen
    shift: np.ndarray  # (2,) right, down, in sides
    scale: float
    corners: np.ndarray  # (4, 2) how far the seen part's corners lie inside, right and down, in sides


@TRANSFORMS.register_module()
class RandomPerspectiveAffine(BaseTransform):
    """Turns, shifts, scales and tilts a frame, image and masks by one warp (:func:`warp_frame`).

    In a ``TransformBroadcaster`` with ``share_random_params=False`` each frame has a warp of its own, which makes
    a pseudo-video of a still image; with ``True`` all have the same.

    The tilt shows a quadrilateral inside the image as a whole one: each of its corners lies inside by the absolute
    value of a normal number, at most .49 sides. Rotation and scale are about the centre.

    Args:
        prob: of a warp. .8: of SeqFormer's five frames one is the image itself.
        perspective: standard deviation of the corners' shifts, in sides of the image.
        max_angle: degrees, to either side.
        max_shift: in sides of the image, in each direction.
        scale_range: smallest and largest scale, drawn uniformly.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        prob: float = 0.8,
        perspective: float = 0.08,
        max_angle: float = 20.0,
        max_shift: float = 0.1,
        scale_range: Sequence[float] = (1.0, 1.0),
    ) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'prob={prob}: expected a probability, 0 to 1')
        for name, value in (('perspective', perspective), ('max_angle', max_angle), ('max_shift', max_shift)):
            if value < 0:
                raise ValueError(f'{name}={value}: expected 0 or more')
        if len(scale_range) != 2 or not 0 < scale_range[0] <= scale_range[1]:
            raise ValueError(f'scale_range={scale_range}: expected (smallest, largest), above 0')
        self.prob = prob
        self.perspective = perspective
        self.max_angle = max_angle
        self.max_shift = max_shift
        self.scale_range = scale_range[0], scale_range[1]

    @cache_randomness
    def _draw(self) -> Warp | None:
        if np.random.rand() >= self.prob:
            return None
        return Warp(
            angle=np.random.uniform(-self.max_angle, self.max_angle),
            shift=np.random.uniform(-self.max_shift, self.max_shift, 2),
            scale=np.random.uniform(*self.scale_range),
            corners=np.minimum(np.abs(np.random.normal(0, 1, (4, 2))) * self.perspective, 0.49),
        )

    def transform(self, results: dict) -> dict:
        warp = self._draw()
        if warp is None:
            return results
        size = results['img'].shape[:2]
        return warp_frame(results, homography(warp, size), size)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(prob={self.prob}, perspective={self.perspective}, max_angle={self.max_angle}, '
            f'max_shift={self.max_shift}, scale_range={self.scale_range})'
        )


def homography(warp: Warp, size: tuple[int, int]) -> np.ndarray:
    """(3, 3) float64: the tilt, then rotation, scale and shift, of an image of (height, width) pixels."""
    height, width = size
    ends = np.array([width - 1, height - 1], dtype=np.float64)
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], dtype=np.float64)
    inward = 1 - 2 * corners  # of each corner, right and down
    seen = (corners + inward * warp.corners) * ends
    tilt = cv2.getPerspectiveTransform(seen.astype(np.float32), (corners * ends).astype(np.float32))
    affine = np.eye(3)
    affine[:2] = cv2.getRotationMatrix2D(tuple(ends / 2), warp.angle, warp.scale)
    affine[:2, 2] += warp.shift * (width, height)
    return affine @ tilt


@TRANSFORMS.register_module()
class MotionBlur(BaseTransform):
    """Blurs the image along a line of random direction; masks stay, as the line's middle is where it was.

    Args:
        prob: of blur.
        kernel_sizes: lengths of the line in pixels, odd, one of which is drawn. SeqFormer's.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(self, prob: float = 0.25, kernel_sizes: Sequence[int] = (9, 11)) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'prob={prob}: expected a probability, 0 to 1')
        if not kernel_sizes or any(size < 3 or size % 2 == 0 for size in kernel_sizes):
            raise ValueError(f'kernel_sizes={kernel_sizes}: expected odd numbers of 3 or more')
        self.prob = prob
        self.kernel_sizes = tuple(kernel_sizes)

    @cache_randomness
    def _draw(self) -> tuple[int, float] | None:
        """Length in pixels and direction in radians."""
        if np.random.rand() >= self.prob:
            return None
        return int(np.random.choice(self.kernel_sizes)), np.random.uniform(0, np.pi)

    def transform(self, results: dict) -> dict:
        drawn = self._draw()
        if drawn is not None:
            results['img'] = cv2.filter2D(
                results['img'], -1, line_kernel(*drawn), borderType=cv2.BORDER_REFLECT_101
            )
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob}, kernel_sizes={self.kernel_sizes})'


def line_kernel(length: int, direction: float) -> np.ndarray:
    """(length, length) float32, sum 1: a line through the middle; ``direction`` in radians."""
    middle = length // 2
    kernel = np.zeros((length, length), dtype=np.float32)
    reach = np.linspace(-middle, middle, 4 * length + 1)
    rows = np.rint(middle + reach * np.sin(direction)).astype(int)
    columns = np.rint(middle + reach * np.cos(direction)).astype(int)
    kernel[rows, columns] = 1
    return kernel / kernel.sum()
