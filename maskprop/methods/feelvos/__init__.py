"""FEELVOS (Voigtlaender et al., CVPR 2019).

network (Section 3.2, 3.5) -> matching (3.3, 3.4) -> hard_pixels (4) -> object_tracker (3.6) -> feelvos_head
"""

from maskprop.methods.feelvos.feelvos_head import FEELVOSHead

__all__ = ['FEELVOSHead']
