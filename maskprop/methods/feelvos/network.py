"""FEELVOS's layers (Section 3.2 and 3.5): DeepLabv3+'s ASPP and decoder, the embedding, the head of an object."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from torch import Tensor, nn

NORM = dict(type='BN', eps=1e-5)
DISTANCES = 3  # channels of the head's input beside the features: global, previous mask, local


def resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    """(B, C, H, W) at another size: bilinear, the corners on the corners, as everywhere in this network."""
    return F.interpolate(maps, tuple(size), mode='bilinear', align_corners=True)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: the mean of the map, a 1x1 and three dilated separable convolutions.

    Args:
        in_channels, channels: of the map and of each branch. dilations: of the separable ones.
        norm_cfg: of batch norm, with which every convolution goes, and ReLU.
    """

    def __init__(
        self, in_channels: int, channels: int, dilations: Sequence[int], norm_cfg: dict | None = None
    ) -> None:
        super().__init__()
        norm_cfg = norm_cfg or NORM
        conv = partial(ConvModule, kernel_size=1, norm_cfg=norm_cfg)
        self.pool_conv = conv(in_channels, channels)
        self.conv = conv(in_channels, channels)
        self.dilated_convs = nn.ModuleList(
            DepthwiseSeparableConvModule(in_channels, channels, 3, padding=d, dilation=d, norm_cfg=norm_cfg)
            for d in dilations
        )
        self.project = conv((2 + len(dilations)) * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, channels, h, w)."""
        mean = self.pool_conv(x.mean((-2, -1), keepdim=True)).expand(-1, -1, *x.shape[-2:])
        return self.project(torch.cat([mean, self.conv(x), *(conv(x) for conv in self.dilated_convs)], 1))


class Decoder(nn.Module):
    """DeepLabv3+'s decoder: the ASPP's output at the size of a low-level map, with that map.

    Args:
        in_channels: of the ASPP. low_channels: of the low-level map. low_width: to which it is projected.
    """

    def __init__(self, in_channels: int, low_channels: int, low_width: int, norm_cfg: dict | None = None) -> None:
        super().__init__()
        norm_cfg = norm_cfg or NORM
        self.low_conv = ConvModule(low_channels, low_width, 1, norm_cfg=norm_cfg)
        widths = (in_channels + low_width, in_channels)
        self.convs = nn.Sequential(
            *(DepthwiseSeparableConvModule(n, in_channels, 3, padding=1, norm_cfg=norm_cfg) for n in widths)
        )

    def forward(self, x: Tensor, low: Tensor) -> Tensor:
        """(B, C, h, w) and (B, C_low, h', w') to (B, C, h', w')."""
        return self.convs(torch.cat([resize(x, low.shape[-2:]), self.low_conv(low)], 1))


class Embedding(DepthwiseSeparableConvModule):
    """A separable convolution with bias and ReLU twice and no batch norm: embeddings are not below 0.

    It begins near the identity; of the depthwise kernels only the first channel's does, as in the released code.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__(in_channels, channels, 3, padding=1)

    @torch.no_grad()
    def init_weights(self) -> None:
        """Truncated normal of .03, and the identity."""
        _init(self, depthwise=0.03, pointwise=0.03)
        depthwise, pointwise = self.depthwise_conv.conv.weight, self.pointwise_conv.conv.weight
        depthwise[0, 0, 1, 1] += 1
        pointwise[:, :, 0, 0] += torch.eye(*pointwise.shape[:2], device=pointwise.device)


class ObjectHead(nn.Module):
    """The logits of one object, the background among them, from features, distances and its previous mask.

    Args:
        in_channels: of the features. channels, num_convs: of the separable 7x7 convolutions.
    """

    def __init__(self, in_channels: int, channels: int, num_convs: int = 4) -> None:
        super().__init__()
        widths = [in_channels + DISTANCES, *[channels] * num_convs]
        self.convs = nn.Sequential(
            *(
                DepthwiseSeparableConvModule(a, b, 7, padding=3)
                for a, b in zip(widths[:-1], widths[1:], strict=True)
            )
        )
        self.logit = nn.Conv2d(channels, 1, 1)

    def init_weights(self) -> None:
        """Truncated normals: .33 for depthwise kernels, .06 for pointwise ones, .01 for the logit."""
        for conv in self.convs:
            _init(conv, depthwise=0.33, pointwise=0.06)
        _truncated_normal(self.logit, 0.01)

    def inputs(self, features: Tensor, distances: Tensor, previous: Tensor, local: Tensor) -> Tensor:
        """(K, C + 3, h, w) of (C, h, w) features and three (K, h, w) maps: global, previous mask, local."""
        maps = torch.stack([distances, previous, local], 1).to(features)
        return torch.cat([features.expand(len(maps), -1, -1, -1), maps], 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """(K, C + 3, h, w) to logits (K, h, w)."""
        return self.logit(self.convs(inputs))[:, 0]


def _init(conv: DepthwiseSeparableConvModule, depthwise: float, pointwise: float) -> None:
    _truncated_normal(conv.depthwise_conv.conv, depthwise)
    _truncated_normal(conv.pointwise_conv.conv, pointwise)


def _truncated_normal(conv: nn.Conv2d, std: float) -> None:
    nn.init.trunc_normal_(conv.weight, std=std, a=-2 * std, b=2 * std)
    nn.init.zeros_(conv.bias)
