"""Lookups only where masks are, against those of the training form, which looks everywhere."""

import pytest
import torch

from maskprop.methods.maskprop import sparse_lookups
from maskprop.methods.maskprop.propagation import _sample_by_gather, propagate_values, sampling_positions

DILATIONS, SIZE = (1, 3), (11, 14)
MASKS = {
    'far apart': [(1, 2, 5, 6), (7, 9, 10, 13)],
    'side by side': [(2, 2, 6, 7), (2, 7, 6, 12), (6, 2, 9, 12)],
    'one on the other': [(0, 0, 8, 9), (3, 4, 11, 14), (5, 5, 6, 6)],
    'everywhere': [(0, 0, 11, 14)],
    'no instance': [],
    'none has a cell': [(0, 0, 0, 0), (0, 0, 0, 0)],
}


def make_inputs(boxes, channels=2, frames=3, spread=4.0):
    generator = torch.Generator().manual_seed(0)
    taps = 9 * len(DILATIONS)
    masks = torch.zeros(len(boxes), *SIZE)
    for mask, (top, left, bottom, right) in zip(masks, boxes, strict=True):
        inside = mask[top:bottom, left:right]
        inside.copy_(torch.rand(inside.shape, generator=generator) + 0.1)
    values = torch.randn(channels, taps, *SIZE, generator=generator)
    offsets = spread * torch.randn(frames, taps, 2, *SIZE, generator=generator)
    return values, masks, offsets


def everywhere(values, masks, offsets):
    y, x = sampling_positions(offsets.double(), DILATIONS, 3)
    return _sample_by_gather(values.double()[None], masks.double()[None], y[None], x[None])[0]


@pytest.mark.parametrize('channels', [1, 2])
@pytest.mark.parametrize('kind', MASKS)
def test_equals_lookups_everywhere(kind, channels):
    inputs = make_inputs(MASKS[kind], channels)
    expected = everywhere(*inputs)
    assert expected.abs().max() > 1 if expected.any() else kind.startswith('no')
    torch.testing.assert_close(propagate_values(*inputs, DILATIONS).double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('moved', [-1.0, -0.5, 0.0, 0.5, 1.0, 1e9, float('inf'), float('nan')])
def test_at_the_border_and_far_outside(moved):
    """Positions half outside count half, as zeros lie beyond; what is no place finds nothing."""
    values, masks, offsets = make_inputs(MASKS['everywhere'], spread=0)
    offsets += moved
    found = propagate_values(values, masks, offsets, DILATIONS)
    expected = everywhere(values, masks, offsets.nan_to_num(1e9, posinf=1e9))
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)


def test_threads_share_the_frames(monkeypatch):
    inputs = make_inputs(MASKS['side by side'], frames=5)
    expected = propagate_values(*inputs, DILATIONS)
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 3)
    assert torch.equal(propagate_values(*inputs, DILATIONS), expected)


def test_without_numba_every_place_is_looked_up(monkeypatch):
    inputs = make_inputs(MASKS['one on the other'])
    expected = propagate_values(*inputs, DILATIONS)

    def missing(function):
        raise ImportError('no module named numba')

    monkeypatch.setattr(sparse_lookups, 'compile_loops', missing)
    sparse_lookups._loops.cache_clear()
    try:
        with pytest.warns(UserWarning, match='pip install numba'):
            found = propagate_values(*inputs, DILATIONS)
    finally:
        sparse_lookups._loops.cache_clear()
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)
