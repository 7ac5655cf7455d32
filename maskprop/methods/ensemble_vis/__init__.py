"""EnsembleVIS (Luiten, Torr, Leibe, ICCVW 2019): detections, segmented and classified in crops, then UnOVOST.

windows, losses -> segmentation_net, box_segmentation_head (masks); crop_classifier, crop_heads (classes, ReID)
thinning, mask_warp -> tracklets -> merging -> tracklet_merge_linker (ids)
"""

from maskprop.methods.ensemble_vis.box_segmentation_head import BoxSegmentationHead
from maskprop.methods.ensemble_vis.crop_classifier import CropAccuracy, CropClassHead
from maskprop.methods.ensemble_vis.crop_heads import CropClassificationHead, CropEmbeddingHead
from maskprop.methods.ensemble_vis.losses import BootstrappedCrossEntropy, SoftMarginTripletLoss
from maskprop.methods.ensemble_vis.segmentation_net import DeepLabV3Plus, GuidedResNet
from maskprop.methods.ensemble_vis.tracklet_merge_linker import TrackletMergeLinker

__all__ = [
    'BootstrappedCrossEntropy',
    'BoxSegmentationHead',
    'CropAccuracy',
    'CropClassHead',
    'CropClassificationHead',
    'CropEmbeddingHead',
    'DeepLabV3Plus',
    'GuidedResNet',
    'SoftMarginTripletLoss',
    'TrackletMergeLinker',
]
