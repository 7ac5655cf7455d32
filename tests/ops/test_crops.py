"""Windows around boxes: where they are, what a crop of them shows, and that pasting it back undoes it."""

from __future__ import annotations

import math

import pytest
import torch

from maskprop.ops.crops import boxes_in_windows, crop_windows, square_windows
from maskprop.ops.masks import paste_soft_masks

HEIGHT, WIDTH = 20, 30


def test_windows_are_squares_around_the_longer_side():
    boxes = torch.tensor([[10.0, 20, 30, 28], [4, 4, 6, 10], [5, 5, 5, 5], [7, 7, 7.2, 7.1]])
    expected = [[5, 9, 35, 39], [0.5, 2.5, 9.5, 11.5], [4.5, 4.5, 5.5, 5.5], [6.6, 6.55, 7.6, 7.55]]
    torch.testing.assert_close(square_windows(boxes, 1.5), torch.tensor(expected))
    assert square_windows(boxes[:0]).shape == (0, 4)


def test_boxes_in_windows():
    boxes, windows = torch.tensor([[10.0, 20, 30, 28]]), torch.tensor([[5.0, 9, 35, 39]])
    # 30 pixels onto 60: two for one
    torch.testing.assert_close(boxes_in_windows(boxes, windows, 60), torch.tensor([[10.0, 22, 50, 38]]))


def bilinear(image: torch.Tensor, x: float, y: float) -> float:
    """One sample at a point, pixel centres at .5, zeros beyond the border."""
    value = 0.0
    left, top = math.floor(x - 0.5), math.floor(y - 0.5)
    for row in (top, top + 1):
        for column in (left, left + 1):
            if 0 <= row < image.shape[0] and 0 <= column < image.shape[1]:
                weight = (1 - abs(x - 0.5 - column)) * (1 - abs(y - 0.5 - row))
                value += weight * float(image[row, column])
    return value


def literal_crop(image: torch.Tensor, window: list[float], size: int) -> torch.Tensor:
    """Pixel by pixel: each is the mean of as many samples a side as image pixels fall on it, rounded up."""
    x1, y1, x2, _ = window
    side = (x2 - x1) / size
    samples = math.ceil(side)
    points = [(i + 0.5) / samples * side for i in range(samples)]
    crop = torch.zeros(size, size)
    for row in range(size):
        for column in range(size):
            values = [bilinear(image, x1 + column * side + x, y1 + row * side + y) for x in points for y in points]
            crop[row, column] = sum(values) / len(values)
    return crop


@pytest.mark.parametrize(
    'window',
    [
        [3.3, 2.1, 10.7, 9.5],  # enlarged
        [2.0, 1.0, 19.5, 18.5],  # shrunk, two samples a side
        [-9.25, -6.5, 25.75, 28.5],  # shrunk, over three borders
        [27.2, 15.7, 33.2, 21.7],  # over the lower right corner
        [40.0, 5.0, 46.0, 11.0],  # outside
        [29.5, 19.4, 30.5, 20.4],  # a pixel
    ],
)
def test_crop_equals_the_literal_form(window):
    image = torch.rand(HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    crop = crop_windows(image[None, None], [torch.tensor([window])], 8)[0, 0]
    torch.testing.assert_close(crop, literal_crop(image, window, 8), atol=1e-5, rtol=0)


@pytest.mark.parametrize('x, y', [(9, 3), (-5, -7), (22, 11), (-14, 5), (29, 4)])
def test_at_scale_one_a_crop_is_a_slice_of_the_image_padded_with_zeros(x, y):
    image = torch.rand(2, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(image, (40, 40, 40, 40))
    crop = crop_windows(image[None], [torch.tensor([[x, y, x + 14.0, y + 14.0]])], 14)
    assert torch.equal(crop[0], padded[:, y + 40 : y + 54, x + 40 : x + 54])


@pytest.mark.parametrize('x, y', [(9, 3), (-5, -7), (22, 11)])
def test_at_scale_one_pasting_a_crop_back_is_exact(x, y):
    image = torch.rand(1, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    window = torch.tensor([[x, y, x + 16.0, y + 16.0]])
    pasted = paste_soft_masks(crop_windows(image[None], [window], 16)[0], window, HEIGHT, WIDTH)
    expected = torch.zeros_like(image)
    inside = (slice(None), slice(max(y, 0), y + 16), slice(max(x, 0), x + 16))
    expected[inside] = image[inside]
    # pasting works in coordinates from -1 to 1 and rounds
    torch.testing.assert_close(pasted, expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize('window', [[2.3, 1.6, 15.4, 14.7], [-4.2, -3.1, 14.8, 15.9], [20.7, 10.2, 33.7, 23.2]])
def test_pasting_an_enlarged_crop_back_gives_the_binary_mask(window):
    mask = torch.zeros(1, HEIGHT, WIDTH)
    mask[0, 3:9, 0:12] = 1
    mask[0, 5, 13] = 1  # a single pixel
    mask[0, 12:20, 24:] = 1
    box = torch.tensor([window])
    pasted = paste_soft_masks((crop_windows(mask[None], [box], 100)[0] >= 0.5).float(), box, HEIGHT, WIDTH)
    ys, xs = torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5
    inside = ((ys > window[1]) & (ys < window[3]))[:, None] & ((xs > window[0]) & (xs < window[2]))
    assert torch.equal(pasted[0] >= 0.5, mask[0].bool() & inside)


def test_pasting_a_shrunk_crop_back_keeps_a_disc():
    ys, xs = torch.meshgrid(torch.arange(200.0), torch.arange(200.0), indexing='ij')
    disc = ((xs - 93).square() + (ys - 108).square()).sqrt() < 60
    window = square_windows(torch.tensor([[33.0, 48, 153, 168]]))
    pasted = paste_soft_masks(crop_windows(disc[None, None].float(), [window], 64)[0], window, 200, 200)[0] >= 0.5
    assert (pasted & disc).sum() / (pasted | disc).sum() > 0.97


def test_windows_are_cut_from_their_own_map():
    maps = torch.arange(3.0)[:, None, None, None].expand(3, 2, HEIGHT, WIDTH)
    windows = [torch.tensor([[4.0, 4, 9, 9]]).repeat(n, 1) for n in (2, 0, 1)]
    assert crop_windows(maps, windows, 4).mean((1, 2, 3)).tolist() == [0, 0, 2]
    assert crop_windows(maps, [w[:0] for w in windows], 4).shape == (0, 2, 4, 4)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.bool])
def test_maps_and_windows_of_other_types_are_cropped_in_float32(dtype):
    image = (torch.rand(1, 1, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0)) > 0.5).to(dtype)
    window = torch.tensor([[3.5, 2.25, 10.5, 9.25]])
    half = window.to(dtype if dtype.is_floating_point else torch.float32)
    crop = crop_windows(image, [half], 9)
    assert crop.dtype == torch.float32
    assert torch.equal(crop, crop_windows(image.float(), [window], 9))
