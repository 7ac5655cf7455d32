"""Box deltas as mmdet 0.x and 1.x decode them, for models that were trained there."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.task_modules.coders import LegacyDeltaXYWHBBoxCoder
from mmdet.registry import TASK_UTILS
from torch import Tensor


@TASK_UTILS.register_module()
class PixelDeltaBoxCoder(LegacyDeltaXYWHBBoxCoder):
    """mmdet's legacy coder, whose ``decode`` leaves half a pixel a side out, with the exact inverse of ``encode``.

    Corners are pixels that belong to the box: its width is x2 - x1 + 1.
    """

    def decode(
        self,
        bboxes: Tensor,
        pred_bboxes: Tensor,
        max_shape: Sequence[int] | None = None,
        wh_ratio_clip: float = 16 / 1000,
    ) -> Tensor:
        """Boxes of deltas.

        Args:
            bboxes: (N, 4) float, anchors or proposals.
            pred_bboxes: (N, 4 k) float, deltas.
            max_shape: (height, width) of the image, to whose pixels boxes are clipped.
            wh_ratio_clip: a side grows or shrinks by this factor at most.

        Returns:
            (N, 4 k) float, (x1, y1, x2, y2) with x2 and y2 inclusive.
        """
        decoded = super().decode(bboxes, pred_bboxes, None, wh_ratio_clip)
        corners = decoded.view(-1, 4) + decoded.new_tensor([0.5, 0.5, -0.5, -0.5])
        if max_shape is not None:
            height, width = max_shape[:2]
            largest = corners.new_tensor([width - 1, height - 1, width - 1, height - 1])
            corners = torch.minimum(corners.clamp(min=0), largest)
        return corners.view_as(decoded)
