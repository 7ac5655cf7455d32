"""From clip-level tracks to video-level instances; importing this registers the linkers and propagators."""

from maskprop.tracking.baselines import BoxIoULinker, CopyPropagator, MaskIoULinker
from maskprop.tracking.clip_linker import ClipLinker
from maskprop.tracking.file_detections import FileDetections
from maskprop.tracking.flow_estimators import DISFlow, RAFTFlow
from maskprop.tracking.flow_propagator import FlowPropagator
from maskprop.tracking.mask_track_linker import MaskTrackLinker
from maskprop.tracking.mmdet_tracker_linker import MMDetTrackerLinker
from maskprop.tracking.results import FrameResult, VideoInstances
from maskprop.tracking.stream import Frame, VideoStream

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
