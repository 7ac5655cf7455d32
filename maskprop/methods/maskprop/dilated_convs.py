"""Convolutions of several dilations on the same maps, without what few channels waste of a CPU's vectors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LANES = 16  # float32 numbers in an AVX-512 vector: 18 output channels cost as much as 32


def dilated_convs(maps: Iterable[Tensor], convs: Sequence[nn.Conv2d], count: int) -> Tensor:
    """All convolutions of all maps, the outputs of a map side by side.

    On a CPU without gradients, the output channels beyond a multiple of 16 are one matrix product for all taps of
    all dilations; what it finds is moved by the taps and added, for all maps at once. Not under torch.compile,
    which had not ended after minutes with so many additions in place.

    Args:
        maps: each (B, C, H, W) float; may be made one after the other, as they are used up.
        convs: D, all with C_out channels and a k x k kernel, k odd, padded by dilation * (k // 2).
        count: S, the sum of the maps' B.

    Returns:
        (S, D * C_out, H, W) float.
    """
    weight = convs[0].weight
    plain = weight.is_cuda or torch.is_grad_enabled() or torch.compiler.is_compiling()
    if plain or len(weight) < LANES or len(weight) % LANES == 0:
        return torch.cat([torch.cat([conv(batch) for conv in convs], 1) for batch in maps])
    return _in_full_vectors(maps, convs, count)


def _in_full_vectors(maps: Iterable[Tensor], convs: Sequence[nn.Conv2d], count: int) -> Tensor:
    channels = convs[0].out_channels
    wide = channels - channels % LANES
    kernels = [(conv.weight[:wide], conv.bias[:wide], conv.padding, conv.dilation) for conv in convs]
    taps = torch.cat([conv.weight[wide:].permute(2, 3, 0, 1).flatten(0, 2) for conv in convs])  # [D k k E, C]
    out: Tensor | None = None
    products, done = [], 0
    for batch in maps:
        for index, (weight, bias, padding, dilation) in enumerate(kernels):
            part = F.conv2d(batch, weight, bias, 1, padding, dilation)
            if out is None:
                out = part.new_empty(count, len(convs), channels, *part.shape[2:])
            out[done : done + len(batch), index, :wide] = part
        products.append(taps @ batch.flatten(2))
        done += len(batch)
    assert out is not None  # there is a map
    out[:, :, wide:] = torch.stack([conv.bias[wide:] for conv in convs])[..., None, None]
    _add_moved(out[:, :, wide:], torch.cat(products), convs)
    return out.flatten(1, 2)


def _add_moved(out: Tensor, products: Tensor, convs: Sequence[nn.Conv2d]) -> None:
    """Add to (S, D, E, H, W) the taps' products (S, D k k E, H W), each from where its tap looks."""
    height, width = out.shape[-2:]
    size = convs[0].kernel_size[0]
    products = products.view(len(out), len(convs), size, size, -1, height, width)
    for index, conv in enumerate(convs):
        for row in range(size):
            here_y, there_y = _overlap(conv.dilation[0] * (row - size // 2), height)
            for column in range(size):
                here_x, there_x = _overlap(conv.dilation[0] * (column - size // 2), width)
                out[:, index, :, here_y, here_x] += products[:, index, row, column, :, there_y, there_x]


def _overlap(step: int, length: int) -> tuple[slice, slice]:
    """The places whose place ``step`` further is on the map too, and those further places."""
    first, last = max(0, -step), max(0, min(length, length - step))
    first = min(first, last)
    return slice(first, last), slice(first + step, last + step)
