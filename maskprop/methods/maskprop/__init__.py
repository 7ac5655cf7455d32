"""MaskProp (Bertasius and Torresani, CVPR 2020), top to bottom.

propagation (the mathematics) -> mask_propagation_head (Section 4.2) -> mask_losses (Section 4.1) -> clip_linker
(Section 4.3) -> mask_refinement_head (Section 4.4) -> spatiotemporal_sampler (STSN, the backbone of Section 4.4).
"""

from maskprop.methods.maskprop.clip_linker import ClipLinker
from maskprop.methods.maskprop.mask_losses import BinaryMaskLoss, SoftIoULoss
from maskprop.methods.maskprop.mask_propagation_head import MaskPropagationHead
from maskprop.methods.maskprop.mask_refinement_head import MaskRefinementHead
from maskprop.methods.maskprop.spatiotemporal_sampler import SpatiotemporalSampler

__all__ = [
    'BinaryMaskLoss',
    'ClipLinker',
    'MaskPropagationHead',
    'MaskRefinementHead',
    'SoftIoULoss',
    'SpatiotemporalSampler',
]
