"""Windows, crops, masks put back, warps and losses against slow literal forms."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pycocotools.mask as mask_utils
import pytest
import torch

from maskprop.methods.ensemble_vis.losses import VOID, BootstrappedCrossEntropy, SoftMarginTripletLoss
from maskprop.methods.ensemble_vis.mask_warp import warp_masks
from maskprop.methods.ensemble_vis.windows import (
    context_windows,
    crop,
    filled_boxes,
    margin_windows,
    paste_letter,
    resize,
)
from maskprop.ops.masks import encode_mask

SIZE = (40, 60)
BOXES = torch.tensor(
    [[10.5, 5.5, 20.5, 15.4], [-3.0, 2.0, 8.0, 9.0], [50.2, 30.0, 64.0, 47.0], [30.0, 20.0, 30.0, 20.0]]
)


def test_windows_are_rounded_boxes_inside_the_image():
    # halves go to the even number
    assert margin_windows(BOXES, SIZE, 4).tolist() == [
        [6, 2, 24, 19],
        [0, 0, 12, 13],
        [46, 26, 60, 40],
        [26, 16, 34, 24],
    ]
    outside = margin_windows(torch.tensor([[70.0, 50.0, 80.0, 60.0], [-9.0, -9.0, -5.0, -5.0]]), SIZE, 2)
    assert outside.tolist() == [[59, 39, 60, 40], [0, 0, 1, 1]]


def test_windows_with_context():
    box = torch.tensor([[20.0, 10.0, 40.0, 20.0]])
    assert context_windows(box, SIZE, 1.2).tolist() == [[18, 9, 42, 21]]
    assert context_windows(box, SIZE, 1.2, 'train').tolist() == [[18, 9, 42, 21]]
    assert context_windows(box, SIZE, 1.2, 'test').tolist() == [[18, 9, 41, 20]]
    # over the left border: cut, and in the letter shifted
    assert context_windows(BOXES[1:2], SIZE, 1.0).tolist() == [[0, 2, 8, 9]]
    assert context_windows(BOXES[1:2], SIZE, 1.0, 'train').tolist() == [[0, 2, 11, 9]]


def test_crops_are_what_opencv_cuts_out():
    image = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(0))
    windows = margin_windows(BOXES, SIZE, 4)
    crops = crop(image, windows, (48, 32))
    for own, (x1, y1, x2, y2) in zip(crops, windows.tolist(), strict=True):
        cut = image[:, y1:y2, x1:x2].permute(1, 2, 0).numpy()
        expected = torch.from_numpy(cv2.resize(cut, (32, 48), interpolation=cv2.INTER_LINEAR)).permute(2, 0, 1)
        assert torch.allclose(own, expected, atol=1e-5)
    assert crop(image, windows[:0], (8, 8)).shape == (0, 3, 8, 8)


def literal_resize(maps: torch.Tensor, height: int, width: int) -> torch.Tensor:
    found = torch.zeros(len(maps), height, width)
    for y in range(height):
        for x in range(width):
            sy, sx = y * maps.shape[1] / height, x * maps.shape[2] / width
            top, left = int(sy), int(sx)
            bottom, right = min(top + 1, maps.shape[1] - 1), min(left + 1, maps.shape[2] - 1)
            v, u = sy - top, sx - left
            upper = maps[:, top, left] * (1 - u) + maps[:, top, right] * u
            lower = maps[:, bottom, left] * (1 - u) + maps[:, bottom, right] * u
            found[:, y, x] = upper * (1 - v) + lower * v
    return found


@pytest.mark.parametrize('size', [(5, 7), (13, 9), (31, 40)])
def test_resizing_of_the_letter(size):
    maps = torch.rand(2, 13, 17, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(resize(maps, size, letter=True), literal_resize(maps, *size), atol=1e-5)


def test_boxes_and_masks_go_where_they_belong():
    """A filled box, put back, covers its rounded box; nothing is outside of the window."""
    windows = margin_windows(BOXES, SIZE, 4)
    guides = filled_boxes(BOXES, windows, (96, 96))
    soft, binary = paste_letter(guides, windows, SIZE)
    for own, values, (x1, y1, x2, y2), window in zip(
        binary, soft, BOXES.round().int().tolist(), windows.tolist(), strict=True
    ):
        expected = torch.zeros(SIZE, dtype=torch.bool)
        expected[max(y1, 0) : y2, max(x1, 0) : x2] = True
        # without the shift of half a pixel the border may be off by one
        wider = cv2.dilate(expected.numpy().astype(np.uint8), np.ones((3, 3)))
        narrower = cv2.erode(expected.numpy().astype(np.uint8), np.ones((3, 3)))
        assert (own.numpy() <= wider).all() and (own.numpy() >= narrower).all()
        outside = torch.ones(SIZE, dtype=torch.bool)
        outside[window[1] : window[3], window[0] : window[2]] = False
        assert not own[outside].any() and not values[outside].any()


def literal_warp(mask: np.ndarray, flow: np.ndarray, sign: int) -> np.ndarray:
    height, width = mask.shape

    def at(y: int, x: int) -> float:
        return float(mask[y, x]) if 0 <= y < height and 0 <= x < width else 0.0

    found = np.zeros_like(mask)
    for y in range(height):
        for x in range(width):
            sx, sy = x + sign * flow[y, x, 0], y + sign * flow[y, x, 1]
            left, top = math.floor(sx), math.floor(sy)
            u, v = sx - left, sy - top
            value = (1 - v) * ((1 - u) * at(top, left) + u * at(top, left + 1))
            value += v * ((1 - u) * at(top + 1, left) + u * at(top + 1, left + 1))
            found[y, x] = value >= 0.5
    return found


@pytest.mark.parametrize(('direction', 'sign'), [('backward', 1), ('forward_negated', -1)])
def test_warped_masks(direction, sign):
    rng = np.random.default_rng(0)
    masks = np.zeros((2, 20, 30), dtype=np.uint8)
    masks[0, 5:12, 8:20] = 1
    masks[1, :6, 22:] = 1
    flow = (rng.integers(-90, 91, (20, 30, 2)) / 32).astype(np.float32)  # OpenCV rounds to 1/32
    warped = warp_masks([encode_mask(mask) for mask in masks], flow, direction)
    for rle, mask in zip(warped, masks, strict=True):
        assert np.array_equal(mask_utils.decode(rle), literal_warp(mask, flow, sign))
    assert warp_masks([], flow) == []


def test_an_object_that_moves_is_where_it_was_carried():
    """Right by 3 and down by 2: forward flow is (3, 2), backward flow (-3, -2)."""
    mask, moved = (np.zeros((20, 30), dtype=np.uint8) for _ in range(2))
    mask[4:9, 6:14], moved[6:11, 9:17] = 1, 1
    for direction, sign in (('backward', -1), ('forward_negated', 1)):
        flow = np.full((20, 30, 2), (3, 2), dtype=np.float32) * sign
        assert np.array_equal(mask_utils.decode(warp_masks([encode_mask(mask)], flow, direction)[0]), moved)


def test_bootstrapped_cross_entropy():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 2, 6, 7, generator=generator)
    targets = torch.randint(0, 2, (3, 6, 7), generator=generator)
    targets[0, :3] = VOID
    targets[2] = VOID
    for fraction in (0.25, 0.6, 1.0):
        expected = []
        for own, target in zip(logits, targets, strict=True):
            losses = sorted(
                (
                    math.log(1 + math.exp(float(own[1 - t, y, x] - own[t, y, x])))
                    for y in range(6)
                    for x in range(7)
                    if (t := int(target[y, x])) != VOID
                ),
                reverse=True,
            )
            count = round(fraction * len(losses))
            expected.append(sum(losses[:count]) / count if count else 0.0)
        found = BootstrappedCrossEntropy(fraction)(logits, targets)
        assert found.tolist() == pytest.approx(expected, abs=1e-5)
    with pytest.raises(ValueError, match='fraction'):
        BootstrappedCrossEntropy(0)


def test_triplet_loss_without_a_margin():
    generator = torch.Generator().manual_seed(0)
    embeds = torch.randn(9, 4, generator=generator).requires_grad_()
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 3])
    expected = []
    for i in range(9):
        distances = [float((embeds[i] - embeds[j]).detach().norm()) for j in range(9)]
        positive = max(d for d, label in zip(distances, labels, strict=True) if label == labels[i])
        negative = min(d for d, label in zip(distances, labels, strict=True) if label != labels[i])
        expected.append(math.log(1 + math.exp(positive - negative)))
    loss = SoftMarginTripletLoss('sum')(embeds, labels)
    assert float(loss) == pytest.approx(sum(expected), rel=1e-5)
    assert float(SoftMarginTripletLoss()(embeds, labels)) == pytest.approx(sum(expected) / 9, rel=1e-5)
    loss.backward()
    assert embeds.grad.isfinite().all() and embeds.grad.abs().sum() > 0
    alone = SoftMarginTripletLoss()(embeds.detach(), torch.zeros(9, dtype=torch.long))
    assert float(alone) == 0, 'without another identity nothing is to be learnt'
    with pytest.raises(ValueError, match='reduction'):
        SoftMarginTripletLoss('none')
