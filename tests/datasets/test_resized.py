"""Frames that a resize would leave no pixel of are refused, with both sizes."""

from __future__ import annotations

import mmcv
import numpy as np
import pytest
from mmcv.transforms import Compose, RandomChoiceResize, RandomFlip, Resize, TransformBroadcaster

from maskprop.datasets.resized import emptied_by_resize


@pytest.mark.parametrize(
    'size', [(4, 2000), (2000, 4), (3, 2000), (48, 64), (1, 1), (8, 8), (12, 2000), (13, 2000)]
)
def test_as_opencv_sees_it(size):
    """It is empty where mmcv's resize fails."""
    resize = Resize(scale=(160, 96), keep_ratio=True)
    try:
        mmcv.imrescale(np.zeros((*size, 3), np.uint8), (160, 96))
        fails = False
    except Exception:
        fails = True
    for transforms in ([RandomFlip(prob=0.5), resize], [TransformBroadcaster([resize])], [Compose([resize])]):
        assert (emptied_by_resize(transforms, *size) is not None) is fails


def test_what_is_said():
    said = emptied_by_resize([Resize(scale=(160, 96), keep_ratio=True)], 4, 2000)
    assert said.startswith('frames are 2000 x 4 pixels') and 'Resize, scale (160, 96), makes 160 x 0' in said


def test_all_of_the_random_scales_count_and_fixed_shapes_do_not():
    choice = RandomChoiceResize(scales=[(4000, 4000), (160, 96)], keep_ratio=True)
    assert 'scale (160, 96)' in emptied_by_resize([choice], 4, 2000)
    assert emptied_by_resize([Resize(scale=(160, 96))], 4, 2000) is None
    assert emptied_by_resize([], 4, 2000) is None
