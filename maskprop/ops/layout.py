"""The memory layout in which convolutions run fastest."""

from __future__ import annotations

import torch
from torch import Tensor

SMALL_IMAGE = 2**16  # pixels; the backbone is slower in this layout on much smaller images, faster on larger ones


def convolution_layout(maps: Tensor) -> Tensor:
    """(B, C, H, W), on a CPU with a cell's channels side by side; what convolutions make of it has them so too.

    What a GPU prefers depends on its type and precision: maps there are left as they are.
    """
    return maps if maps.is_cuda else maps.contiguous(memory_format=torch.channels_last)


def image_layout(images: Tensor) -> Tensor:
    """:func:`convolution_layout` of a backbone's input; small images are left as they are."""
    return images if images.shape[-2] * images.shape[-1] < SMALL_IMAGE else convolution_layout(images)
