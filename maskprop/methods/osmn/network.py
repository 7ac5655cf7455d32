"""OSMN's three networks (Section 3): segmentation on VGG-16, and what modulates it, one for each guide."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CONVS = (2, 2, 3, 3, 3)  # of VGG-16's stages
WIDTHS = (64, 128, 256, 512, 512)
FIRST_MODULATED = 2  # stage 3 is the first; the stages before it are shared by all objects of a frame
SIDE_WIDTH = 16


def pool(x: Tensor) -> Tensor:
    """2x2 max pooling; an odd side's last cells are pooled too."""
    return F.max_pool2d(x, 2, ceil_mode=True)


def vgg_stages(widths: Sequence[int]) -> nn.ModuleList:
    """VGG-16's convolutions, stage by stage: 3x3, each with a ReLU that is not among them."""
    stages = nn.ModuleList()
    for count, (before, width) in zip(CONVS, pairwise((3, *widths)), strict=True):
        inputs = (before, *[width] * (count - 1))
        stages.append(nn.ModuleList(nn.Conv2d(n, width, 3, padding=1) for n in inputs))
    return stages


def modulated_widths(widths: Sequence[int]) -> list[int]:
    """Channels of each convolution that is modulated, in order."""
    stages = list(zip(CONVS, widths, strict=True))[FIRST_MODULATED:]
    return [width for count, width in stages for _ in range(count)]


class VisualModulator(nn.Module):
    """From the guide's picture to a factor for each modulated channel: VGG-16 with another last layer.

    The factors are 1 to begin with.

    Args:
        widths: of VGG-16's stages. fc_width: of its fully connected layers. guide_size: a side of the guide.
    """

    def __init__(self, widths: Sequence[int], fc_width: int, guide_size: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.stages = vgg_stages(widths)
        side = guide_size // 2 ** len(CONVS)
        outputs = sum(modulated_widths(widths))
        self.fcs = nn.ModuleList(
            [
                nn.Conv2d(widths[-1], fc_width, side),
                nn.Conv2d(fc_width, fc_width, 1),
                nn.Conv2d(fc_width, outputs, 1),
            ]
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, guides: Tensor) -> Tensor:
        """(N, 3, s, s) to (N, P)."""
        x = guides
        for stage in self.stages:
            for conv in stage:
                x = conv(x).relu()
            x = pool(x)
        for fc in self.fcs[:-1]:
            x = self.dropout(fc(x).relu())
        return self.fcs[-1](x)[:, :, 0, 0]


class SpatialModulator(nn.Module):
    """From the spatial guide to an addend for each cell and channel of the modulated layers: 1x1 convolutions.

    Args:
        widths: of the stages of the segmentation network.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        channels = [n * c for n, c in zip(CONVS, widths, strict=True)][FIRST_MODULATED:]
        self.convs = nn.ModuleList(nn.Conv2d(1, c, 1, bias=False) for c in channels)
        self.norms = nn.ModuleList(nn.BatchNorm2d(c, eps=1e-3, momentum=0.01) for c in channels)

    def forward(self, guides: Tensor) -> list[Tensor]:
        """(N, 1, H, W) to a map at each modulated stage's stride, its layers' channels one after the other."""
        maps, x = [], guides
        for _ in range(FIRST_MODULATED):
            x = F.avg_pool2d(x, 2, ceil_mode=True)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            maps.append(norm(conv(x)).relu())
            x = F.avg_pool2d(x, 2, ceil_mode=True)
        return maps


class SharedMaps(NamedTuple):
    """What all objects of a frame share; B frames or one without its dimension.

    Attributes:
        side: (B, 16, h, w), the first side output, at stride 2. pooled: (B, C, h', w'), at stride 4.
    """

    side: Tensor
    pooled: Tensor


class SegmentationNet(nn.Module):
    """VGG-16 whose deeper layers are modulated, with a side output of each stage but the first.

    y = factor relu(conv(x)) + addend, the factor one for each channel and the addend at least 0; no ReLU follows.
    Side outputs are brought to the input's size by fixed bilinear kernels, and joined by a 1x1 convolution.

    Args:
        widths: of the stages.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.stages = vgg_stages(widths)
        self.side_convs = nn.ModuleList(nn.Conv2d(c, SIDE_WIDTH, 3, padding=1) for c in widths[1:])
        self.fuse = nn.Conv2d(SIDE_WIDTH * len(self.side_convs), 1, 1)

    def shared(self, images: Tensor) -> SharedMaps:
        """The unmodulated stages of (B, 3, H, W) images."""
        x = images
        for index, stage in enumerate(self.stages[:FIRST_MODULATED]):
            x = pool(x) if index else x
            for conv in stage:
                x = conv(x).relu()
        return SharedMaps(self.side_convs[0](x), pool(x))

    def forward(
        self, shared: SharedMaps, factors: Tensor, addends: Sequence[Tensor], size: Sequence[int]
    ) -> Tensor:
        """Logits of N objects.

        Args:
            shared: (1 or N, ...), of their frames. factors: (N, P). addends: of the spatial modulator, N each.
            size: (H, W) of the images.

        Returns:
            (N, H, W) float.
        """
        x, sides, used = shared.pooled.expand(len(factors), -1, -1, -1), [], 0
        for index, (stage, addend) in enumerate(zip(self.stages[FIRST_MODULATED:], addends, strict=True)):
            x = pool(x) if index else x
            for conv, plus in zip(stage, addend.chunk(len(stage), 1), strict=True):
                times = factors[:, used : used + conv.out_channels, None, None]
                x = times * conv(x).relu() + plus
                used += conv.out_channels
            sides.append(self.side_convs[index + 1](x))
        first = upsample(shared.side, 2, size).expand(len(factors), -1, -1, -1)
        maps = [first, *(upsample(side, 4 * 2**level, size) for level, side in enumerate(sides))]
        return self.fuse(torch.cat(maps, 1))[:, 0]


def upsample(maps: Tensor, stride: int, size: Sequence[int]) -> Tensor:
    """(N, C, h, w) by a factor to (N, C, H, W): a bilinear transposed convolution, its middle cut out."""
    places = torch.arange(2 * stride, device=maps.device) - (stride - 0.5)
    line = 1 - places.abs() / stride
    kernel = (line[:, None] * line).to(maps).expand(maps.shape[1], 1, -1, -1)
    large = F.conv_transpose2d(maps, kernel, stride=stride, groups=maps.shape[1])
    top, left = ((have - want) // 2 for have, want in zip(large.shape[-2:], size, strict=True))
    return large[..., top : top + size[0], left : left + size[1]]
