"""A state dict named as a published SipMask-VIS checkpoint (mmdet 1.0, ResNet-50): narrow, of random values."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.conversion.reference_state import BASE, reference_state

FPN, WIDTH, BASES, MIDDLE, EMBED, CLASSES = 8, 16, 4, 12, 6, 5


def sipmask_state(
    depth: int = 3,
    track_depth: int | None = 2,
    basis_kernel: int = 1,
    track_kernel: int = 1,
    track_name: str = 'sipmask_track',
    classes: int = CLASSES,
) -> dict[str, Tensor]:
    """Names and shapes written out by hand after the reference.

    Args:
        depth: of the regression tower. track_depth: of the tracking tower; None: SipMask of images.
    """
    backbone = {key: value for key, value in reference_state().items() if key.startswith('backbone.')}
    state: dict[str, Tensor] = {}
    generator = torch.Generator().manual_seed(0)

    def add(name: str, *shape: int, bias: bool = True) -> None:
        state[f'{name}.weight'] = torch.randn(shape, generator=generator) * 0.1
        if bias:
            state[f'{name}.bias'] = torch.randn(shape[0], generator=generator) * 0.1

    def tower(name: str, layers: int) -> None:
        for n in range(layers):
            add(f'bbox_head.{name}.{n}.conv', WIDTH, WIDTH if n else FPN, 3, 3, bias=False)
            add(f'bbox_head.{name}.{n}.gn', WIDTH)

    for n, channels in enumerate((8, 16, 32)):
        add(f'neck.lateral_convs.{n}.conv', FPN, BASE * channels, 1, 1)
    for n in range(5):
        add(f'neck.fpn_convs.{n}.conv', FPN, FPN, 3, 3)
        state[f'bbox_head.scales.{n}.scale'] = torch.tensor(1.0 + n)
    tower('cls_convs', depth - 1)
    tower('reg_convs', depth)
    add('bbox_head.fcos_cls', classes, WIDTH, 3, 3)
    add('bbox_head.fcos_reg', 4, WIDTH, 3, 3)
    add('bbox_head.fcos_centerness', 1, WIDTH, 3, 3)
    add('bbox_head.feat_align.conv_offset', 72, 4, 1, 1, bias=False)
    add('bbox_head.feat_align.conv_adaption', WIDTH, WIDTH, 3, 3, bias=False)
    add('bbox_head.feat_align.norm', WIDTH)
    add('bbox_head.sip_cof', 4 * BASES, WIDTH, 3, 3)
    add('bbox_head.sip_mask_lat', BASES, MIDDLE, 3, 3)
    add('bbox_head.sip_mask_lat0', MIDDLE, 3 * WIDTH, basis_kernel, basis_kernel)
    if track_depth is not None:
        tower('track_convs', track_depth)
        add(f'bbox_head.{track_name}', EMBED, 3 * WIDTH, track_kernel, track_kernel)
    return {**backbone, **state}
