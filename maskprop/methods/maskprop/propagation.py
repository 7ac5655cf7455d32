"""Mask propagation by deformable convolution: the paper's form and an exact fast one (MaskProp, Section 4.2).

Shapes: C feature channels, H x W cells, N instances, S target frames, D dilations, K = D * k * k kernel taps,
R output channels. Offsets are (S, K, 2, H, W) in cells, (dy, dx), taps row by row, dilation by dilation.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import deform_conv2d

from maskprop.methods.maskprop.sparse_lookups import can_skip_empty_cells, look_up_masks
from maskprop.ops.uploads import numbers_on

CPU_NUMBERS = 1  # looked up at once: on a CPU what one frame needs fits in the cache
GPU_NUMBERS = 2**26  # .25 GiB


def propagate_features(
    features: Tensor, masks: Tensor, offsets: Tensor, weights: Tensor, dilations: Sequence[int]
) -> Tensor:
    """As the paper writes it: deformable convolution over every instance's masked features.

    Slow; kept as the reference that the fast form is tested against, and to draw propagated features (Figure 5).

    Args:
        features: (C, H, W) float, frame t.
        masks: (N, H, W) float, instance masks of frame t.
        offsets: (S, K, 2, H, W) float, cells.
        weights: (D, C_out, C, k, k) float, one kernel per dilation.
        dilations: D dilations.

    Returns:
        (S, N, C_out, H, W) float: the propagated instance features g, summed over the dilations.
    """
    k = weights.shape[-1]
    instance_features = features[None] * masks[:, None]  # [N, C, H, W]
    frames = []
    for frame_offsets in offsets:
        propagated = instance_features.new_zeros(())
        for d, (weight, dilation) in enumerate(zip(weights, dilations, strict=True)):
            taps = frame_offsets[d * k * k : (d + 1) * k * k].flatten(0, 1)  # [2 k k, H, W]
            taps = taps.expand(len(masks), -1, -1, -1).contiguous()
            padding = dilation * (k // 2)
            propagated = propagated + deform_conv2d(
                instance_features, taps, weight, padding=padding, dilation=dilation
            )
        frames.append(propagated)
    return torch.stack(frames)


def fold_kernels(weights: Tensor, projection: Tensor) -> Tensor:
    """Fold a 1x1 convolution that follows the deformable kernels into them.

    Args:
        weights: (D, C_out, C, k, k) float.
        projection: (R, C_out) float, the 1x1 convolution.

    Returns:
        (R * K, C, 1, 1) float: a 1x1 convolution that maps features to the value maps of :func:`propagate_values`.
    """
    folded = torch.einsum('ro,docij->rdijc', projection, weights)
    return folded.reshape(-1, weights.shape[2], 1, 1)


def propagate_values(
    values: Tensor, masks: Tensor, offsets: Tensor, dilations: Sequence[int], kernel_size: int = 3
) -> Tensor:
    """The same function as :func:`propagate_features` and a 1x1 projection, K bilinear lookups per instance.

    ``out[s, i, r, p] = sum_k sample(masks[i] * values[r, k], p + tap_k + offsets[s, k, :, p])``: the projection
    commutes with the deformable convolution, so only R numbers per tap are looked up instead of C features.
    With gradients on, a four-corner gather with the floor on cell coordinates is used: its offset gradients equal
    deformable convolution's also at integer positions, where the bilinear derivative jumps and ``grid_sample``'s
    normalising round trip picks either side. Without, on a CPU only what masks cover is looked up
    (:mod:`~maskprop.methods.maskprop.sparse_lookups`); else ``grid_sample`` (not on maps one cell high or wide).

    Args:
        values: (R, K, H, W) float, value maps of frame t, see :func:`fold_kernels`.
        masks: (N, H, W) float, instance masks of frame t.
        offsets: (S, K, 2, H, W) float, cells.
        dilations: D dilations.
        kernel_size: k, odd.

    Returns:
        (S, N, R, H, W) float32.
    """
    values, masks, offsets = values.float(), masks.float(), offsets.float()
    trained = torch.is_grad_enabled() and any(v.requires_grad for v in (values, masks, offsets))
    if not trained and can_skip_empty_cells(values, masks, offsets):
        return look_up_masks(values, masks, offsets, dilations, kernel_size)
    # on one row or column grid_sample's -1 and 1 are the same cell: nothing would be outside of the map
    if trained or min(values.shape[-2:]) == 1:
        return propagate_pairs(values[None], masks[None], offsets[None], dilations, kernel_size)[0]
    return _sample_by_grid(values, masks, offsets, tuple(dilations), kernel_size)


def propagate_pairs(
    values: Tensor, masks: Tensor, offsets: Tensor, dilations: Sequence[int], kernel_size: int = 3
) -> Tensor:
    """:func:`propagate_values` from B source frames to S targets of each in one call, for training.

    Args:
        values: (B, R, K, H, W) float.
        masks: (B, N, H, W) float.
        offsets: (B, S, K, 2, H, W) float, cells.
        dilations: D dilations.
        kernel_size: k, odd.

    Returns:
        (B, S, N, R, H, W) float32.
    """
    y, x = sampling_positions(offsets.float().flatten(0, 1), dilations, kernel_size)
    y, x = (v.unflatten(0, offsets.shape[:2]) for v in (y, x))
    return _sample_by_gather(values.float(), masks.float(), y, x)


def sampling_positions(offsets: Tensor, dilations: Sequence[int], kernel_size: int) -> tuple[Tensor, Tensor]:
    """Where each tap looks: p + tap_k + offset, in cells.

    Returns:
        y, x: (S, K, H, W) float each.
    """
    height, width = offsets.shape[-2:]
    half = kernel_size // 2
    steps = torch.arange(-half, half + 1, device=offsets.device)
    dilation = numbers_on(offsets.device, dilations)[:, None]
    tap_y = (dilation * steps.repeat_interleave(kernel_size)).flatten()[:, None, None]  # [K, 1, 1]
    tap_x = (dilation * steps.repeat(kernel_size)).flatten()[:, None, None]
    rows = torch.arange(height, device=offsets.device)[:, None]
    columns = torch.arange(width, device=offsets.device)
    return offsets[:, :, 0] + (rows + tap_y), offsets[:, :, 1] + (columns + tap_x)


def _sample_by_grid(
    values: Tensor, masks: Tensor, offsets: Tensor, dilations: tuple[int, ...], kernel_size: int
) -> Tensor:
    (channels, taps, height, width), n = values.shape, len(masks)
    still, scale = _still_grid(height, width, dilations, kernel_size, offsets.device)
    # maps are transposed, so that (dy, dx) is the order that grid_sample wants
    maps = (values.transpose(0, 1)[:, None] * masks[None, :, None]).flatten(1, 2).mT.contiguous()
    numbers = GPU_NUMBERS if offsets.is_cuda else CPU_NUMBERS
    step, out = max(1, numbers // (maps.numel() or 1)), []
    for frames in offsets.split(step):
        grid = offsets.new_empty(taps, len(frames), height, width, 2)
        torch.addcmul(still, frames.permute(1, 0, 3, 4, 2), scale, out=grid)
        # several frames are one higher one
        sampled = F.grid_sample(maps, grid.flatten(1, 2), align_corners=True, padding_mode='zeros').sum(0)
        out.append(sampled.view(n, channels, len(frames), height, width).permute(2, 0, 1, 3, 4))
    return out[0] if len(out) == 1 else torch.cat(out)


@functools.lru_cache(maxsize=4)
def _still_grid(
    height: int, width: int, dilations: tuple[int, ...], kernel_size: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Where taps look without offsets, (K, 1, H, W, 2) from -1 to 1, and the length of a cell there, (2,)."""
    nowhere = torch.zeros(1, len(dilations) * kernel_size**2, 2, height, width, device=device)
    taps = torch.stack(sampling_positions(nowhere, dilations, kernel_size), -1)[0]
    # align_corners=True: -1 and 1 are the centres of the first and the last cell
    scale = numbers_on(device, [2 / max(height - 1, 1), 2 / max(width - 1, 1)])
    return (taps * scale - 1)[:, None], scale


def _sample_by_gather(values: Tensor, masks: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """(B, S, N, R, H, W) of values (B, R, K, H, W), masks (B, N, H, W) and positions (B, S, K, H, W)."""
    (pairs, channels, taps, height, width), n, frames = values.shape, masks.shape[1], y.shape[1]
    # [B * S * H * W, K]: a row per target cell, as embedding_bag wants its bags
    y, x = (v.permute(0, 1, 3, 4, 2).reshape(-1, taps) for v in (y, x))
    index, weight = _corners(y, x, height, width)  # [4, B * S * H * W, K]
    if pairs > 1:  # a source's cells are behind those of the sources before it
        first = torch.arange(pairs, device=values.device) * (height * width)
        index = index + first.repeat_interleave(frames * height * width)[:, None]
    table = values.permute(1, 0, 3, 4, 2).reshape(channels, -1, taps)
    masks = masks.flatten(2).mT.flatten(0, 1).contiguous()  # [B * H * W, N]
    bags = index.permute(1, 2, 0).flatten(1)  # [B * S * H * W, 4 K]
    out = []
    for channel in table:
        # what each corner contributes does not depend on the instance: the sum over taps and corners is one
        # sparse matrix product with the masks
        factor = weight * torch.stack([channel.gather(0, corner) for corner in index])
        factor = factor.permute(1, 2, 0).flatten(1)
        out.append(F.embedding_bag(bags, masks, per_sample_weights=factor, mode='sum'))  # [B * S * H * W, N]
    return torch.stack(out, -1).view(pairs, frames, height, width, n, channels).permute(0, 1, 4, 5, 2, 3)


def _corners(y: Tensor, x: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Flat index and bilinear weight of the four cells around each position; zero weight outside the map."""
    # positions far outside keep zero weight and can't overflow an integer
    top = y.detach().floor().clamp(-2, height + 1)
    left = x.detach().floor().clamp(-2, width + 1)
    fy, fx = y - top, x - left
    index, weight = [], []
    for dy, wy in ((0, 1 - fy), (1, fy)):
        for dx, wx in ((0, 1 - fx), (1, fx)):
            row, column = (top + dy).long(), (left + dx).long()
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            index.append(row.clamp(0, height - 1) * width + column.clamp(0, width - 1))
            weight.append(wy * wx * inside)
    return torch.stack(index), torch.stack(weight)
