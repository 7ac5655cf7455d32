"""mmdet's pixel decoder, whose output of a frame serves all clips that the frame is in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmdet.models.layers import MSDeformAttnPixelDecoder
from mmdet.registry import MODELS
from torch import Tensor


class DecodedFrames(NamedTuple):
    """What the pixel decoder makes of T frames.

    Attributes:
        mask_features: (T, C, H / 4, W / 4) float.
        memories: levels (T, C, H_l, W_l) float, from the lowest resolution on.
    """

    mask_features: Tensor
    memories: list[Tensor]

    def frame(self, index: int) -> DecodedFrames:
        """One of the frames, as T = 1; a copy, so that the others may be dropped."""
        rows = slice(index, index + 1)
        return DecodedFrames(self.mask_features[rows].clone(), [level[rows].clone() for level in self.memories])

    @classmethod
    def join(cls, frames: Sequence[DecodedFrames]) -> DecodedFrames:
        """Frames in order as one."""
        levels = zip(*(frame.memories for frame in frames), strict=True)
        return cls(torch.cat([frame.mask_features for frame in frames]), [torch.cat(level) for level in levels])


@MODELS.register_module()
class FramePixelDecoder(MSDeformAttnPixelDecoder):
    """mmdet's ``MSDeformAttnPixelDecoder``, which passes on frames that it has decoded before."""

    def forward(self, feats: Sequence[Tensor] | DecodedFrames) -> DecodedFrames:
        """Levels of the backbone, each (T, C_l, H_l, W_l), or frames that are decoded."""
        return feats if isinstance(feats, DecodedFrames) else DecodedFrames(*super().forward(feats))
