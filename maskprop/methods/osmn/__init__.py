"""OSMN (Yang et al., CVPR 2018).

guides (Section 3.3, 3.4) -> network (3) -> losses (3.5) -> object_tracker (inference) -> osmn_head
"""

from maskprop.methods.osmn.osmn_head import OSMNHead

__all__ = ['OSMNHead']
