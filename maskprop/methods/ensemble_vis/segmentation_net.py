"""The network of the crop segmenter: DeepLabv3+ on pictures of four channels (PReMVOS, Section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.models.backbones import ResNet
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn
from torchvision.models.segmentation.deeplabv3 import ASPP

CHANNELS = 4  # RGB, and the box
CLASSES = 2  # background, object


@MODELS.register_module()
class GuidedResNet(ResNet):
    """mmdet's ResNet on more channels than RGB: weights for RGB are taken, those of the others begin at random."""

    def __init__(self, in_channels: int = CHANNELS, **kwargs: Any) -> None:
        super().__init__(in_channels=in_channels, **kwargs)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        name = f'{prefix}conv1.weight'
        given, own = state_dict.get(name), self.conv1.weight
        if given is not None and given.shape[1] < own.shape[1]:
            state_dict[name] = torch.cat([given.to(own), own.detach()[:, given.shape[1] :]], 1)
        super()._load_from_state_dict(state_dict, prefix, *args)


@MODELS.register_module()
class DeepLabV3Plus(BaseModule):
    """Backbone, atrous spatial pyramid pooling, and a decoder at the stride of a low-level map.

    Args:
        backbone: config of one that gives a low-level map and the last one.
        in_channels, low_channels: of the last and of the low-level map.
        channels: of pyramid and decoder. low_width: to which the low-level map is projected.
        dilations: of the pyramid.
        num_convs: 3x3 convolutions of the decoder.
    """

    def __init__(
        self,
        *,
        backbone: dict,
        in_channels: int,
        low_channels: int,
        channels: int = 256,
        low_width: int = 48,
        dilations: Sequence[int] = (6, 12, 18),
        num_convs: int = 2,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        norm = dict(type='BN')
        self.backbone = MODELS.build(backbone)
        self.aspp = ASPP(in_channels, list(dilations), channels)
        # of the branch of the map's mean: a batch of one crop has one value a channel
        self.aspp.convs[-1][2] = nn.GroupNorm(1, channels)
        self.low_conv = ConvModule(low_channels, low_width, 1, norm_cfg=norm)
        widths = [channels + low_width, *[channels] * (num_convs - 1)]
        self.convs = nn.Sequential(*(ConvModule(n, channels, 3, padding=1, norm_cfg=norm) for n in widths))
        self.logits = nn.Conv2d(channels, CLASSES, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 4, H, W) to logits (N, 2, h, w) at the stride of the low-level map."""
        low, last = self.backbone(pictures)
        pyramid = F.interpolate(self.aspp(last), low.shape[-2:], mode='bilinear')
        return self.logits(self.convs(torch.cat([pyramid, self.low_conv(low)], 1)))
