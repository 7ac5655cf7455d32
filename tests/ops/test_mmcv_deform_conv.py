"""Deformable convolution v1 and v2 through mmcv's modules: against torchvision called directly (equal to the bit)
and against a plain PyTorch form (four-corner lookups)."""

from __future__ import annotations

import pytest
import torch
import torchvision
from kernel_references import assert_close, assert_equal, leaves, loss_of, outcome, plain_deform_conv

from maskprop.ops import mmcv_kernels

mmcv_kernels.install_torchvision_kernels()

from mmcv import ops  # noqa: E402

SETTINGS = [
    dict(kernel_size=3, padding=3, dilation=3),
    dict(kernel_size=3, padding=1, groups=2),
    dict(kernel_size=3, padding=1, stride=2, deform_groups=4),
    dict(kernel_size=3, padding=6, dilation=6, groups=2, deform_groups=2),
    dict(kernel_size=1),
]


def conv_inputs(settings: dict, dtype=torch.float64, modulated: bool = False):
    """x, offset, mask, weight and bias for a convolution of 4 to 6 channels on two 9 x 11 images."""
    generator = torch.Generator().manual_seed(3)

    def randn(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    k, stride, dilation = settings['kernel_size'], settings.get('stride', 1), settings.get('dilation', 1)
    size = [(n + 2 * settings.get('padding', 0) - dilation * (k - 1) - 1) // stride + 1 for n in (9, 11)]
    taps = settings.get('deform_groups', 1) * k * k
    x, offset = randn(2, 4, 9, 11), 3 * randn(2, 2 * taps, *size)
    weight = randn(6, 4 // settings.get('groups', 1), k, k)
    if not modulated:
        return x, offset, weight
    return x, offset, randn(2, taps, *size).sigmoid(), weight, randn(6)


def plain_arguments(settings: dict) -> dict:
    return {key: value for key, value in settings.items() if key not in ('kernel_size', 'deform_groups')}


def torchvision_arguments(settings: dict) -> dict:
    return {key: settings[key] for key in ('stride', 'padding', 'dilation') if key in settings}


def v1(settings: dict):
    """mmcv's v1 module as a function of input, offsets and weight."""
    layer = ops.DeformConv2d(4, 6, **settings)
    return lambda x, offset, weight: torch.func.functional_call(layer, {'weight': weight}, (x, offset))


def v2(settings: dict, bias: bool):
    """mmcv's v2 module as a function of input, offsets, mask, weight and bias."""
    layer = ops.ModulatedDeformConv2d(4, 6, bias=bias, **settings)

    def call(x, offset, mask, weight, bias=None):
        parameters = {'weight': weight} if bias is None else {'weight': weight, 'bias': bias}
        return torch.func.functional_call(layer, parameters, (x, offset, mask))

    return call


@pytest.mark.parametrize('settings', SETTINGS, ids=str)
def test_deform_conv_against_plain_form(settings):
    expected = outcome(
        lambda x, o, w: plain_deform_conv(x, o, w, **plain_arguments(settings)), conv_inputs(settings)
    )
    assert_close(outcome(v1(settings), conv_inputs(settings)), expected)


@pytest.mark.parametrize('settings', SETTINGS, ids=str)
def test_deform_conv_against_torchvision(settings):
    tensors = conv_inputs(settings, torch.float32)
    arguments = torchvision_arguments(settings)
    expected = outcome(lambda x, o, w: torchvision.ops.deform_conv2d(x, o, w, **arguments), tensors)
    assert_equal(outcome(v1(settings), tensors), expected)


def test_deform_conv_with_offsets_of_zero_is_a_convolution():
    x, offset, weight = conv_inputs(SETTINGS[0])
    expected = torch.nn.functional.conv2d(x, weight, padding=3, dilation=3)
    torch.testing.assert_close(v1(SETTINGS[0])(x, offset * 0, weight), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('needed', [(True, True, False), (False, False, True), (True, False, True)])
def test_deform_conv_gradients_of_some_tensors_only(needed):
    """mmcv asks for the weight's gradient apart from the others', and maybe for one of them alone."""
    tensors = conv_inputs(SETTINGS[0])
    every = outcome(v1(SETTINGS[0]), tensors)[1:]
    tensors = [t.clone().requires_grad_(need) for t, need in zip(tensors, needed, strict=True)]
    value = v1(SETTINGS[0])(*tensors)
    loss_of(value).backward()
    for tensor, need, expected in zip(tensors, needed, every, strict=True):
        assert torch.equal(tensor.grad, expected) if need else tensor.grad is None


def test_deform_conv_backward_twice():
    """The weight's gradient that the first backward leaves in the scratch buffer must not enter the second."""
    x, offset, weight = leaves(*conv_inputs(SETTINGS[0]))
    value = v1(SETTINGS[0])(x, offset, weight)
    first = torch.autograd.grad(value.sum(), [x, offset, weight], retain_graph=True)
    second = torch.autograd.grad(2 * value.sum(), [x, offset, weight])
    assert_close([2 * g for g in first], list(second))


@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize('settings', SETTINGS, ids=str)
def test_modulated_deform_conv_against_plain_form(settings, bias):
    tensors = conv_inputs(settings, modulated=True)[: 5 if bias else 4]
    arguments = plain_arguments(settings)
    expected = outcome(lambda x, o, m, w, b=None: plain_deform_conv(x, o, w, m, b, **arguments), tensors)
    assert_close(outcome(v2(settings, bias), tensors), expected)


@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize('settings', SETTINGS, ids=str)
def test_modulated_deform_conv_against_torchvision(settings, bias):
    tensors = conv_inputs(settings, torch.float32, modulated=True)[: 5 if bias else 4]
    arguments = torchvision_arguments(settings)
    expected = outcome(
        lambda x, o, m, w, b=None: torchvision.ops.deform_conv2d(x, o, w, b, mask=m, **arguments), tensors
    )
    assert_equal(outcome(v2(settings, bias), tensors), expected)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_deform_conv_half_precision(dtype):
    for function, tensors in (
        (v1(SETTINGS[0]), conv_inputs(SETTINGS[0], dtype)),
        (v2(SETTINGS[0], True), conv_inputs(SETTINGS[0], dtype, modulated=True)),
    ):
        exact = outcome(function, [t.float() for t in tensors])
        assert_equal(outcome(function, tensors), [t.to(dtype) for t in exact])


@pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU')
@pytest.mark.parametrize('settings', SETTINGS, ids=str)
def test_deform_conv_on_a_gpu(settings):
    for function, modulated in ((v1(settings), False), (v2(settings, True), True)):
        tensors = conv_inputs(settings, modulated=modulated)
        actual = outcome(function, [t.cuda() for t in tensors])
        assert_close([t.cpu() for t in actual], outcome(function, tensors))
