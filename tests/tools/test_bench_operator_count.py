"""tools/benchmarks/operator_count.py: which operators are counted, and for which part."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools/benchmarks'))

from operator_count import OperatorCount, count_operators  # noqa: E402


def test_views_and_reserved_memory_are_not_counted():
    x = torch.ones(4, 6)
    found = count_operators(lambda: (x.T.reshape(2, 12)[0] * 2, x.view(-1), x.detach(), torch.empty(3)))
    assert found == dict(clone=1, mul=1)  # the transposed map is copied before it gets another shape


def test_fused_calls_count_once():
    tensors = [torch.ones(2) for _ in range(5)]
    assert count_operators(lambda: torch._foreach_add_(tensors, 1)).total() == 1


def test_casts_of_autocast_are_counted():
    layer, x = torch.nn.Linear(3, 3, bias=False), torch.ones(2, 3)
    with torch.autocast('cpu', torch.bfloat16):
        assert count_operators(lambda: layer(x)) == dict(_to_copy=2, mm=1)


def test_gradients_belong_to_the_part_they_are_of():
    class Model:
        def double(self, x):
            return 2 * x

    model, x = Model(), torch.ones(3, requires_grad=True)
    count = OperatorCount()
    count.watch(model, 'double', 'doubled')
    with count:
        with count.part('outer'):
            y = model.double(x.sin())
        with count.part('loss'):
            loss = y.exp().sum()
        loss.backward()
    assert count.by_part['outer', 'doubled'] == dict(mul=2)
    assert count.by_part['outer',] == dict(sin=1, cos=1, mul=1)
    assert count.by_part['loss',] == dict(exp=1, sum=1, mul=1)
    assert count.by_part[()] == dict(ones_like=1)  # the gradient that a backward pass begins with
    assert count.total()['mul'] == 4


def test_what_an_error_ends_is_a_part_no_more():
    count = OperatorCount()
    with count:
        try:
            with count.part('failing'):
                raise ValueError
        except ValueError:
            torch.ones(2)
    assert count.by_part == {(): dict(ones=1)}
