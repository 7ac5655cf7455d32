"""Losses between propagated soft masks and binary targets, one value per instance."""

from __future__ import annotations

from mmdet.registry import MODELS
from torch import Tensor, nn

from maskprop.ops.soft_iou import soft_iou


@MODELS.register_module()
class SoftIoULoss(nn.Module):
    """1 - soft IoU (MaskProp, Eq. 2 and 3).

    Args:
        loss_weight: factor of the loss.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, masks: Tensor, targets: Tensor) -> Tensor:
        """Loss per instance.

        Args:
            masks: (..., H, W) float in [0, 1].
            targets: (..., H, W) float, 0 or 1.

        Returns:
            (...) float.
        """
        return self.loss_weight * (1 - soft_iou(masks, targets))


@MODELS.register_module()
class BinaryMaskLoss(nn.Module):
    """Pixel-wise binary cross-entropy, the alternative: soft IoU "work[s] slightly better" (Section 4.1).

    Args:
        loss_weight: factor of the loss.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, masks: Tensor, targets: Tensor) -> Tensor:
        """Mean over the cells, per instance; shapes as in :class:`SoftIoULoss`."""
        # float and clamped: the log of a bf16 probability that rounds to 0 or 1 would be infinite
        probabilities, targets = masks.float().clamp(1e-6, 1 - 1e-6), targets.float()
        # written out: F.binary_cross_entropy refuses to run under autocast on a GPU
        loss = -(targets * probabilities.log() + (1 - targets) * (1 - probabilities).log())
        return self.loss_weight * loss.mean((-2, -1))
