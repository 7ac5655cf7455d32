"""Detectors, heads and losses; importing this registers them with mmdet."""

import maskprop.ops  # noqa: F401  mmcv needs its kernels before mmdet.models is imported
from maskprop.models.detectors.video_mask_rcnn import VideoMaskRCNN
from maskprop.models.heads.mask_propagation_head import MaskPropagationHead
from maskprop.models.losses.mask_losses import BinaryMaskLoss, SoftIoULoss

__all__ = ['BinaryMaskLoss', 'MaskPropagationHead', 'SoftIoULoss', 'VideoMaskRCNN']
