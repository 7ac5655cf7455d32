"""The boxes and RoIs of mmdet 0.x and 1.x, against slow literal forms."""

from __future__ import annotations

import math

import pytest
import torch

import maskprop

maskprop.register_all()

from mmdet.registry import MODELS, TASK_UTILS  # noqa: E402

MEANS, STDS = [0.0, 0.0, 0.0, 0.0], [0.1, 0.1, 0.2, 0.2]


@pytest.fixture(scope='module')
def coder():
    return TASK_UTILS.build(dict(type='PixelDeltaBoxCoder', target_means=MEANS, target_stds=STDS))


def decode_literally(box, delta, size=None):
    """Of one box: pixels are counted, x1 and x2 both belong to the box."""
    corners = []
    for axis in (0, 1):
        side = box[axis + 2] - box[axis] + 1
        centre = (box[axis] + box[axis + 2]) / 2 + side * delta[axis] * STDS[axis]
        new_side = side * math.exp(delta[axis + 2] * STDS[axis + 2])
        first, last = centre - (new_side - 1) / 2, centre + (new_side - 1) / 2
        if size is not None:
            first, last = (min(max(value, 0), size[1 - axis] - 1) for value in (first, last))
        corners.append((first, last))
    return [corners[0][0], corners[1][0], corners[0][1], corners[1][1]]


@pytest.mark.parametrize('size', [None, (60, 80)])
def test_decode_counts_pixels(coder, size):
    generator = torch.Generator().manual_seed(0)
    boxes = torch.rand(20, 4, generator=generator) * 40
    boxes[:, 2:] += boxes[:, :2]
    deltas = torch.randn(20, 4, generator=generator) * 3
    expected = [decode_literally(b, d, size) for b, d in zip(boxes.tolist(), deltas.tolist(), strict=True)]
    found = coder.decode(boxes, deltas, max_shape=size)
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-4, rtol=1e-5)


def test_decode_inverts_encode(coder):
    boxes = torch.tensor([[10.0, 20, 29, 49], [0, 0, 0, 0]])
    wanted = torch.tensor([[12.0, 18, 40, 44], [3, 1, 5, 2]])
    torch.testing.assert_close(coder.decode(boxes, coder.encode(boxes, wanted)), wanted)
    torch.testing.assert_close(coder.decode(boxes, torch.zeros(2, 4)), boxes)
    per_class = torch.cat([coder.encode(boxes, wanted), torch.zeros(2, 4)], 1)
    torch.testing.assert_close(coder.decode(boxes, per_class), torch.cat([wanted, boxes], 1))
    assert coder.decode(boxes[:0], per_class[:0]).shape == (0, 8)


def align_literally(feats, roi, stride, size):
    """RoIAlign of one RoI with two samples a bin and no half-pixel shift; x2 and y2 are inclusive."""
    height, width = feats.shape[-2:]
    x1, y1, x2, y2 = roi
    start, extent = (x1 / stride, y1 / stride), ((x2 + 1 - x1) / stride, (y2 + 1 - y1) / stride)

    def at(x, y):
        x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
        left, top = int(x), int(y)
        right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
        u, v = x - left, y - top
        upper = feats[:, top, left] * (1 - u) + feats[:, top, right] * u
        lower = feats[:, bottom, left] * (1 - u) + feats[:, bottom, right] * u
        return upper * (1 - v) + lower * v

    out = feats.new_zeros(len(feats), size, size)
    for row in range(size):
        for column in range(size):
            for i in (0.25, 0.75):
                for j in (0.25, 0.75):
                    x = start[0] + (column + j) * extent[0] / size
                    y = start[1] + (row + i) * extent[1] / size
                    out[:, row, column] += at(x, y) / 4
    return out


def test_roi_reaches_to_the_end_of_its_last_pixel():
    extractor = MODELS.build(
        dict(
            type='LegacyRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=3, sampling_ratio=2, aligned=False),
            out_channels=2,
            featmap_strides=[4, 8],
            finest_scale=16,
        )
    )
    generator = torch.Generator().manual_seed(0)
    feats = [torch.randn(1, 2, 16, 24, generator=generator), torch.randn(1, 2, 8, 12, generator=generator)]
    # the second one's side is 32 with its last pixel, without it 31: only so it goes to the coarse level
    boxes, levels = [[8.0, 5, 27, 20], [10, 12, 41, 43], [2, 3, 80, 60], [30, 31, 37, 39]], [0, 1, 1, 0]
    rois = torch.tensor([[0, *box] for box in boxes])
    found = extractor(tuple(feats), rois)
    for roi, box, level in zip(found, boxes, levels, strict=True):
        expected = align_literally(feats[level][0], box, (4, 8)[level], 3)
        torch.testing.assert_close(roi, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(rois[:, 3], torch.tensor([27.0, 41, 80, 37]))  # the caller's stay


def test_anchors_are_whole_pixels_around_the_middle_pixel():
    """Of the legacy configs: every anchor, one by one, as the reference made it."""
    generator = TASK_UTILS.build(
        dict(
            type='LegacyAnchorGenerator', center_offset=0.5, scales=[8], ratios=[0.5, 1.0, 2.0], strides=[4, 8, 64]
        )
    )
    for level, stride in enumerate((4, 8, 64)):
        expected = []
        for row in range(2):
            for column in range(3):
                for ratio in (0.5, 1.0, 2.0):
                    width, height = 8 * stride / math.sqrt(ratio), 8 * stride * math.sqrt(ratio)
                    middle = (stride - 1) / 2
                    corners = [middle - (width - 1) / 2, middle - (height - 1) / 2]
                    corners += [middle + (width - 1) / 2, middle + (height - 1) / 2]
                    shift = [column * stride, row * stride] * 2
                    expected.append([round(c) + s for c, s in zip(corners, shift, strict=True)])
        found = generator.single_level_grid_priors((2, 3), level, device='cpu')
        assert found.tolist() == expected
