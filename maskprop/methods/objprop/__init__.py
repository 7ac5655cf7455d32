"""ObjProp (Chakravarthy et al., 2021).

inter_frame_attention (Eq. 1 and 2) -> inter_frame_attention_head (Section 2.2) -> history_filler ("Inference").
"""

from maskprop.methods.objprop.history_filler import HistoryFiller
from maskprop.methods.objprop.inter_frame_attention_head import InterFrameAttentionHead

__all__ = [
    'HistoryFiller',
    'InterFrameAttentionHead',
]
