"""What the kernels behind ``mmcv.ops`` are compared with: plain PyTorch forms, and how gradients are taken."""

from __future__ import annotations

import torch
from torch import Tensor


def corners(image: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Bilinear lookup of ``image`` (C, H, W) at ``y``, ``x`` (any shape S): (C, *S); outside it is zero."""
    height, width = image.shape[1:]
    y0, x0 = y.floor(), x.floor()
    value = 0
    for row, weight_y in ((y0, 1 - (y - y0)), (y0 + 1, y - y0)):
        for column, weight_x in ((x0, 1 - (x - x0)), (x0 + 1, x - x0)):
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            row_index = row.clamp(0, height - 1).long()
            column_index = column.clamp(0, width - 1).long()
            value = value + image[:, row_index, column_index] * (weight_y * weight_x * inside)
    return value


def plain_deform_conv(x, offset, weight, mask=None, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Deformable convolution as a sum over images and taps; channels are split by offset group and by group."""
    kernel_h, kernel_w = weight.shape[2:]
    taps = kernel_h * kernel_w
    out_h, out_w = offset.shape[2:]
    offset_groups = offset.shape[1] // (2 * taps)
    rows = torch.arange(out_h, dtype=x.dtype)[:, None] * stride - padding
    columns = torch.arange(out_w, dtype=x.dtype)[None] * stride - padding
    images = []
    for n in range(len(x)):
        per_tap = []
        for tap in range(taps):
            parts = []
            for group, part in enumerate(x[n].chunk(offset_groups)):
                k = group * taps + tap
                y = rows + tap // kernel_w * dilation + offset[n, 2 * k]
                z = columns + tap % kernel_w * dilation + offset[n, 2 * k + 1]
                sampled = corners(part, y, z)
                parts.append(sampled if mask is None else sampled * mask[n, k])
            per_tap.append(torch.cat(parts))
        sampled = torch.stack(per_tap, 1).unflatten(0, (groups, -1))  # [G, C / G, taps, h, w]
        kernel = weight.flatten(2).unflatten(0, (groups, -1))  # [G, C' / G, C / G, taps]
        images.append(torch.einsum('gckhw,gock->gohw', sampled, kernel).flatten(0, 1))
    result = torch.stack(images)
    return result if bias is None else result + bias[:, None, None]


def plain_roi_align(x: Tensor, rois: Tensor, size: int, scale: float, samples: int, aligned: bool) -> Tensor:
    """The mean of samples x samples bilinear lookups per cell; points up to a pixel outside are moved inside."""
    height, width = x.shape[2:]
    pooled = []
    for roi in rois:
        x1, y1, x2, y2 = roi[1:] * scale - (0.5 if aligned else 0.0)
        box_w, box_h = x2 - x1, y2 - y1
        if not aligned:
            box_w, box_h = box_w.clamp(min=1), box_h.clamp(min=1)
        steps = (torch.arange(size * samples, dtype=x.dtype) + 0.5) / (size * samples)
        y, z = torch.meshgrid(y1 + steps * box_h, x1 + steps * box_w, indexing='ij')
        inside = (y >= -1) & (y <= height) & (z >= -1) & (z <= width)
        values = corners(x[int(roi[0])], y.clamp(0, height - 1), z.clamp(0, width - 1)) * inside
        pooled.append(values.unflatten(1, (size, samples)).unflatten(3, (size, samples)).mean((2, 4)))
    return torch.stack(pooled) if pooled else x.new_zeros(0, x.shape[1], size, size)


def plain_nms(boxes: Tensor, scores: Tensor, threshold: float, offset: int) -> list[int]:
    def area(b):
        return float((b[2] - b[0] + offset).clamp(min=0) * (b[3] - b[1] + offset).clamp(min=0))

    kept: list[int] = []
    for i in scores.argsort(descending=True).tolist():
        overlaps = []
        for j in kept:
            common = area(
                torch.cat([torch.max(boxes[i, :2], boxes[j, :2]), torch.min(boxes[i, 2:], boxes[j, 2:])])
            )
            overlaps.append(common / (area(boxes[i]) + area(boxes[j]) - common))
        if all(overlap <= threshold for overlap in overlaps):
            kept.append(i)
    return kept


def leaves(*tensors: Tensor | None) -> list[Tensor | None]:
    return [None if t is None else t.detach().clone().requires_grad_() for t in tensors]


def loss_of(value: Tensor) -> Tensor:
    """A fixed random weighted sum of ``value``; the weights are eighths, exact in every type."""
    weights = torch.randn(value.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    return (value * (8 * weights).round().div(8).to(value)).sum()


def outcome(function, tensors) -> list[Tensor]:
    """The value of ``function(*tensors)`` and the gradients that a fixed random loss gives every tensor."""
    tensors = leaves(*tensors)
    value = function(*tensors)
    gradients = torch.autograd.grad(loss_of(value), [t for t in tensors if t is not None])
    return [value.detach(), *gradients]


def assert_equal(actual: list[Tensor], expected: list[Tensor]) -> None:
    for a, b in zip(actual, expected, strict=True):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def assert_close(actual: list[Tensor], expected: list[Tensor], tolerance: float = 1e-9) -> None:
    for a, b in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
