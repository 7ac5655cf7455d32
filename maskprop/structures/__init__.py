"""What flows between the folders of the package, and the protocols of its parts."""

from maskprop.structures.carried_masks import CarriedMasks
from maskprop.structures.clip_tracks import ClipTracks
from maskprop.structures.detections import Detections, FrameMasks, join_detections, split_detections
from maskprop.structures.frame import Frame, PerInstance
from maskprop.structures.frame_result import FrameResult
from maskprop.structures.many import takes_many
from maskprop.structures.protocols import (
    FrameDetector,
    FrameFiller,
    FramePairs,
    Linker,
    ObjectHead,
    ObjectTracker,
    Propagator,
    Stream,
    VideoHead,
    VideoModel,
)
from maskprop.structures.view import View, join_features

__all__ = [
    'CarriedMasks',
    'ClipTracks',
    'Detections',
    'Frame',
    'FrameDetector',
    'FrameFiller',
    'FrameMasks',
    'FramePairs',
    'FrameResult',
    'Linker',
    'ObjectHead',
    'ObjectTracker',
    'PerInstance',
    'Propagator',
    'Stream',
    'VideoHead',
    'VideoModel',
    'View',
    'join_detections',
    'join_features',
    'split_detections',
    'takes_many',
]
