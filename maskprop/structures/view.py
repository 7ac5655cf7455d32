"""A frame as the network sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmengine.model import ImgDataPreprocessor
from torch import Tensor


class View(NamedTuple):
    """A frame as the network sees it.

    Attributes:
        feats: levels of the FPN, each (1, C, H_l, W_l).
        image: (1, 3, H, W) float, normalised and padded.
        meta: ``img_shape``, ``ori_shape`` (height, width), ``scale_factor`` (width, height), and what the data set
            tells of the frame.
    """

    feats: tuple[Tensor, ...]
    image: Tensor
    meta: dict

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the network's input."""
        return tuple(self.image.shape[-2:])

    def rgb(self, preprocessor: ImgDataPreprocessor) -> Tensor:
        """The image as it was before it was normalised: (3, H, W) uint8 RGB on the CPU."""
        image = self.image.float()
        if preprocessor._enable_normalize:
            image = image * preprocessor.std + preprocessor.mean
        image = image[0].round().clamp(0, 255).byte().cpu()
        return image if preprocessor._channel_conversion else image.flip(0)  # files are read as BGR


def join_features(views: Sequence[View]) -> tuple[Tensor, ...]:
    """Levels of the FPN of B frames, each (B, C, H_l, W_l); those of a single frame are not copied."""
    if len(views) == 1:
        return views[0].feats
    return tuple(torch.cat(levels) for levels in zip(*(view.feats for view in views), strict=True))
