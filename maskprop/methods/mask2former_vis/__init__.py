"""Mask2Former for video instance segmentation, of clips that are linked as MaskProp links its own."""

from maskprop.methods.mask2former_vis.clip_stream import Mask2FormerStream, Mask2FormerStreamOptions
from maskprop.methods.mask2former_vis.mask2former_vis import Mask2FormerVIS
from maskprop.methods.mask2former_vis.pixel_decoder import DecodedFrames, FramePixelDecoder

__all__ = [
    'DecodedFrames',
    'FramePixelDecoder',
    'Mask2FormerStream',
    'Mask2FormerStreamOptions',
    'Mask2FormerVIS',
]
