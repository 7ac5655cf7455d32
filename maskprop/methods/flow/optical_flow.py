"""Optical flow as a map: looking values up along it, joining two flows, and where it can be trusted.

A flow from a to b is a (B, 2, H, W) field, x before y, in cells of its own grid: what is at p in a is at
p + F(p) in b.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(values: Tensor, flow: Tensor) -> Tensor:
    """Backward warping: at each p the value at p + F(p), bilinearly; beyond the map, that of its nearest cell.

    Args:
        values: (B, C, H, W) float, known in b.
        flow: (B, 2, H, W) float, from a to b.

    Returns:
        (B, C, H, W) float, the values in a.
    """
    return F.grid_sample(values, _looked_up(flow), padding_mode='border', align_corners=False)


def ends_inside(flow: Tensor) -> Tensor:
    """Where p + F(p) lies on one of the map's cells: (B, H, W) bool, of a (B, 2, H, W) flow."""
    return (_looked_up(flow).abs() <= 1).all(-1)


def compose_flows(first: Tensor, second: Tensor) -> Tensor:
    """The flow from a to c: F_ac(p) = F_ab(p) + F_bc(p + F_ab(p)).

    Args:
        first: (B, 2, H, W) float, F_ab. second: (B, 2, H, W) float, F_bc.
    """
    return first + warp(second, first)


def consistent(flow: Tensor, back: Tensor, relative: float = 0.01, absolute: float = 0.5) -> Tensor:
    """Where the way there and back ends near its start: what is seen in both frames, and found again.

    |F_ab(p) + F_ba(q)|^2 < relative (|F_ab(p)|^2 + |F_ba(q)|^2) + absolute, with q = p + F_ab(p) inside the map.

    Args:
        flow: (B, 2, H, W) float, F_ab. back: (B, 2, H, W) float, F_ba.
        relative: tolerance for long ways, without unit. absolute: in cells squared.

    Returns:
        (B, H, W) bool, in a.
    """
    returned = warp(back, flow)
    error = (flow + returned).square().sum(1)
    length = flow.square().sum(1) + returned.square().sum(1)
    return (error < relative * length + absolute) & ends_inside(flow)


def pool_flow(flow: Tensor, shown: tuple[int, int], stride: int, cells: tuple[int, int]) -> Tensor:
    """A flow's mean over the cells of a coarser grid.

    Args:
        flow: (B, 2, h, w) float, of the picture without padding, in its own pixels.
        shown: (height, width) of the picture in pixels of the network's input.
        stride: pixels of the network's input per cell.
        cells: (H, W) of the grid; where it goes on beyond the picture, the picture's edge does too.

    Returns:
        (B, 2, H, W) float, in cells.
    """
    unit = flow.new_tensor([shown[1] / flow.shape[-1], shown[0] / flow.shape[-2]]) / stride
    return pool_picture(flow * unit[:, None, None], shown, stride, cells)


def pool_picture(values: Tensor, shown: tuple[int, int], stride: int, cells: tuple[int, int]) -> Tensor:
    """Means of (B, C, h, w) values over the cells of a coarser grid; other arguments as of :func:`pool_flow`."""
    if values.shape[-2:] != shown:
        values = F.interpolate(values, shown, mode='bilinear', align_corners=False)
    height, width = (side * stride for side in cells)
    values = values[..., :height, :width]
    beyond = (0, width - values.shape[-1], 0, height - values.shape[-2])
    return F.avg_pool2d(F.pad(values, beyond, mode='replicate'), stride)


def _looked_up(flow: Tensor) -> Tensor:
    """p + F(p) of a (B, 2, H, W) flow as ``grid_sample`` has it: (B, H, W, 2), -1 to 1 over the map's cells."""
    height, width = flow.shape[-2:]
    y = torch.arange(height, device=flow.device, dtype=flow.dtype) + 0.5
    x = torch.arange(width, device=flow.device, dtype=flow.dtype) + 0.5
    grid_y, grid_x = y[:, None] + flow[:, 1], x + flow[:, 0]
    return torch.stack([2 * grid_x / width, 2 * grid_y / height], -1) - 1
