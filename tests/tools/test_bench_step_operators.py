"""tools/benchmarks/step_operators.py: the parts' counts are those of the whole step; its table adds them up."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

import maskprop

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools/benchmarks'))

maskprop.register_all()

import step_operators  # noqa: E402
from full_size_step import Step  # noqa: E402
from operator_count import count_operators  # noqa: E402

pytestmark = pytest.mark.slow

TINY = 'configs/demo/maskprop_tiny_synthetic.py'
ARGS = argparse.Namespace(pairs=[1, 2], precisions=['fp32'], size=(64, 96), objects=2, device='cpu')


def test_a_step_is_the_sum_of_its_parts():
    rows = step_operators.rows_of(Config.fromfile(TINY), ARGS)
    assert [(row['pairs'], row['precision']) for row in rows] == [(1, 'fp32'), (2, 'fp32')]
    one, two = (step_operators.by_part(row) for row in rows)
    for part in ('backbone', 'neck', 'RPN', 'RoI head', 'propagation_head', 'optimizer', 'data preprocessor'):
        assert one[part] > 0, part
    # pairs of a batch go through layers at once, and through the assigners one by one
    assert one['backbone'] == two['backbone']
    assert one['RPN: loss'] < two['RPN: loss'] <= 2 * one['RPN: loss']
    # counted once more without names of parts
    cfg = Config.fromfile(TINY)
    step_operators.less_work(cfg)
    step = Step(cfg, 'OptimWrapper', ARGS)
    step.pairs = 1
    step.take(ARGS.size)
    step_operators.make_state(step.wrapper.optimizer)
    whole = count_operators(step)
    named = {name: sum(found.values()) for name, found in rows[0]['parts'].items()}
    outside = ('data preprocessor', 'optimizer', 'clipping')  # which differ on a GPU
    assert whole['convolution'] == sum(found.get('convolution', 0) for found in rows[0]['parts'].values())
    assert sum(named.values()) - sum(n for name, n in named.items() if name.startswith(outside)) <= whole.total()


def test_the_table_adds_up():
    row = dict(
        config='c',
        pairs=1,
        precision='bf16',
        parts={'a': dict(mul=2, _to_copy=1), 'a > b': dict(add=4), 'a > b > c': dict(add=1), '': dict(sum=5)},
    )
    lines = step_operators.tables([row])
    assert lines[0] == '`c`:'
    cells = {line.split('|')[1].strip(): line.split('|')[2].strip() for line in lines if line.startswith('|')}
    assert cells['**all**'] == '13' and cells['of it casts'] == '1'
    assert (cells['a'], cells['a: b'], cells['the rest']) == ('8', '5', '5')
