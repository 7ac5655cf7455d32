"""Tracking by detection: mmdet's trackers with a ReID net, and box IoU, mask IoU and copies as baselines."""

from maskprop.methods.tracking_by_detection.baselines import BoxIoULinker, CopyPropagator, MaskIoULinker
from maskprop.methods.tracking_by_detection.mmdet_tracker_linker import MMDetTrackerLinker
from maskprop.methods.tracking_by_detection.reid_net import CropPreprocessor, ReIDHead, ReIDNet

__all__ = [
    'BoxIoULinker',
    'CopyPropagator',
    'CropPreprocessor',
    'MMDetTrackerLinker',
    'MaskIoULinker',
    'ReIDHead',
    'ReIDNet',
]
