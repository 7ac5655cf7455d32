"""Decoding compressed RLE equals pycocotools; strings that aren't masks are refused, not waited for."""

from __future__ import annotations

import numpy as np
import pytest
from eval_cases import blob, encode
from pycocotools import mask as mask_api

from maskprop.evaluation.rle import RLEError, add_intersections, decode_counts, decode_masks


def compress(runs: list[int], height: int, width: int) -> str:
    return mask_api.frPyObjects({'size': [height, width], 'counts': runs}, height, width)['counts'].decode()


def intervals(masks, index: int) -> list[tuple[int, int]]:
    rows = slice(masks.offsets[index], masks.offsets[index + 1])
    return list(zip(masks.starts[rows].tolist(), masks.ends[rows].tolist(), strict=True))


def test_runs_equal_the_mask():
    rng = np.random.default_rng(0)
    for _ in range(50):
        mask = blob(rng, *rng.integers(1, 60, 2).tolist())
        runs = decode_counts(encode(mask)['counts'])
        values = np.repeat(np.arange(runs.size) % 2, runs)
        assert np.array_equal(values, mask.ravel(order='F'))


def test_large_runs_and_differences():
    for runs in ([0, 10**6], [999_999, 1], [3, 500_000, 1, 2, 499_994], [10**6]):
        assert decode_counts(compress(runs, 1000, 1000)).tolist() == runs


def test_numba_intervals_and_areas_equal_the_masks():
    rng = np.random.default_rng(1)
    dense = [blob(rng, 9, 14) for _ in range(40)]
    tracks = [
        [encode(a)['counts'], None, encode(b)['counts']] for a, b in zip(dense[::2], dense[1::2], strict=True)
    ]
    keep = np.arange(20) % 3 != 0
    for use_numba in (True, False):
        masks = decode_masks(tracks, 3, (9, 14), keep, use_numba)
        expected = [[a.sum(), 0, b.sum()] for a, b in zip(dense[::2], dense[1::2], strict=True)]
        assert np.array_equal(masks.areas, expected)
    masks = decode_masks(tracks, 3, (9, 14), keep, True)
    for row in range(20):
        flat = np.zeros(9 * 14, dtype=bool)
        for start, end in intervals(masks, row * 3):
            flat[start:end] = True
        assert np.array_equal(flat, dense[2 * row].ravel(order='F') if keep[row] else np.zeros_like(flat))


def test_zero_runs_are_legal():
    masks = decode_masks([[compress([2, 3, 0, 4, 3], 3, 4)]], 1, (3, 4), np.ones(1, bool), True)
    assert intervals(masks, 0) == [(2, 5), (5, 9)]
    assert masks.areas.tolist() == [[7]]


def to_text(counts: str | bytes) -> str:
    return counts.decode() if isinstance(counts, bytes) else counts


def runs_with_empty_ones(rng: np.random.Generator, pixels: int) -> list[int]:
    borders = np.sort(rng.choice([0, 3, 4, 5, 8, 9, pixels], 7))
    return np.diff(np.concatenate([[0], borders, [pixels]])).tolist()


def test_intersections_of_masks_with_empty_runs():
    rng = np.random.default_rng(0)
    size, pixels = (3, 5), 15
    for _ in range(100):
        dense, tracks = [], []
        for _ in range(2):
            runs = [runs_with_empty_ones(rng, pixels) for _ in range(3)]
            dense.append([np.repeat(np.arange(len(r)) % 2, r) for r in runs])
            tracks.append([[compress(r, *size)] for r in runs])
        for use_numba in (True, False):
            left, right = (decode_masks(t, 1, size, np.ones(3, bool), use_numba) for t in tracks)
            total = np.zeros((3, 3), dtype=np.int64)
            add_intersections(left, right, np.arange(3), np.arange(3), range(1), total[None])
            assert np.array_equal(total, np.array(dense[0]) @ np.array(dense[1]).T)


@pytest.mark.parametrize('use_numba', [True, False])
def test_strings_may_be_text_or_bytes_or_both(use_numba):
    text = [[compress([4, 3, 5], 3, 4), None], [compress([0, 12], 3, 4), compress([12], 3, 4)]]
    text = [[counts if counts is None else to_text(counts) for counts in row] for row in text]
    binary = [[counts if counts is None else counts.encode() for counts in row] for row in text]
    for rows in (text, binary, [text[0], binary[1]], [binary[0], text[1]]):
        masks = decode_masks(rows, 2, (3, 4), np.ones(2, bool), use_numba)
        assert masks.areas.tolist() == [[3, 0], [12, 0]]
        assert [part.tolist() for part in masks.intervals(0)] == [[0], [4], [7]]


BAD = {
    'short': (compress([3, 4], 3, 4), 'sum to 7.*3 x 4 = 12'),
    'long': (compress([3, 40], 3, 4), 'sum to 43.*3 x 4 = 12'),
    'empty': ('', 'sum to 0'),
    'character': ('1 2', 'character'),
    'foreign character': ('12\u20ac', 'character'),
    'character one bit off': ('|', 'character'),  # '<' is the empty mask
    'cut within a number': (compress([0, 1000], 10, 100)[:-1], 'ends within a number'),
    'negative run': ('3O', 'negative'),
    'endless number': ('\\' + 'P' * 20 + '0', 'too large'),  # 12 with leading zeros
}


@pytest.mark.parametrize('use_numba', [True, False])
@pytest.mark.parametrize('name', BAD)
def test_bad_strings_are_refused(name, use_numba):
    text, message = BAD[name]
    good = compress([12], 3, 4)
    with pytest.raises(RLEError, match=message) as caught:
        decode_masks([[good, None], [good, text]], 2, (3, 4), np.ones(2, bool), use_numba)
    assert caught.value.index == 3
