"""Tensor mathematics without state. Importing it puts torchvision's kernels in the place of mmcv's missing ones."""

from maskprop.ops.mmcv_kernels import install_torchvision_kernels

install_torchvision_kernels()
