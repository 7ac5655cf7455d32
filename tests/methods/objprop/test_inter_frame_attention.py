"""Inter-frame attention: equal to the dense form, in values and gradients, and without its memory."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest
import torch

from maskprop.methods.objprop import inter_frame_attention
from maskprop.methods.objprop.inter_frame_attention import object_maps, propagate_maps, spatial_weight

HEIGHT, WIDTH = 5, 7
WEIGHTS = [dict(), dict(sigma=2.0), dict(sigma=8.0, row='fraction')]


def literal_weight(sigma, row):
    """Cell by cell, in Python numbers."""
    cells = HEIGHT * WIDTH
    rows = [k // WIDTH if row == 'index' else k / WIDTH for k in range(cells)]
    return torch.tensor(
        [
            [math.exp(-((rows[i] - rows[j]) ** 2 + (i % WIDTH - j % WIDTH) ** 2) / sigma**2) for j in range(cells)]
            for i in range(cells)
        ],
        dtype=torch.float64,
    )


def dense(current, reference, maps, sigma=None, row='index'):
    """As the paper writes it: an affinity matrix per pair of frames; object and background apart."""
    objects, background = [], []
    for b in range(len(reference)):
        affinity = torch.einsum('ci,cj->ij', reference[b].flatten(1), current[b % len(current)].flatten(1))
        affinity = affinity.exp() / affinity.exp().sum(0)  # over the reference cells i
        if sigma is not None:
            affinity = affinity * literal_weight(sigma, row)
        for out, values in ((objects, maps[b]), (background, 1 - maps[b])):
            out.append(torch.stack([(m.flatten() @ affinity).view(HEIGHT, WIDTH) for m in values]))
    return torch.stack(objects), torch.stack(background)


def make_inputs(frames, channels, count, current_frames=None):
    generator = torch.Generator().manual_seed(0)
    kwargs = dict(generator=generator, dtype=torch.float64)
    current = torch.randn(current_frames or frames, channels, HEIGHT, WIDTH, **kwargs)
    reference = torch.randn(frames, channels, HEIGHT, WIDTH, **kwargs)
    maps = torch.rand(frames, count, HEIGHT, WIDTH, **kwargs)
    return [x.requires_grad_() for x in (current, reference, maps)]


@pytest.mark.parametrize('weight', WEIGHTS, ids=str)
@pytest.mark.parametrize(
    'shape',
    [
        dict(frames=2, channels=6, count=3),
        dict(frames=6, channels=6, count=3, current_frames=1),  # a history, in more than one call
        dict(frames=1, channels=3, count=8),  # more maps than channels
        dict(frames=1, channels=4, count=1),
    ],
    ids=str,
)
def test_equals_the_dense_form(shape, weight, monkeypatch):
    monkeypatch.setattr(inter_frame_attention, 'MAX_AFFINITIES', 11 * HEIGHT * WIDTH)  # parts of uneven size
    inputs = make_inputs(**shape)
    results = []
    for function in (dense, propagate_maps):
        out = torch.stack(function(*inputs, **weight))
        cotangent = torch.rand(out.shape, generator=torch.Generator().manual_seed(1), dtype=out.dtype)
        results.append((out, torch.autograd.grad((out * cotangent).sum(), inputs)))
    torch.testing.assert_close(results[1], results[0], atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize('row', ['index', 'fraction'])
def test_spatial_weight_is_the_literal_one(row):
    found = spatial_weight(HEIGHT, WIDTH, 3.0, row)
    torch.testing.assert_close(found, literal_weight(3.0, row).float())
    torch.testing.assert_close(spatial_weight(HEIGHT, WIDTH, 3.0, row, slice(4, 9)), found[4:9])


def test_object_and_background_share_what_there_is():
    current, reference, maps = (x.detach().float() for x in make_inputs(2, 6, 3))
    objects, background = propagate_maps(current, reference, maps)
    torch.testing.assert_close(objects + background, torch.ones_like(objects))
    objects, background = propagate_maps(current, reference, maps, sigma=1.0)
    assert (objects + background < 0.99).all(), 'the spatial weight is not renormalised'


def test_no_maps():
    current, reference, _ = make_inputs(2, 6, 1)
    objects, background = propagate_maps(current, reference, torch.zeros(2, 0, HEIGHT, WIDTH))
    assert objects.shape == background.shape == (2, 0, HEIGHT, WIDTH)


@pytest.mark.parametrize('weight', WEIGHTS, ids=str)
def test_half_precision_features_are_compared_in_fp32(weight):
    """Also under autocast, with logits of some hundreds that bf16 could not tell apart."""
    current, reference, maps = (x.detach().to(torch.bfloat16) for x in make_inputs(2, 6, 3))
    current, reference = 12 * current, 12 * reference
    with torch.autocast('cpu', dtype=torch.bfloat16):
        objects, background = propagate_maps(current, reference, maps, **weight)
    assert objects.dtype == torch.float32
    expected = propagate_maps(current.double(), reference.double(), maps.double(), **weight)
    torch.testing.assert_close((objects, background), tuple(x.float() for x in expected), atol=1e-4, rtol=1e-4)


def test_object_maps_cell_by_cell():
    boxes = torch.tensor(
        [
            [0, 0, 56, 40],  # everything
            [9.5, 6.25, 47.75, 31.9],
            [17, 9, 22, 14],  # within one cell: empty
            [8, 8, 16, 16],  # exactly one cell
            [-5, -20, 30, 12],  # beyond the edge
            [100, 100, 120, 120],  # outside
        ]
    )
    found = object_maps(boxes, HEIGHT, WIDTH, stride=8)
    for box, grid in zip(boxes.tolist(), found, strict=True):
        x1, y1, x2, y2 = (math.floor(v / 8) for v in box)
        for y in range(HEIGHT):
            for x in range(WIDTH):
                assert grid[y, x] == (x1 <= x < x2 and y1 <= y < y2)
    assert found.flatten(1).sum(1).tolist() == [35, 12, 0, 1, 3, 0]
    assert object_maps(boxes[:0], HEIGHT, WIDTH, 8).shape == (0, HEIGHT, WIDTH)


def test_unknown_row_says_what_to_do():
    with pytest.raises(ValueError, match='fraction'):
        propagate_maps(*make_inputs(1, 6, 1), sigma=8.0, row='float')


# Runs alone, so that its peak is its own: prints by how many MiB resident memory grew at most, so far.
PEAK = """
import torch
from maskprop.methods.objprop.inter_frame_attention import propagate_maps
torch.set_num_threads(1)

def resident(name):
    with open('/proc/self/status') as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name)) / 1024

def run(frames, height, width, sigma, backward):
    inputs = [torch.randn(frames, 32, height, width).mul_(.1), torch.rand(frames, 5, height, width)]
    inputs = [x.requires_grad_(backward) for x in inputs]
    before = resident('VmRSS:')
    objects, _ = propagate_maps(inputs[0][:1], inputs[0], inputs[1], sigma=sigma)
    if backward:
        objects.square().sum().backward()
    return resident('VmHWM:') - before

for backward in (False, True):
    for sigma in (None, 8.0):
        run(2, 8, 8, sigma, backward)  # threads and kernels are there
        print(run(3, 60, 64, sigma, backward))
"""


@pytest.mark.slow
@pytest.mark.xdist_group('memory')
@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='reads the peak of resident memory from /proc')
def test_peak_memory_is_less_than_one_affinity_matrix():
    """3840 cells: a matrix of 56 MiB for each frame; features, maps and their copies are 3 MiB."""
    # glibc gives back what is freed only if it was mapped, and by itself raises the size from which it maps
    env = os.environ | dict(MALLOC_MMAP_THRESHOLD_='65536')
    run = subprocess.run([sys.executable, '-c', PEAK], capture_output=True, text=True, check=True, env=env)
    grown = [float(line) for line in run.stdout.split()]
    assert len(grown) == 4
    assert max(grown) < 40, f'plain and weighted, then the same in training: {grown} MiB'
