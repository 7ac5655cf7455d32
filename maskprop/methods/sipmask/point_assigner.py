"""Which object each point of the feature levels stands for in training: FCOS's rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmdet.models.dense_heads import FCOSHead
from mmdet.models.dense_heads.fcos_head import INF
from mmdet.models.task_modules.prior_generators import MlvlPointGenerator
from mmengine.structures import InstanceData
from torch import Tensor

RANGES = ((-1, 64), (64, 128), (128, 256), (256, 512), (512, INF))


@dataclass(frozen=True)
class PointAssigner:
    """FCOS's target rule by mmdet's own function; its "labels" are rows of the objects here, -1 for none.

    Attributes:
        strides: pixels between the points of each level.
        regress_ranges: of each level, the largest distance to a side in pixels; both ends belong to it.
        center_sample_radius: points within so many strides of an object's centre stand for it.
    """

    strides: Sequence[int] = (8, 16, 32, 64, 128)
    regress_ranges: Sequence[tuple[float, float]] = RANGES
    center_sample_radius: float = 1.5

    num_classes = -1  # what mmdet's rule gives to points that stand for no object
    center_sampling = True
    norm_on_bbox = False
    get_targets = FCOSHead.get_targets
    _get_targets_single = FCOSHead._get_targets_single

    def points(self, sizes: Sequence[tuple[int, int]], like: Tensor) -> list[Tensor]:
        """Points x, y of each level in pixels: maps of (h, w) cells to tensors (h w, 2), row by row."""
        return MlvlPointGenerator(self.strides).grid_priors(sizes, dtype=like.dtype, device=like.device)

    def assign(self, points: Sequence[Tensor], boxes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The object of each point, the smallest one of several.

        Args:
            points: of each level. boxes: B tensors (N_b, 4) float in pixels.

        Returns:
            (B, P) long, row of the object or -1; (B, P, 4) float, the point's distances to its left, top, right
            and bottom side in pixels, which have no meaning without an object.
        """
        objects = [InstanceData(bboxes=b, labels=torch.arange(len(b), device=b.device)) for b in boxes]
        by_level = self.get_targets(list(points), objects)
        rows, distances = (
            torch.cat([level.unflatten(0, (len(boxes), -1)) for level in levels], 1) for levels in by_level
        )
        return rows, distances
