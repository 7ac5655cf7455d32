"""Masks carried by optical flow (MaskProp, Table 3): flow of OpenCV or RAFT, and the propagator."""

from maskprop.methods.flow.flow_estimators import DISFlow, RAFTFlow
from maskprop.methods.flow.flow_propagator import FlowPropagator

__all__ = [
    'DISFlow',
    'FlowPropagator',
    'RAFTFlow',
]
