"""The model that frame-by-frame methods share; importing this registers it with mmdet."""

import maskprop.ops  # noqa: F401  mmcv needs its kernels before mmdet.models is imported
from maskprop.models.frame_detector import TwoStageFrameDetector
from maskprop.models.one_stage_detector import OneStageFrameDetector
from maskprop.models.video_mask_rcnn import VideoMaskRCNN

__all__ = ['OneStageFrameDetector', 'TwoStageFrameDetector', 'VideoMaskRCNN']
