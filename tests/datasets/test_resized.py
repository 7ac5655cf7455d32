"""Frames that a resize would leave no pixel of are refused, with both sizes."""

from __future__ import annotations

import mmcv
import numpy as np
import pytest
from mmcv.transforms import Compose, RandomChoiceResize, RandomFlip, Resize, TransformBroadcaster

from maskprop.datasets.resized import unusable_resize


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
        assert (unusable_resize(transforms, *size) is not None) is fails


def test_what_is_said():
    said = unusable_resize([Resize(scale=(160, 96), keep_ratio=True)], 4, 2000)
    assert said.startswith('frames are 2000 x 4 pixels') and 'Resize, scale (160, 96), makes 160 x 0' in said


def test_all_of_the_random_scales_count_and_fixed_shapes_do_not():
    choice = RandomChoiceResize(scales=[(4000, 4000), (160, 96)], keep_ratio=True)
    assert 'scale (160, 96)' in unusable_resize([choice], 4, 2000)
    assert unusable_resize([Resize(scale=(160, 96))], 4, 2000) is None
    assert unusable_resize([], 4, 2000) is None


@pytest.mark.parametrize('keep_ratio', [True, False])
def test_frames_that_would_fill_the_memory(keep_ratio):
    huge = RandomChoiceResize(scales=[(160, 96), (160000, 96000)], keep_ratio=keep_ratio)
    said = unusable_resize([huge], 96, 160)
    assert 'scale (160000, 96000), makes 160000 x 96000: more than 67 million pixels: take a smaller scale' in said
    assert unusable_resize([Resize(scale=(7680, 4320), keep_ratio=keep_ratio)], 1080, 1920) is None  # 8K
