"""From clip-level tracks to video-level instances; importing this registers the linkers and propagators."""

from maskprop.tracking.baselines import BoxIoULinker, CopyPropagator
from maskprop.tracking.clip_linker import ClipLinker
from maskprop.tracking.mask_track_linker import MaskTrackLinker
from maskprop.tracking.results import FrameResult, VideoInstances
from maskprop.tracking.stream import Frame, VideoStream

__all__ = [
    'BoxIoULinker',
    'ClipLinker',
    'CopyPropagator',
    'Frame',
    'FrameResult',
    'MaskTrackLinker',
    'VideoInstances',
    'VideoStream',
]
