"""Detectors, heads and losses; importing this registers them with mmdet."""

import maskprop.ops  # noqa: F401  mmcv needs its kernels before mmdet.models is imported
from maskprop.methods.masktrack_rcnn.pixel_delta_box_coder import PixelDeltaBoxCoder
from maskprop.methods.masktrack_rcnn.mmdet_mask_track_rcnn import MendedMaskTrackRCNN
from maskprop.models.video_mask_rcnn import VideoMaskRCNN
from maskprop.methods.objprop.inter_frame_attention_head import InterFrameAttentionHead
from maskprop.methods.maskprop.mask_propagation_head import MaskPropagationHead
from maskprop.methods.maskprop.mask_refinement_head import MaskRefinementHead
from maskprop.methods.masktrack_rcnn.track_embed_head import TrackEmbedHead
from maskprop.methods.maskprop.mask_losses import BinaryMaskLoss, SoftIoULoss
from maskprop.methods.maskprop.spatiotemporal_sampler import SpatiotemporalSampler
from maskprop.methods.tracking_by_detection.reid_net import CropPreprocessor, ReIDHead, ReIDNet
from maskprop.methods.masktrack_rcnn.legacy_roi_extractor import LegacyRoIExtractor

__all__ = [
    'BinaryMaskLoss',
    'CropPreprocessor',
    'InterFrameAttentionHead',
    'LegacyRoIExtractor',
    'MaskPropagationHead',
    'MaskRefinementHead',
    'MendedMaskTrackRCNN',
    'PixelDeltaBoxCoder',
    'ReIDHead',
    'ReIDNet',
    'SoftIoULoss',
    'SpatiotemporalSampler',
    'TrackEmbedHead',
    'VideoMaskRCNN',
]
