"""Tensor mathematics without state; importing it puts torchvision's kernels in place of mmcv's missing ones."""

from maskprop.ops.mmcv_kernels import install_torchvision_kernels

install_torchvision_kernels()
