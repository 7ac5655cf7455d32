"""Spatiotemporal sampling (Bertasius, Torresani and Shi, STSN, ECCV 2018, Section 4): MaskProp's backbone.

A frame's features are made of those of its neighbours too, sampled where they show the same thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.ops import DeformConv2d, DeformConv2dPack
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

KERNEL = 3


class LevelSampler(nn.Module):
    """Sampling and aggregation of one backbone level; see :class:`SpatiotemporalSampler` for the arguments."""

    def __init__(
        self,
        in_channels: int,
        bottleneck: int | None,
        channels: int,
        num_layers: int,
        embed_channels: Sequence[int],
    ) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(in_channels, bottleneck, 1) if bottleneck else nn.Identity()
        widths = [2 * (bottleneck or in_channels), *[channels] * (num_layers - 1)]
        self.layers = nn.ModuleList(
            DeformConv2dPack(width, channels, KERNEL, padding=KERNEL // 2) for width in widths[:-1]
        )
        self.offset_conv = nn.Conv2d(widths[-1], 2 * KERNEL**2, KERNEL, padding=KERNEL // 2)
        self.sample_conv = DeformConv2d(in_channels, in_channels, KERNEL, padding=KERNEL // 2)
        first, second, last = embed_channels
        self.embed = nn.Sequential(
            nn.Conv2d(in_channels, first, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(first, second, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(second, last, 1),
        )
        nn.init.zeros_(self.offset_conv.weight)
        nn.init.zeros_(self.offset_conv.bias)
        nn.init.dirac_(self.sample_conv.weight)

    def offsets(self, reference: Tensor, support: Tensor) -> Tensor:
        """o^(4): where the support frame is sampled, of both frames' reduced features.

        Args:
            reference: (B, C_r, H, W). support: the same.

        Returns:
            (B, 18, H, W), nine (y, x) pairs, in cells.
        """
        pair = torch.cat([reference, support], 1)
        for layer in self.layers:
            pair = F.relu(layer(pair), inplace=True)
        return self.offset_conv(pair)

    def forward(self, reference: Tensor, supports: Tensor, own: int | None = None) -> Tensor:
        """Aggregated features, see :meth:`SpatiotemporalSampler.aggregate`; (B, C, H, W)."""
        reduced = self.reduce(reference)

        def sample(support: Tensor) -> tuple[Tensor, Tensor]:
            sampled = self.sample_conv(support, self.offsets(reduced, self.reduce(support)))
            embedding = self.embed(sampled)
            return sampled, embedding.to(torch.promote_types(embedding.dtype, torch.float32))

        itself = sample(reference)
        total: Any = 0.0
        norm: Any = 0.0
        # one after the other: the columns of many deformable convolutions at once would take gigabytes
        for index, support in enumerate(supports.unbind(1)):
            sampled, embedding = itself if index == own else sample(support)
            # a cosine is at most 1, so the softmax needs no largest value subtracted
            weight = F.cosine_similarity(itself[1], embedding, dim=1)[:, None].exp()  # [B, 1, H, W]
            total = total + weight * sampled
            norm = norm + weight
        return (total / norm).to(reference.dtype)


@MODELS.register_module()
class SpatiotemporalSampler(BaseModule):
    """Makes a frame's backbone features of those of its support frames, itself among them.

    For each support frame: the features of both frames are concatenated; a chain of 3x3 deformable convolutions,
    each with offsets of its own, leads to the offsets at which the last one samples the support frame's features:
    g. The frames' g are summed with weights exp(cos(S(g of the reference), S(g of the support))), normalised over
    the frames at every cell, S being a small network of 1x1, 3x3 and 1x1 convolutions.

    Starts as an average: offsets are 0 and the sampling convolution is the identity, so that a detector trained on
    images sees its own features where frames are alike. The paper doesn't say how it starts, nor what is between
    its layers (here: ReLU).

    Args:
        levels: indices of the backbone's outputs that are aggregated; the last one only, as in the paper.
        in_channels: C of each of those levels.
        num_layers: deformable layers, with the one that samples.
        channels: outputs of each of them but the last, which has C.
        bottleneck: channels to which a 1x1 convolution brings each frame's features before they are concatenated;
            ``None`` (the paper): none. The first layer costs 18 ``bottleneck`` ``channels`` multiply-adds a cell.
        embed_channels: outputs of the three layers of S.
        window: at test, support frames are those from t - window to t + window, as far as they exist.
        num_support: in training, the support frames of a frame beside itself; half of them before it.

    Raises:
        ValueError: numbers that don't fit together.
    """

    def __init__(
        self,
        *,
        levels: Sequence[int] = (3,),
        in_channels: Sequence[int] = (2048,),
        num_layers: int = 4,
        channels: int = 1024,
        bottleneck: int | None = None,
        embed_channels: Sequence[int] = (512, 512, 2048),
        window: int = 13,
        num_support: int = 2,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        levels, in_channels = tuple(levels), tuple(in_channels)
        if not levels or len(levels) != len(in_channels):
            raise ValueError(f'levels={levels} and in_channels={in_channels}: expected one number for each level')
        if len(embed_channels) != 3:
            raise ValueError(f'embed_channels={embed_channels}: expected the outputs of three layers')
        for name, value, least in (
            ('num_layers', num_layers, 1),
            ('window', window, 0),
            ('num_support', num_support, 0),
        ):
            if value < least:
                raise ValueError(f'{name}: found {value}; expected {least} or more')
        self.levels = levels
        self.window = window
        self.num_support = num_support
        self.samplers = nn.ModuleList(
            LevelSampler(width, bottleneck, channels, num_layers, embed_channels) for width in in_channels
        )

    def aggregate(
        self, reference: Sequence[Tensor], supports: Sequence[Tensor | None], own: int | None = None
    ) -> tuple[Tensor, ...]:
        """Backbone levels of a frame, those in ``levels`` made of its support frames.

        Args:
            reference: the frame's levels, each (B, C_l, H_l, W_l).
            supports: for each level (B, S, C_l, H_l, W_l), the S support frames, the frame itself among them;
                levels that are not aggregated may be ``None``.
            own: which of the S is the frame itself, if known: then it is not sampled twice.

        Returns:
            levels of the shapes of ``reference``.
        """
        levels = list(reference)
        for level, sampler in zip(self.levels, self.samplers, strict=True):
            levels[level] = sampler(reference[level], supports[level], own)
        return tuple(levels)

    forward = aggregate
