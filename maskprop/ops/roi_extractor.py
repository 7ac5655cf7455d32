"""mmdet's RoI features of several FPN levels, with one wait for a GPU instead of one for each level."""

from __future__ import annotations

import torch
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor, nn


class OneWaitRoIExtractor(SingleRoIExtractor):
    """``SingleRoIExtractor`` that learns in one go how many RoIs each level has.

    mmdet asks for the RoIs of each level in turn, and writes their features into the result. Here RoIs are sorted
    by level, which gives the same features to the bit, with fewer operators.

    RoIs that are not finite, of a model that diverged, have zeros: kernels would read outside the features.
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
        nowhere = (rois * 0).sum(1) != 0  # of nan and infinities
        levels, order = self.map_roi_levels(rois, len(feats)).masked_fill(nowhere, -1).sort(stable=True)
        if roi_scale_factor is not None:
            rois = self.roi_rescale(rois, roi_scale_factor)
        starts = torch.searchsorted(levels, torch.arange(len(feats), device=rois.device)).tolist()
        outside, *inside = rois[order].tensor_split(starts)
        pooled = [self._zeros(feats[0], len(outside))] if len(outside) else []
        pooled += [self._pool(*part) for part in zip(self.roi_layers, feats, inside, strict=False)]
        return torch.cat(pooled)[order.argsort()]

    def _pool(self, layer: nn.Module, level: Tensor, rois: Tensor) -> Tensor:
        if len(rois):
            return layer(level, rois)
        # kernels need a RoI; the level is in the graph all the same, so that all processes have the same gradients
        empty = self._zeros(level, 0)
        return empty + level.sum() if level.requires_grad else empty

    def _zeros(self, level: Tensor, count: int) -> Tensor:
        return level.new_zeros((count, self.out_channels, *self.roi_layers[0].output_size))


def wait_once(model: nn.Module) -> None:
    """Make every ``SingleRoIExtractor`` of a model a :class:`OneWaitRoIExtractor`; others stay as they are."""
    for module in model.modules():
        if type(module) is SingleRoIExtractor:
            module.__class__ = OneWaitRoIExtractor
