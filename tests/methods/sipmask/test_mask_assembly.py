"""Assembled masks and their loss against the form that goes cell by cell, in values and gradients."""

from __future__ import annotations

import pytest
import torch

from maskprop.methods.sipmask.mask_assembly import REGIONS, assemble_masks, cell_logits, cells_in_boxes
from maskprop.methods.sipmask.sipmask_losses import (
    alignment_weights,
    counts_in_masks,
    halve_masks,
    mask_loss,
)
from tests.methods.sipmask.literal_assembly import literal_mask_loss, literal_masks, random_boxes, region_of

HEIGHT, WIDTH, COUNT, BASES = 7, 11, 8, 3


def make_inputs(seed=0):
    generator = torch.Generator().manual_seed(seed)
    coefficients = torch.randn(COUNT, REGIONS * BASES, generator=generator).requires_grad_()
    basis = torch.randn(BASES, HEIGHT, WIDTH, generator=generator).requires_grad_()
    return coefficients, basis, random_boxes(COUNT, HEIGHT, WIDTH, seed)


@pytest.mark.parametrize('seed', range(3))
def test_equals_the_form_cell_by_cell(seed):
    coefficients, basis, boxes = make_inputs(seed)
    cotangent = torch.rand(COUNT, HEIGHT, WIDTH)
    results = []
    for form in (literal_masks, assemble_masks):
        masks = form(coefficients, basis, boxes)
        results.append((masks, torch.autograd.grad((masks * cotangent).sum(), (coefficients, basis))))
    assert (results[0][0] > 0).flatten(1).any(1).sum() >= 4
    torch.testing.assert_close(results[1], results[0], atol=1e-6, rtol=1e-5)


def test_sub_regions_are_the_literal_ones_up_to_the_last_digit():
    """Boxes whose split falls on cells, where a digit decides."""
    corners = torch.tensor([[x, y] for x in (0.0, 0.05, 1.0, 2.95) for y in (0.0, 0.95)])
    sides = torch.tensor([[w, h] for w in (3.9, 4.0, 3.899999, 0.1) for h in (5.9, 1.0)])
    boxes = torch.cat([corners.repeat_interleave(8, 0), corners.repeat_interleave(8, 0) + sides.repeat(8, 1)], 1)
    found = cells_in_boxes(boxes, HEIGHT, WIDTH)
    pairs = set(zip(found.regions.tolist(), found.cells.tolist(), strict=True))
    assert len(pairs) == len(found.cells) == int(found.counts.sum())
    assert found.boxes.tolist() == [region // REGIONS for region in found.regions.tolist()]
    expected = set()
    for n, box in enumerate(boxes.tolist()):
        for cell in range(HEIGHT * WIDTH):
            region = region_of(cell % WIDTH, cell // WIDTH, box)
            if region is not None:
                expected.add((REGIONS * n + region, cell))
    assert pairs == expected


@pytest.mark.parametrize('boxes', [torch.zeros(0, 4), torch.full((2, 4), 99.0), torch.full((1, 4), torch.nan)])
def test_without_cells_there_is_still_a_gradient(boxes):
    coefficients = torch.randn(len(boxes), REGIONS * BASES).requires_grad_()
    basis = torch.randn(BASES, HEIGHT, WIDTH).requires_grad_()
    masks = assemble_masks(coefficients, basis, boxes)
    assert masks.shape == (len(boxes), HEIGHT, WIDTH) and not masks.any()
    for gradient in torch.autograd.grad(masks.sum(), (coefficients, basis)):
        assert not gradient.any()


def test_logits_are_in_fp32_also_under_autocast():
    coefficients, basis, boxes = make_inputs()
    found = cells_in_boxes(boxes, HEIGHT, WIDTH)
    coefficients, basis = coefficients.bfloat16(), basis.bfloat16()
    expected = cell_logits(coefficients.float(), basis.float(), found)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        torch.testing.assert_close(cell_logits(coefficients, basis, found), expected, rtol=0, atol=0)


def test_mask_loss_equals_the_literal_one_in_values_and_gradients():
    coefficients, basis, boxes = make_inputs()
    kept = counts_in_masks(2 * boxes)
    sides = boxes[:, 2:] - boxes[:, :2]
    assert kept.tolist() == [w * h > 1 for w, h in sides.tolist()] and kept[3] and not kept[1]
    boxes, count = boxes[kept], int(kept.sum())
    masks = torch.rand(3, HEIGHT, WIDTH) > 0.5
    objects, weights = torch.randint(0, 3, (count,)), torch.rand(count)
    expected = literal_mask_loss(coefficients[kept], basis, boxes, masks, objects.tolist(), weights.tolist())
    found = mask_loss(coefficients[kept], basis, 2 * boxes, masks, objects, weights)
    torch.testing.assert_close(found, expected)
    ours, theirs = (torch.autograd.grad(loss, (coefficients, basis)) for loss in (found, expected))
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-4)


def test_mask_loss_without_points():
    coefficients = torch.zeros(0, REGIONS * BASES).requires_grad_()
    basis = torch.randn(BASES, HEIGHT, WIDTH).requires_grad_()
    none = torch.zeros(0, dtype=torch.long)
    loss = mask_loss(coefficients, basis, torch.zeros(0, 4), torch.zeros(0, HEIGHT, WIDTH), none, torch.zeros(0))
    loss.backward()
    assert loss.item() == 0 and not basis.grad.any()


def test_masks_are_halved_by_more_than_half_of_a_cell():
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [0, 0, 1, 0, 0, 1]])[None]
    assert halve_masks(mask).tolist() == [[[False, True, False]]]


def test_alignment_weights_sum_up_to_the_number_of_points():
    weights = alignment_weights(torch.tensor([0.5, 0.1]), torch.tensor([0.8, 1.0]))
    torch.testing.assert_close(weights, 2 * torch.tensor([0.4, 0.1]) / 0.5001)
