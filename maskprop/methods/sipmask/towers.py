"""What SipMask's mask and tracking branches are made of: towers of convolutions, three levels joined to one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

JOINED_LEVELS = 3  # P3, P4, P5


def build_tower(in_channels: int, channels: int, depth: int, norm_cfg: dict) -> nn.Sequential:
    """``depth`` times a 3x3 convolution without bias, norm, ReLU."""
    widths = [in_channels, *[channels] * depth]
    return nn.Sequential(
        *(ConvModule(i, o, 3, padding=1, norm_cfg=norm_cfg) for i, o in zip(widths, widths[1:], strict=False))
    )


def join_levels(levels: Sequence[Tensor]) -> Tensor:
    """Levels (B, C, h_l, w_l), finest first, resized bilinearly to the finest and concatenated."""
    size = levels[0].shape[-2:]
    resized = (F.interpolate(level, size=size, mode='bilinear', align_corners=False) for level in levels[1:])
    return torch.cat([levels[0], *resized], 1)
