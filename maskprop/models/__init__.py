"""Detectors, heads and losses; importing this registers them with mmdet."""

import maskprop.ops  # noqa: F401  mmcv needs its kernels before mmdet.models is imported
from maskprop.models.coders.pixel_delta_box_coder import PixelDeltaBoxCoder
from maskprop.models.detectors.mmdet_mask_track_rcnn import MendedMaskTrackRCNN
from maskprop.models.detectors.video_mask_rcnn import VideoMaskRCNN
from maskprop.models.heads.inter_frame_attention_head import InterFrameAttentionHead
from maskprop.models.heads.mask_propagation_head import MaskPropagationHead
from maskprop.models.heads.mask_refinement_head import MaskRefinementHead
from maskprop.models.heads.track_embed_head import TrackEmbedHead
from maskprop.models.losses.mask_losses import BinaryMaskLoss, SoftIoULoss
from maskprop.models.necks.spatiotemporal_sampler import SpatiotemporalSampler
from maskprop.models.reid.reid_net import CropPreprocessor, ReIDHead, ReIDNet
from maskprop.models.roi_extractors.legacy_roi_extractor import LegacyRoIExtractor

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
