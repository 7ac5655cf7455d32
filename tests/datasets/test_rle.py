from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from maskprop.datasets.rle import compress, decode_mask, inspect_masks, measure_strings


def random_masks(count: int, height: int, width: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    masks = [(rng.random((height, width)) < rng.random()).astype(np.uint8) for _ in range(count)]
    masks += [np.zeros((height, width), np.uint8), np.ones((height, width), np.uint8)]
    blob = np.zeros((height, width), np.uint8)
    blob[3:9, 2:30] = 1
    return [*masks, blob]


def rle(mask: np.ndarray) -> dict:
    return coco_mask.encode(np.asfortranarray(mask))


def test_measure_strings_agrees_with_pycocotools_on_all_strings_at_once():
    masks = random_masks(20, 37, 53) + [np.pad(m, ((0, 500), (0, 700))) for m in random_masks(4, 20, 40)]
    total, area, readable = measure_strings([rle(m)['counts'] for m in masks])
    assert readable.all()
    np.testing.assert_array_equal(total, [m.size for m in masks])
    np.testing.assert_array_equal(area, [m.sum() for m in masks])


def test_measure_strings_finds_each_malformed_string_without_touching_its_neighbours():
    good = rle(random_masks(1, 30, 30)[0])['counts']
    broken = {
        'empty': b'',
        'a character above the alphabet': good[:3] + b'z' + good[4:],
        'a character below the alphabet': good[:3] + b' ' + good[4:],
        'ends inside a number': good + b'P',
        'a number without end': b'P' * 12 + b'0',
        'a negative run': b'0O',  # 0, then -1
    }
    strings = [s for bad in broken.values() for s in (good, bad)] + [good]
    total, _, readable = measure_strings(strings)
    assert readable.tolist() == [i % 2 == 0 for i in range(len(strings))]
    assert (total[::2] == 900).all()


def test_measure_strings_of_nothing():
    assert [len(x) for x in measure_strings([])] == [0, 0, 0]


@pytest.mark.parametrize('height,width', [(1, 1), (9, 1), (1, 9), (40, 31)])
def test_decode_mask_of_every_encoding(height, width):
    mask = np.zeros((height, width), np.uint8)
    mask[height // 3 :, : width // 2 + 1] = 1
    pixels = mask.T.reshape(-1)
    runs, value = [], 0
    while len(pixels):  # alternating runs of 0 and 1, beginning with 0
        run = int(np.argmax(pixels != value)) if (pixels != value).any() else len(pixels)
        runs.append(run)
        pixels, value = pixels[run:], 1 - value
    encoded = rle(mask)
    forms = [
        encoded,
        dict(size=[height, width], counts=encoded['counts'].decode()),
        dict(size=[height, width], counts=runs),
    ]
    for form in forms:
        decoded = decode_mask(form, height, width)
        assert decoded.dtype == np.uint8
        np.testing.assert_array_equal(decoded, mask)
        again = compress(form, height, width)
        assert isinstance(again['counts'], str) and again == forms[1]


def test_decode_mask_of_polygons_and_of_nothing():
    square = decode_mask([[2, 3, 12, 3, 12, 8, 2, 8], [20, 1, 24, 1, 24, 5, 20, 5]], 10, 30)
    expected = np.zeros((10, 30), np.uint8)
    expected[3:8, 2:12] = 1
    expected[1:5, 20:24] = 1
    np.testing.assert_array_equal(square, expected)
    assert decode_mask(None, 4, 5).shape == (4, 5) and decode_mask([], 4, 5).sum() == 0


def test_decode_mask_refuses_what_would_hang_pycocotools():
    with pytest.raises(ValueError, match=r'sum to 3 in a picture of 4 x 5 = 20 pixels'):
        decode_mask(dict(size=[4, 5], counts=[1, 2]), 4, 5)


def test_runs_whose_int64_sum_wraps_to_the_right_one_are_refused():
    pixels = 48 * 64
    faults, _ = inspect_masks([dict(size=[48, 64], counts=[2**63 - 1, 2**63 - 1, 2 + pixels])], 48, 64)
    assert [fault.rule for fault in faults] == ['rle-counts'] and str(2**64 + pixels) in faults[0].found


@pytest.mark.parametrize('character', ['\xe9', '\u20ac', '\udc80'], ids=ascii)
def test_a_character_of_another_alphabet_is_not_read_as_one_of_rle(character):
    assert inspect_masks([dict(size=[3, 5], counts='?')], 3, 5)[0] == []  # 15 pixels of background
    faults, _ = inspect_masks([dict(size=[3, 5], counts=character)], 3, 5)
    assert [fault.rule for fault in faults] == ['rle-counts']


def test_areas_are_exact_for_rle_and_unknown_otherwise():
    mask = random_masks(1, 12, 10)[0]
    whole = dict(size=[12, 10], counts=[0, 120])
    faults, areas = inspect_masks([rle(mask), None, whole, [[0, 0, 4, 0, 4, 4]]], 12, 10)
    assert not faults
    np.testing.assert_array_equal(areas, [mask.sum(), np.nan, 120, np.nan])
