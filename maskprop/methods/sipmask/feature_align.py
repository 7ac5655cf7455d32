"""Features sampled where the predicted box says: a deformable convolution whose offsets are made of the box."""

from __future__ import annotations

from mmcv.ops import DeformConv2d  # on torchvision's kernels, see maskprop/ops/mmcv_kernels.py
from mmengine.model import BaseModule
from torch import Tensor, nn

KERNEL = 3


class FeatureAlign(BaseModule):
    """Aligns the classification features of a point with the box that is predicted there.

    Offsets are a 1x1 convolution of the box's distances, in strides, as y, x for each group and tap. Their weights
    start at 0 (mmdet's heads see to it for every ``conv_offset``), so that it is a plain convolution at first.

    Args:
        in_channels, out_channels: of the features. groups: of the offsets. num_groups: of the group norm.
    """

    def __init__(self, in_channels: int, out_channels: int, *, groups: int = 4, num_groups: int = 32) -> None:
        super().__init__()
        self.conv_offset = nn.Conv2d(4, groups * 2 * KERNEL**2, 1, bias=False)
        self.conv_adaption = DeformConv2d(
            in_channels, out_channels, KERNEL, padding=KERNEL // 2, deform_groups=groups
        )
        self.norm = nn.GroupNorm(num_groups, out_channels)

    def forward(self, feats: Tensor, distances: Tensor) -> Tensor:
        """Features (B, C, H, W) and distances (B, 4, H, W), of the box's sides in strides, to (B, C', H, W)."""
        return self.norm(self.conv_adaption(feats, self.conv_offset(distances))).relu()
