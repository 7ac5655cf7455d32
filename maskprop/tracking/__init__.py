"""From clip-level tracks to video-level instances; importing this registers the linkers and propagators."""

from maskprop.methods.tracking_by_detection.baselines import BoxIoULinker, CopyPropagator, MaskIoULinker
from maskprop.methods.maskprop.clip_linker import ClipLinker
from maskprop.tracking.file_detections import FileDetections
from maskprop.methods.flow.flow_estimators import DISFlow, RAFTFlow
from maskprop.methods.flow.flow_propagator import FlowPropagator
from maskprop.methods.masktrack_rcnn.mask_track_linker import MaskTrackLinker
from maskprop.methods.tracking_by_detection.mmdet_tracker_linker import MMDetTrackerLinker
from maskprop.tracking.video_instances import FrameResult, VideoInstances
from maskprop.tracking.video_stream import Frame, VideoStream

__all__ = [
    'BoxIoULinker',
    'ClipLinker',
    'CopyPropagator',
    'DISFlow',
    'FileDetections',
    'FlowPropagator',
    'Frame',
    'FrameResult',
    'MMDetTrackerLinker',
    'MaskIoULinker',
    'MaskTrackLinker',
    'RAFTFlow',
    'VideoInstances',
    'VideoStream',
]
