"""SipMask-VIS (Cao et al., ECCV 2020): a one-stage detector that assembles its masks, and its tracking branch."""

from maskprop.methods.sipmask.last_pixel_boxes import EndBoxesAtLastPixel
from maskprop.methods.sipmask.sipmask_detector import SipMask
from maskprop.methods.sipmask.sipmask_head import SipMaskHead
from maskprop.methods.sipmask.sipmask_track_head import SipMaskTrackHead

__all__ = ['EndBoxesAtLastPixel', 'SipMask', 'SipMaskHead', 'SipMaskTrackHead']
