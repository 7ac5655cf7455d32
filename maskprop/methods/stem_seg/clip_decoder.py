"""Decoders of whole clips: 3D convolutions that pool time on coarse maps and widen it again towards fine ones.

STEm-Seg, Section 3.3 ("TSE decoder").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from torch import Tensor, nn

from maskprop.engine.config import ConfigError

LENGTHS = (2, 4, 8, 16, 24, 32)  # frames of a clip that the pools and enlargements of time go with
LEVELS = ('4x', '8x', '16x', '32x')  # strides of the feature maps, finest first
SMALLEST = 3  # cells of the coarsest map: PyTorch's AvgPool3d refuses fewer


class ClipDecoder(nn.Module):
    """Four levels of a clip's features to one map of them all at stride 4.

    Args:
        in_channels: of each level.
        channels: widths on the maps of stride 32, 16, 8 and 4.
        clip_length: T, frames of a clip.
        norm_groups: of each GroupNorm.

    Raises:
        ConfigError: a clip has another number of frames than the pools of time go with, or a width cannot be
            parted into the groups.
    """

    def __init__(
        self, in_channels: int, channels: Sequence[int], clip_length: int = 8, norm_groups: int = 32
    ) -> None:
        super().__init__()
        if clip_length not in LENGTHS:
            raise ConfigError(f'clip_length={clip_length}: expected one of {LENGTHS} frames')
        if len(channels) != 4 or any(width % norm_groups for width in channels):
            raise ConfigError(
                f'channels={tuple(channels)}: expected four widths that are multiples of norm_groups={norm_groups}'
            )
        self.clip_length = clip_length
        widths = dict(zip(reversed(LEVELS), channels, strict=True))
        pools = (int(clip_length >= 4), int(clip_length >= 8), int(clip_length >= 16))
        self.block_32x = _block(in_channels, widths['32x'], 3, pools, norm_groups)
        self.block_16x = _block(in_channels, widths['16x'], 2, pools[:2], norm_groups)
        self.block_8x = _block(in_channels, widths['8x'], 1, pools[:1], norm_groups)
        self.block_4x = _block(in_channels, widths['4x'], 1, (0,), norm_groups)
        self.conv_16 = nn.Conv3d(widths['32x'] + widths['16x'], widths['16x'], 1, bias=False)
        self.conv_8 = nn.Conv3d(widths['16x'] + widths['8x'], widths['8x'], 1, bias=False)
        self.conv_4 = nn.Conv3d(widths['8x'] + widths['4x'], widths['4x'], 1, bias=False)
        self.out_channels = widths['4x']

    def decode(self, levels: Sequence[Tensor]) -> Tensor:
        """The clip's features.

        Args:
            levels: (B, C, T, H_l, W_l) float at strides 4, 8, 16 and 32; those of stride 32 have at least 3 x 3
                cells.

        Returns:
            (B, out_channels, T, H, W) at stride 4.

        Raises:
            ValueError: the clip has another length, or the coarsest map is too small.
        """
        if levels[0].shape[2] != self.clip_length or min(levels[3].shape[-2:]) < SMALLEST:
            frames, height, width = levels[3].shape[2:]
            raise ValueError(
                f'a clip of {frames} frames whose map at stride 32 has {height} x {width} cells: expected '
                f'{self.clip_length} frames (clip_length) and at least {SMALLEST} x {SMALLEST} cells, so images '
                f'of {32 * SMALLEST} pixels a side or more'
            )
        fused = self.block_32x(levels[3])
        for name, level in (('16', levels[2]), ('8', levels[1]), ('4', levels[0])):
            own = getattr(self, f'block_{name}x')(level)
            # the factors of the published code, (1 or 2, 2, 2), are those of the maps' sizes
            fused = F.interpolate(fused, own.shape[2:], mode='trilinear', align_corners=False)
            fused = getattr(self, f'conv_{name}')(torch.cat([fused, own], 1))
        return fused


def _block(in_channels: int, width: int, units: int, pools: Sequence[int], groups: int) -> nn.Sequential:
    """Units of convolution, norm, ReLU and a pool that halves time, or nothing in its place."""
    layers: list[nn.Module] = []
    for unit, pool in zip(range(units), pools, strict=True):
        layers += [
            nn.Conv3d(in_channels if unit == 0 else width, width, 3, padding=1),
            nn.GroupNorm(groups, width),
            nn.ReLU(inplace=True),
            nn.AvgPool3d(3, stride=(2, 1, 1), padding=1) if pool else nn.Identity(),
        ]
    return nn.Sequential(*layers)


@MODELS.register_module()
class ClipEmbeddingDecoder(ClipDecoder):
    """Where each pixel's instance is: 4 embeddings, 2 bandwidths, a seediness; Sections 3.1 and 3.2.

    Two dimensions of the embedding are the pixel's place, y and x, plus what is learnt; two are free.

    Args:
        with_seediness: as channel 6; without it a decoder of its own gives it. The others as of
            :class:`ClipDecoder`.
    """

    dims, free_dims = 4, 2

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int] = (256, 256, 128, 128),
        with_seediness: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(in_channels, channels, **kwargs)
        self.conv_embedding = nn.Conv3d(self.out_channels, self.dims, 1, bias=False)
        self.conv_variance = nn.Conv3d(self.out_channels, self.dims - self.free_dims, 1)
        self.conv_seediness = nn.Conv3d(self.out_channels, 1, 1, bias=False) if with_seediness else None

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """(B, 7, T, H, W): embedding y, x, free, free; log-bandwidths of y and x; seediness in (0, 1)."""
        feats = self.decode(levels)
        offsets = (0.25 * self.conv_embedding(feats)).tanh()
        grid = place_grid(*feats.shape[-2:]).to(offsets)  # [2, H, W], of the padded map
        places = F.pad(grid, (0, 0, 0, 0, 0, self.free_dims))[None, :, None]
        output = [offsets + places, self.conv_variance(feats)]
        if self.conv_seediness is not None:
            output.append(self.conv_seediness(feats).sigmoid())
        return torch.cat(output, 1)


def place_grid(height: int, width: int) -> Tensor:
    """(2, height, width): y and x of each cell, from -1 to 1 along the shorter side and as far as it goes along
    the longer one, ends included."""
    y_end, x_end = max(1.0, height / width), max(1.0, width / height)
    rows, columns = torch.linspace(-y_end, y_end, height), torch.linspace(-x_end, x_end, width)
    return torch.stack(torch.meshgrid(rows, columns, indexing='ij'))


@MODELS.register_module()
class ClipClassDecoder(ClipDecoder):
    """What each pixel is of: logits of background, K classes, and foreground (Section 3.3).

    Args:
        num_classes: K. The others as of :class:`ClipDecoder`.
    """

    def __init__(
        self, in_channels: int, num_classes: int, channels: Sequence[int] = (256, 256, 256, 256), **kwargs: Any
    ) -> None:
        super().__init__(in_channels, channels, **kwargs)
        self.num_classes = num_classes
        self.conv_out = nn.Conv3d(self.out_channels, num_classes + 2, 1, bias=False)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """(B, K + 2, T, H, W) logits: background, K classes, foreground."""
        return self.conv_out(self.decode(levels))


@MODELS.register_module()
class ClipSeedinessDecoder(ClipDecoder):
    """Seediness by a decoder of its own, as the published code has it for DAVIS; YouTube-VIS does without."""

    def __init__(self, in_channels: int, channels: Sequence[int] = (256, 256, 128, 128), **kwargs: Any) -> None:
        super().__init__(in_channels, channels, **kwargs)
        self.conv_out = nn.Conv3d(self.out_channels, 1, 1, bias=False)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """(B, 1, T, H, W) in (0, 1)."""
        return self.conv_out(self.decode(levels)).sigmoid()
