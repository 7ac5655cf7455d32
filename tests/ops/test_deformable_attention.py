"""Multi-scale deformable attention where mmcv has no kernel: mmcv's own function, module and gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from maskprop.ops import mmcv_kernels

mmcv_kernels.install_torchvision_kernels()

from mmcv.ops import multi_scale_deform_attn as mmcv_attention  # noqa: E402

pytestmark = pytest.mark.skipif(
    not mmcv_kernels.uses_torchvision_kernels(), reason="mmcv's compiled kernels are in use here"
)
SHAPES = ((5, 4), (3, 2))
BATCH, QUERIES, HEADS, CHANNELS, POINTS = 2, 3, 2, 4, 3


def inputs(dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Locations reach outside of the maps."""
    generator = torch.Generator().manual_seed(0)
    keys = sum(height * width for height, width in SHAPES)
    levels = len(SHAPES)
    return dict(
        value=torch.randn(BATCH, keys, HEADS, CHANNELS, generator=generator).to(dtype),
        locations=(torch.rand(BATCH, QUERIES, HEADS, levels, POINTS, 2, generator=generator) * 1.4 - 0.2).to(
            dtype
        ),
        weights=torch.rand(BATCH, QUERIES, HEADS, levels, POINTS, generator=generator).to(dtype),
    )


def apply(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    shapes = torch.tensor(SHAPES)
    starts = torch.tensor([0, SHAPES[0][0] * SHAPES[0][1]])
    return mmcv_attention.MultiScaleDeformableAttnFunction.apply(value, shapes, starts, locations, weights, 64)


def literally(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    """Point by point; a map is 0 outside."""
    result = torch.zeros(BATCH, QUERIES, HEADS, CHANNELS, dtype=value.dtype)
    starts = (0, SHAPES[0][0] * SHAPES[0][1])
    for b, q, h, level, point in torch.cartesian_prod(
        *map(torch.arange, (BATCH, QUERIES, HEADS, len(SHAPES), POINTS))
    ).tolist():
        height, width = SHAPES[level]
        x, y = (locations[b, q, h, level, point] * torch.tensor([width, height]) - 0.5).tolist()
        for row in (math.floor(y), math.floor(y) + 1):
            for column in (math.floor(x), math.floor(x) + 1):
                if 0 <= row < height and 0 <= column < width:
                    share = (1 - abs(y - row)) * (1 - abs(x - column)) * weights[b, q, h, level, point]
                    result[b, q, h] += share * value[b, starts[level] + row * width + column, h]
    return result.flatten(2)


def test_values_equal_the_literal_form():
    torch.testing.assert_close(apply(**inputs()), literally(**inputs()), rtol=0, atol=1e-12)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_values_and_gradients_equal_mmcvs_own_form(dtype):
    outcomes = []
    for form in (
        apply,
        lambda value, locations, weights: mmcv_attention.multi_scale_deformable_attn_pytorch(
            value, torch.tensor(SHAPES), locations, weights
        ),
    ):
        given = {name: tensor.requires_grad_() for name, tensor in inputs(dtype).items()}
        output = form(**given)
        (output * torch.linspace(-1, 1, output.numel(), dtype=dtype).view_as(output)).sum().backward()
        outcomes.append([output.detach(), *(tensor.grad for tensor in given.values())])
    for ours, theirs in zip(*outcomes, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
        assert ours.abs().sum() > 0


def test_gradients_are_those_of_finite_differences():
    given = {name: tensor.requires_grad_() for name, tensor in inputs().items()}
    assert torch.autograd.gradcheck(apply, tuple(given.values()), nondet_tol=1e-12)


def test_the_module_on_an_accelerator_takes_the_kernel(monkeypatch):
    """As a GPU would: mmcv's module asks the tensor where it is, and calls its compiled function."""
    torch.manual_seed(0)
    module = mmcv_attention.MultiScaleDeformableAttention(
        16, 2, len(SHAPES), POINTS, batch_first=True, dropout=0.0
    )
    torch.nn.init.normal_(module.sampling_offsets.weight)
    keys = sum(height * width for height, width in SHAPES)
    call = dict(
        query=torch.randn(BATCH, QUERIES, 16),
        value=torch.randn(BATCH, keys, 16),
        reference_points=torch.rand(BATCH, QUERIES, len(SHAPES), 2),
        spatial_shapes=torch.tensor(SHAPES),
        level_start_index=torch.tensor([0, SHAPES[0][0] * SHAPES[0][1]]),
    )
    expected = module(**call)
    calls = []
    kernel = mmcv_attention.ext_module.ms_deform_attn_forward
    monkeypatch.setattr(
        mmcv_attention.ext_module,
        'ms_deform_attn_forward',
        lambda *args, **kwargs: calls.append(1) or kernel(*args, **kwargs),
    )
    monkeypatch.setattr(mmcv_attention, 'IS_MLU_AVAILABLE', True)
    monkeypatch.setattr(torch.Tensor, 'is_mlu', True, raising=False)
    torch.testing.assert_close(module(**call), expected, rtol=0, atol=0)
    assert calls == [1]
