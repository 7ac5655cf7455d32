"""mmdet's RoI features of several FPN levels, with one wait for a GPU instead of one for each level."""

from __future__ import annotations

import torch
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor, nn


class OneWaitRoIExtractor(SingleRoIExtractor):
    """``SingleRoIExtractor`` that learns in one go how many RoIs each level has.

    mmdet asks for the RoIs of each level in turn, and writes their features into the result. Here RoIs are sorted
    by level, which gives the same features to the bit, with fewer operators.
    """

    def forward(self, feats: tuple[Tensor, ...], rois: Tensor, roi_scale_factor: float | None = None) -> Tensor:
        """Features of RoIs.

        Args:
            feats: FPN levels, (B, C, H_l, W_l) each.
            rois: (N, 5) float, (image, x1, y1, x2, y2) in pixels of the input.
            roi_scale_factor: as in mmdet.

        Returns:
            (N, C, height, width), the size of ``roi_layer``'s output.
        """
        if len(feats) == 1:
            return super().forward(feats, rois, roi_scale_factor)
        rois = rois.type_as(feats[0])
        levels, order = self.map_roi_levels(rois, len(feats)).sort(stable=True)
        if roi_scale_factor is not None:
            rois = self.roi_rescale(rois, roi_scale_factor)
        ends = torch.searchsorted(levels, torch.arange(1, len(feats), device=rois.device)).tolist()
        parts = zip(self.roi_layers, feats, rois[order].tensor_split(ends), strict=False)
        return torch.cat([self._pool(*part) for part in parts])[order.argsort()]

    def _pool(self, layer: nn.Module, level: Tensor, rois: Tensor) -> Tensor:
        if len(rois):
            return layer(level, rois)
        # kernels need a RoI; the level is in the graph all the same, so that all processes have the same gradients
        empty = level.new_zeros((0, self.out_channels, *layer.output_size))
        return empty + level.sum() if level.requires_grad else empty


def wait_once(model: nn.Module) -> None:
    """Make every ``SingleRoIExtractor`` of a model a :class:`OneWaitRoIExtractor`; others stay as they are."""
    for module in model.modules():
        if type(module) is SingleRoIExtractor:
            module.__class__ = OneWaitRoIExtractor
