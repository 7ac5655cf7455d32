"""Frames, masks and flows that are known, for the tests of optical flow."""

import torch
from mmdet.registry import TASK_UTILS

from maskprop.structures import Frame
from tests.models.builders import HEIGHT, WIDTH

STRIDE = 4


def texture(height, width, seed=0):
    """(3, height, width) uint8 of smooth noise."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, height // 4, width // 4, generator=generator) * 255
    return torch.nn.functional.interpolate(coarse, (height, width), mode='bicubic')[0].clamp(0, 255).byte()


@TASK_UTILS.register_module()
class ShiftFlow:
    """The flow between images of one colour each: (position of the second - of the first) * direction."""

    def __init__(self, direction=(1.0, 0.0)):
        self.direction, self.pairs = direction, []

    def estimate(self, first, second):
        steps = second[:, 0, 0, 0].float() - first[:, 0, 0, 0].float()
        self.pairs += zip(first[:, 0, 0, 0].tolist(), second[:, 0, 0, 0].tolist(), strict=True)
        flow = steps[:, None, None, None] * torch.tensor(self.direction).view(1, 2, 1, 1)
        return flow.expand(-1, -1, *first.shape[-2:])


def plain(number, size=(HEIGHT, WIDTH)):
    """An image of one colour, for :class:`ShiftFlow`."""
    return torch.full((3, *size), number, dtype=torch.uint8)


def make_frame(image, masks, shown=None):
    """A frame at the network's size; masks (N, H, W) bool, of pixels or soft ones of cells."""
    if masks.shape[-1] == image.shape[-1]:
        masks = torch.nn.functional.avg_pool2d(masks.float()[:, None], STRIDE)[:, 0]
    return Frame(
        masks=masks,
        boxes=torch.zeros(len(masks), 4),
        class_scores=[{0: 1.0} for _ in masks],
        rles=[{} for _ in masks],
        size=tuple(shown or image.shape[-2:]),
        map_size=tuple(float(side) for side in image.shape[-2:]),
        image=image,
    )


def boxes_mask(*boxes, size=(HEIGHT, WIDTH)):
    masks = torch.zeros(len(boxes), *size, dtype=torch.bool)
    for mask, (x, y, w, h) in zip(masks, boxes, strict=True):
        mask[y : y + h, x : x + w] = True
    return masks
