"""One video at a time, for every method: features, stream, the video's instances, filling, read detections."""

from maskprop.tracking.features import FeatureStream
from maskprop.tracking.file_detections import FileDetections
from maskprop.tracking.gap_filler import GapFiller
from maskprop.tracking.object_walk import HeadPropagator
from maskprop.tracking.propagated_mask_linker import PropagatedMaskLinker
from maskprop.tracking.video_instances import VideoInstances
from maskprop.tracking.video_stream import StreamOptions, VideoStream

__all__ = [
    'FeatureStream',
    'FileDetections',
    'GapFiller',
    'HeadPropagator',
    'PropagatedMaskLinker',
    'StreamOptions',
    'VideoInstances',
    'VideoStream',
]
