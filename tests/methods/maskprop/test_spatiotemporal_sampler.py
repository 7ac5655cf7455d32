"""STSN's sampling and aggregation against the paper's steps written out cell by cell."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import maskprop

maskprop.register_all()

from maskprop.methods.maskprop import SpatiotemporalSampler  # noqa: E402

SIZES = dict(levels=(1,), in_channels=(4,), channels=5, embed_channels=(3, 2, 6))
HEIGHT, WIDTH = 4, 5


def build(trained: bool = True, **kwargs) -> SpatiotemporalSampler:
    """A small module in float64; ``trained``: with offsets of about a cell and any sampling kernel."""
    torch.manual_seed(0)
    module = SpatiotemporalSampler(**{**SIZES, **kwargs}).double()
    if trained:
        with torch.no_grad():
            for name, weight in module.named_parameters():
                if 'offset' in name or 'sample_conv' in name:
                    weight.normal_(0, 0.4)
    return module


def features(batch: int = 1, supports: int = 3, channels: int = 4, seed: int = 0, size=(HEIGHT, WIDTH)):
    """(B, C, H, W) of a frame and (B, S, C, H, W) of its support frames, the frame itself the second of them."""
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randn(batch, supports, channels, *size, generator=generator, dtype=torch.float64)
    return frames[:, 1].clone(), frames


def aggregate(module: SpatiotemporalSampler, reference, supports, own=None):
    """The aggregated level; the other one passes through."""
    other = torch.zeros(len(reference), 2, 8, 10)
    levels = module.aggregate((other, reference), (None, supports), own)
    assert len(levels) == 2 and levels[0] is other
    return levels[1]


def value_at(image: np.ndarray, y: float, x: float) -> np.ndarray:
    """(C,) bilinear value of (C, H, W) at a point; nothing outside."""
    total = np.zeros(len(image))
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < image.shape[1] and 0 <= column < image.shape[2]:
                total += (1 - abs(y - row)) * (1 - abs(x - column)) * image[:, row, column]
    return total


def convolve(image: np.ndarray, weight: np.ndarray, bias=None, offsets: np.ndarray | None = None) -> np.ndarray:
    """A convolution of odd kernel, cell by cell and tap by tap; with (2 taps, H, W) offsets a deformable one."""
    kernel = weight.shape[-1]
    result = np.zeros((len(weight), *image.shape[1:]))
    for row in range(image.shape[1]):
        for column in range(image.shape[2]):
            for tap in range(kernel * kernel):
                y, x = row + tap // kernel - kernel // 2, column + tap % kernel - kernel // 2
                if offsets is not None:
                    y, x = y + offsets[2 * tap, row, column], x + offsets[2 * tap + 1, row, column]
                result[:, row, column] += weight[:, :, tap // kernel, tap % kernel] @ value_at(image, y, x)
    return result if bias is None else result + bias[:, None, None]


def literal(module: SpatiotemporalSampler, reference: np.ndarray, supports: np.ndarray) -> np.ndarray:
    """Section 4 of the paper for one frame: (C, H, W) of (C, H, W) and (S, C, H, W)."""
    weights = {name.removeprefix('samplers.0.'): p.detach().numpy() for name, p in module.named_parameters()}

    def conv(image, name, offsets=None):
        return convolve(image, weights[f'{name}.weight'], weights.get(f'{name}.bias'), offsets)

    def reduced(image):
        return conv(image, 'reduce') if 'reduce.weight' in weights else image

    def sampled(support):
        g = np.concatenate([reduced(reference), reduced(support)])  # f_{t, t+k}
        for layer in range(3):
            g = np.maximum(conv(g, f'layers.{layer}', conv(g, f'layers.{layer}.conv_offset')), 0)
        return conv(support, 'sample_conv', conv(g, 'offset_conv'))

    def embedding(g):
        return conv(np.maximum(conv(np.maximum(conv(g, 'embed.0'), 0), 'embed.2'), 0), 'embed.4')

    own = embedding(sampled(reference))
    result = np.zeros_like(reference)
    g = [sampled(support) for support in supports]
    for row in range(reference.shape[1]):
        for column in range(reference.shape[2]):
            w = []
            for one in g:
                a, b = own[:, row, column], embedding(one)[:, row, column]
                w.append(math.exp(a @ b / math.sqrt((a @ a) * (b @ b))))
            for one, weight in zip(g, w, strict=True):
                result[:, row, column] += weight / sum(w) * one[:, row, column]
    return result


@pytest.mark.parametrize('bottleneck', [None, 3])
def test_equals_the_literal_form(bottleneck):
    module = build(bottleneck=bottleneck)
    reference, supports = features()
    found = aggregate(module, reference, supports).detach().numpy()[0]
    np.testing.assert_allclose(found, literal(module, reference[0].numpy(), supports[0].numpy()), atol=1e-9)
    assert np.abs(found - reference[0].numpy()).mean() > 0.3  # and it is no copy


def test_copies_of_the_reference_give_the_reference():
    """At the start sampling is the identity, and weights sum to 1 whatever they are."""
    reference, _ = features(2)
    supports = reference[:, None].expand(-1, 3, -1, -1, -1)
    torch.testing.assert_close(aggregate(build(trained=False), reference, supports), reference)


def test_starts_as_a_weighted_mean_of_the_frames():
    reference, supports = features()
    found = aggregate(build(trained=False), reference, supports)
    assert (found <= supports.amax(1) + 1e-9).all() and (found >= supports.amin(1) - 1e-9).all()
    assert not torch.allclose(found, supports.mean(1), atol=1e-2)  # weights differ


def test_a_shifted_support_frame_is_sampled_back():
    """With offsets of one column everywhere, what moved by a column comes back to its place."""
    module = build(trained=False)
    with torch.no_grad():
        module.samplers[0].offset_conv.bias[1::2] = 1.0  # x of every tap
    reference, _ = features()
    moved = torch.zeros_like(reference)
    moved[..., 1:] = reference[..., :-1]
    sampler = module.samplers[0]
    sampled = sampler.sample_conv(moved, sampler.offsets(reference, moved))
    torch.testing.assert_close(sampled[..., :-1], reference[..., :-1])


def test_batches_equal_single_calls():
    module = build()
    reference, supports = features(3)
    together = aggregate(module, reference, supports)
    for b in range(3):
        torch.testing.assert_close(
            together[b : b + 1], aggregate(module, reference[b : b + 1], supports[b : b + 1])
        )


def test_order_does_not_matter_and_knowing_oneself_changes_nothing():
    module = build()
    reference, supports = features(2)
    expected = aggregate(module, reference, supports)
    torch.testing.assert_close(aggregate(module, reference, supports, own=1), expected)
    torch.testing.assert_close(aggregate(module, reference, supports[:, [1, 2, 0]], own=0), expected)


@pytest.mark.parametrize('bottleneck', [None, 3])
def test_gradients_reach_all_parameters_and_frames(bottleneck):
    module = build(bottleneck=bottleneck)
    reference, supports = (x.requires_grad_() for x in features(2))
    aggregate(module, reference, supports).square().sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    assert reference.grad.abs().sum() > 0
    assert (supports.grad.abs().flatten(2).sum(2) > 0).all()


def test_gradients_of_the_first_step_reach_offsets_and_kernels():
    """Zero offsets are no dead end, though the layers before the last offsets have to wait for them."""
    module = build(trained=False)
    reference, supports = features()
    aggregate(module, reference, supports).square().sum().backward()
    sampler = module.samplers[0]
    for weight in (sampler.offset_conv.weight, sampler.sample_conv.weight, sampler.embed[0].weight):
        assert weight.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in module.parameters())  # DDP finds none unused


@pytest.mark.slow
def test_gradients_by_finite_differences():
    module = build(channels=2, embed_channels=(2, 2, 2), in_channels=(2,))
    reference, supports = (x.requires_grad_() for x in features(supports=2, channels=2, size=(3, 3)))
    # along random directions: what is wrong in any entry shows in them too
    inputs = (reference, supports)
    assert torch.autograd.gradcheck(lambda r, s: aggregate(module, r, s), inputs, atol=1e-4, fast_mode=True)


def test_several_levels_each_with_its_own_weights():
    module = build(trained=False, levels=(0, 2), in_channels=(4, 6))
    coarse, fine = features(size=(2, 3), channels=6), features(size=(4, 6))
    middle = torch.ones(1, 5, 2, 2)
    levels = module.aggregate((fine[0], middle, coarse[0]), (fine[1], None, coarse[1]))
    assert [level.shape for level in levels] == [(1, 4, 4, 6), (1, 5, 2, 2), (1, 6, 2, 3)] and levels[1] is middle
    torch.testing.assert_close(levels[2], module.samplers[1](*coarse))


def test_half_precision_keeps_its_type():
    module = build().bfloat16()
    reference, supports = (x.bfloat16() for x in features())
    assert aggregate(module, reference, supports).dtype == torch.bfloat16


@pytest.mark.parametrize(
    'kwargs,message',
    [
        (dict(levels=(2, 3)), 'one number for each level'),
        (dict(levels=(), in_channels=()), 'one number for each level'),
        (dict(embed_channels=(3, 3)), 'embed_channels'),
        (dict(num_layers=0), 'num_layers'),
        (dict(window=-1), 'window'),
        (dict(num_support=-1), 'num_support'),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        build(**kwargs)
