"""RoI features as mmdet 0.x and 1.x cut them out, for models that were trained there."""

from __future__ import annotations

from mmdet.registry import MODELS
from torch import Tensor

from maskprop.ops.roi_extractor import OneWaitRoIExtractor
from maskprop.ops.uploads import numbers_on


@MODELS.register_module()
class LegacyRoIExtractor(OneWaitRoIExtractor):
    """A box ends with its last pixel: RoIs reach to x2 + 1, y2 + 1, and so do the sides that choose the FPN level.

    With ``roi_layer=dict(type='RoIAlign', sampling_ratio=2, aligned=False, output_size=...)`` equal to the
    reference's, but for RoIs smaller than a cell of their level, which that layer enlarges to one.
    """

    def forward(self, feats: tuple[Tensor, ...], rois: Tensor, roi_scale_factor: float | None = None) -> Tensor:
        """Features of RoIs.

        Args:
            feats: FPN levels, (B, C, H_l, W_l) each.
            rois: (N, 5) float, (image, x1, y1, x2, y2) in pixels of the input, x2 and y2 inclusive.
            roi_scale_factor: as in mmdet.

        Returns:
            (N, C, height, width), the size of ``roi_layer``'s output.
        """
        last_pixel = numbers_on(rois.device, [0, 0, 0, 1, 1], rois.dtype)
        return super().forward(feats, rois + last_pixel, roi_scale_factor)
