"""MaskTrack R-CNN (Yang, Fan and Xu, ICCV 2019): track head, linker, conventions of mmdet 1.x, mmdet's class."""

from maskprop.methods.masktrack_rcnn.legacy_paste import paste_legacy_masks
from maskprop.methods.masktrack_rcnn.legacy_roi_extractor import LegacyRoIExtractor
from maskprop.methods.masktrack_rcnn.mask_track_linker import MaskTrackLinker
from maskprop.methods.masktrack_rcnn.mmdet_mask_track_rcnn import MendedMaskTrackRCNN
from maskprop.methods.masktrack_rcnn.pixel_delta_box_coder import PixelDeltaBoxCoder
from maskprop.methods.masktrack_rcnn.track_embed_head import TrackEmbedHead
from maskprop.methods.masktrack_rcnn.track_head import TrackHead

__all__ = [
    'LegacyRoIExtractor',
    'MaskTrackLinker',
    'MendedMaskTrackRCNN',
    'PixelDeltaBoxCoder',
    'TrackEmbedHead',
    'TrackHead',
    'paste_legacy_masks',
]
