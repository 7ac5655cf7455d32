"""The memory layout in which convolutions run fastest."""

from __future__ import annotations

import torch
from torch import Tensor


def convolution_layout(maps: Tensor) -> Tensor:
    """(B, C, H, W), on a CPU with a cell's channels side by side; what convolutions make of it has them so too.

    What a GPU prefers depends on its type and precision: maps there are left as they are.
    """
    return maps if maps.is_cuda else maps.contiguous(memory_format=torch.channels_last)
