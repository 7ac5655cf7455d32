"""Convolutions of several dilations: the form for wide vectors against the plain one."""

import pytest
import torch
from torch import nn

from maskprop.methods.maskprop.dilated_convs import dilated_convs


def make_convs(channels: int, size: int = 3) -> nn.ModuleList:
    """Of dilations 1, 3 and 12."""
    torch.manual_seed(0)
    return nn.ModuleList(
        nn.Conv2d(5, channels, size, padding=d * (size // 2), dilation=d) for d in (1, 3, 12)
    ).double()


# 12 is larger than the smaller map: some taps see padding alone
@pytest.mark.parametrize('shape', [(20, 26), (7, 9), (30, 5)])
@pytest.mark.parametrize(('channels', 'size'), [(18, 3), (50, 5), (16, 3), (2, 1), (33, 3)])
def test_equals_the_convolutions(channels, size, shape):
    convs = make_convs(channels, size)
    maps = [torch.randn(batch, 5, *shape, dtype=torch.float64) for batch in (1, 2, 1)]
    maps[1] = maps[1].contiguous(memory_format=torch.channels_last)
    expected = torch.cat([torch.cat([conv(batch) for conv in convs], 1) for batch in maps])
    with torch.no_grad():
        found = dilated_convs(iter(maps), convs, 4)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_gradients_are_those_of_the_convolutions():
    convs = make_convs(18)
    batch = torch.randn(1, 5, 8, 9, dtype=torch.float64, requires_grad=True)
    dilated_convs([batch], convs, 1).square().sum().backward()
    found = [batch.grad, *(p.grad for p in convs.parameters())]
    expected = torch.autograd.grad(
        torch.cat([conv(batch) for conv in convs], 1).square().sum(), [batch, *convs.parameters()]
    )
    torch.testing.assert_close(found, list(expected))


def test_takes_the_type_that_autocast_gives():
    convs = make_convs(18).float()
    batch = torch.randn(1, 5, 8, 9)
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        found = dilated_convs([batch], convs, 1)
        expected = torch.cat([conv(batch) for conv in convs], 1)
    assert found.dtype == expected.dtype
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)


@pytest.mark.slow
def test_the_compiler_sees_plain_convolutions():
    convs = make_convs(18)
    batch = torch.randn(1, 5, 20, 26, dtype=torch.float64)
    called = []

    def backend(graph, inputs):
        called.extend(node for node in graph.graph.nodes if node.op.startswith('call'))
        return graph.forward

    with torch.no_grad():
        found = torch.compile(lambda maps: dilated_convs([maps], convs, 1), backend=backend, fullgraph=True)(batch)
        torch.testing.assert_close(found, dilated_convs([batch], convs, 1), rtol=0, atol=1e-12)
    assert len(convs) < len(called) < 3 * len(convs)
