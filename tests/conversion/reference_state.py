"""A state dict named as a reference ObjProp checkpoint (mmdet 1.x, ResNet-50): narrow, of random values."""

from __future__ import annotations

import torch
from torch import Tensor

BASE, FPN, FC, CLASSES = 4, 8, 12, 3  # channels of the first stage, of the FPN, of the fully connected layers


def reference_state(classes: int = CLASSES, seed: int = 0, prop_head: bool = True) -> dict[str, Tensor]:
    """Names and shapes written out by hand after the reference; C + 1 classes, the background first."""
    state: dict[str, Tensor] = {}
    generator = torch.Generator().manual_seed(seed)

    def add(name: str, *shape: int, bias: int | None = None) -> None:
        fan_in = max(1, int(torch.tensor(shape[1:]).prod()))
        state[f'{name}.weight'] = torch.randn(shape, generator=generator) * (2 / fan_in) ** 0.5
        if bias:
            state[f'{name}.bias'] = torch.randn(bias, generator=generator) * 0.1

    def norm(name: str, channels: int) -> None:
        # small at the end of a residual branch: features stay of one size through all blocks
        size = 0.2 if name.endswith('.bn3') else 1.0
        state[f'{name}.weight'] = size * (torch.rand(channels, generator=generator) + 0.5)
        state[f'{name}.bias'] = torch.randn(channels, generator=generator) * 0.1
        state[f'{name}.running_mean'] = torch.randn(channels, generator=generator) * 0.1
        state[f'{name}.running_var'] = torch.rand(channels, generator=generator) + 0.5
        state[f'{name}.num_batches_tracked'] = torch.tensor(7)

    add('backbone.conv1', BASE, 3, 7, 7)
    norm('backbone.bn1', BASE)
    before = BASE
    for stage, blocks in enumerate((3, 4, 6, 3)):
        width = BASE * 2**stage
        for block in range(blocks):
            name = f'backbone.layer{stage + 1}.{block}'
            for n, shape in enumerate(((width, before, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1))):
                add(f'{name}.conv{n + 1}', *shape)
                norm(f'{name}.bn{n + 1}', shape[0])
            if block == 0:
                add(f'{name}.downsample.0', 4 * width, before, 1, 1)
                norm(f'{name}.downsample.1', 4 * width)
            before = 4 * width
        add(f'neck.lateral_convs.{stage}.conv', FPN, before, 1, 1, bias=FPN)
        add(f'neck.fpn_convs.{stage}.conv', FPN, FPN, 3, 3, bias=FPN)
    add('rpn_head.rpn_conv', FPN, FPN, 3, 3, bias=FPN)
    add('rpn_head.rpn_cls', 3, FPN, 1, 1, bias=3)
    add('rpn_head.rpn_reg', 12, FPN, 1, 1, bias=12)
    add('bbox_head.fc_cls', classes + 1, FC, bias=classes + 1)
    add('bbox_head.fc_reg', 4 * (classes + 1), FC, bias=4 * (classes + 1))
    for head in ('bbox_head.shared_fcs', 'track_head.fcs'):
        add(f'{head}.0', FC, FPN * 49, bias=FC)
        add(f'{head}.1', FC, FC, bias=FC)
    for n in range(4):
        add(f'mask_head.convs.{n}.conv', FPN, FPN, 3, 3, bias=FPN)
    add('mask_head.upsample', FPN, FPN, 2, 2, bias=FPN)
    add('mask_head.conv_logits', classes + 1, FPN, 1, 1, bias=classes + 1)
    if prop_head:
        _add_prop_head(add, norm, classes)
    return state


def _add_prop_head(add, norm, classes: int) -> None:
    add('prop_head.convs.0', FPN, 4 * FPN, 1, 1, bias=FPN)
    norm('prop_head.convs.1', FPN)
    add('prop_head.convs.3', FPN, FPN, 3, 3, bias=FPN)
    norm('prop_head.convs.4', FPN)
    add('prop_head.convs.6', FPN, FPN, 1, 1, bias=FPN)
    for n in range(4):
        add(f'prop_head.mask_convs.{n}.conv', FPN, FPN, 3, 3, bias=FPN)
    add('prop_head.upsample', FPN, FPN, 2, 2, bias=FPN)
    add('prop_head.conv_logits', classes + 1, FPN, 1, 1, bias=classes + 1)
