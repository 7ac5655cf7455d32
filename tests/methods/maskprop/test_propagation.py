"""The fast propagation equals the paper's deformable convolution, in values and in every gradient."""

import pytest
import torch

from maskprop.methods.maskprop.propagation import fold_kernels, propagate_features, propagate_values

DILATIONS = (1, 2, 4)
CHANNELS, OUT, R, HEIGHT, WIDTH = 6, 5, 2, 9, 13


def make_inputs(instances=3, frames=2, offsets='random', dtype=torch.float64, size=(HEIGHT, WIDTH)):
    generator = torch.Generator().manual_seed(0)

    def rand(*shape):
        return torch.rand(*shape, generator=generator, dtype=dtype) - 0.5

    shape = (frames, len(DILATIONS) * 9, 2, *size)
    values = {
        'zero': torch.zeros(shape, dtype=dtype),
        'integer': (rand(*shape) * 10).round(),
        'random': rand(*shape) * 10,
        'far outside': rand(*shape) * 1e6,
    }
    inputs = dict(
        features=rand(CHANNELS, *size),
        masks=rand(instances, *size) + 0.5,
        offsets=values[offsets],
        weights=rand(len(DILATIONS), OUT, CHANNELS, 3, 3),
        projection=rand(R, OUT),
    )
    return {name: value.requires_grad_() for name, value in inputs.items()}


def literal(features, masks, offsets, weights, projection):
    g = propagate_features(features, masks, offsets, weights, DILATIONS)
    return torch.einsum('snchw,rc->snrhw', g, projection)


def fast(features, masks, offsets, weights, projection):
    values = torch.nn.functional.conv2d(features[None], fold_kernels(weights, projection))[0]
    return propagate_values(values.unflatten(0, (R, -1)), masks, offsets, DILATIONS)


@pytest.mark.parametrize('offsets', ['zero', 'integer', 'random', 'far outside'])
@pytest.mark.parametrize('instances', [1, 3])
def test_values_and_gradients_equal(offsets, instances):
    inputs = make_inputs(instances, offsets=offsets)
    expected = literal(**inputs)
    found = fast(**inputs)
    assert expected.abs().max() > 0.05 or offsets == 'far outside'
    torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=1e-5)
    cotangent = torch.rand(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    wanted = torch.autograd.grad((expected * cotangent).sum(), list(inputs.values()))
    got = torch.autograd.grad((found * cotangent).sum(), list(inputs.values()))
    for name, a, b in zip(inputs, got, wanted, strict=True):
        scale = max(float(b.abs().max()), 1e-3)
        torch.testing.assert_close(a / scale, b / scale, atol=2e-5, rtol=1e-4, msg=lambda m, n=name: f'{n}: {m}')


@pytest.mark.parametrize('size', [(HEIGHT, WIDTH), (1, 6), (6, 1), (2, 6), (1, 1)], ids=str)
def test_inference_form_equals_training_form(size):
    """Also where the map has one row or column, beyond which everything is 0."""
    inputs = make_inputs(offsets='random', dtype=torch.float32, size=size)
    with torch.no_grad():
        without_grad, expected = fast(**inputs), literal(**inputs)
    torch.testing.assert_close(without_grad, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(without_grad, fast(**inputs).detach(), atol=1e-4, rtol=1e-4)


def test_integer_offset_moves_a_mask():
    """One tap, one value map of ones: an offset of (dy, dx) reads the mask from there."""
    mask = torch.zeros(1, 5, 6)
    mask[0, 3, 4] = 1
    values = torch.zeros(1, 9, 5, 6)
    values[0, 4] = 1  # the central tap
    offsets = torch.zeros(1, 9, 2, 5, 6)
    offsets[:, 4, 0], offsets[:, 4, 1] = 2, 3
    moved = propagate_values(values, mask, offsets, (1,))
    assert moved[0, 0, 0].nonzero().tolist() == [[1, 1]]


def test_no_instance():
    inputs = make_inputs(instances=0)
    assert fast(**inputs).shape == (2, 0, R, HEIGHT, WIDTH)
