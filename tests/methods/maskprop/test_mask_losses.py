"""Losses of propagated masks against PyTorch's own and by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from maskprop.methods.maskprop.mask_losses import BinaryMaskLoss, SoftIoULoss


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_cross_entropy_is_pytorchs_also_where_that_one_refuses_to_run(dtype):
    masks = torch.rand(2, 3, 5, 7).clamp(0.01, 0.99).to(dtype).requires_grad_()
    targets = (torch.rand(2, 3, 5, 7) > 0.5).float()
    expected = F.binary_cross_entropy(masks.float(), targets, reduction='none').mean((-2, -1))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = BinaryMaskLoss(loss_weight=2.0)(masks, targets)
    torch.testing.assert_close(found, 2 * expected, rtol=1e-5, atol=1e-6)
    ours, theirs = (torch.autograd.grad(x.sum(), masks, retain_graph=True)[0] for x in (found / 2, expected))
    torch.testing.assert_close(ours, theirs)


def test_cross_entropy_is_finite_at_certain_masks():
    masks = torch.tensor([[[0.0, 1.0]]]).requires_grad_()
    loss = BinaryMaskLoss()(masks, torch.tensor([[[1.0, 0.0]]]))
    loss.sum().backward()
    assert torch.isfinite(loss).all() and torch.isfinite(masks.grad).all()
    assert loss.item() > 10


def test_soft_iou_by_hand():
    """Eq. 3: product .5, union .5 + 1 - .5."""
    masks, targets = torch.tensor([[[0.5, 0.0]]]), torch.tensor([[[1.0, 0.0]]])
    assert SoftIoULoss(loss_weight=3.0)(masks, targets).item() == pytest.approx(1.5, abs=1e-4)
