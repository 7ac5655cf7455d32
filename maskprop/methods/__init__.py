"""One folder a method; importing this registers them all.

A method imports ``ops``, ``structures`` and ``tracking``, never another method and never ``models``: what it needs
of those is built by its registry name and typed by a protocol.
"""

import maskprop.ops  # noqa: F401  mmcv needs its kernels before mmdet.models is imported

# isort: split
import maskprop.methods.ensemble_vis
import maskprop.methods.feelvos
import maskprop.methods.flow
import maskprop.methods.mask2former_vis
import maskprop.methods.maskprop
import maskprop.methods.masktrack_rcnn
import maskprop.methods.objprop
import maskprop.methods.osmn
import maskprop.methods.sipmask
import maskprop.methods.stem_seg
import maskprop.methods.tracking_by_detection  # noqa: F401
