"""tools/benchmarks/propagation.py at tiny size: both forms are equal, rows, refusals."""

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools/benchmarks'))

import propagation  # noqa: E402
import propagation_branch  # noqa: E402
from common import BenchmarkError  # noqa: E402
from propagation import FORMS, PASSES, look_up_lines, look_ups, parse_args, run  # noqa: E402

pytestmark = pytest.mark.slow

TINY = ['--channels', '4', '--size', '14', '15', '--runs', '2', '--threads', '1', '--instances', '1', '3']


def test_forms_have_equal_logits_and_gradients():
    inputs = propagation.make_inputs(2, 4, 14, 15, 'cpu')
    (expected, slow), (found, quick) = (run(form, inputs, True) for form in FORMS)
    assert len(expected) == len(found) == 6 and expected[0].shape == (2, 14, 15)
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-5 * float(a.abs().max()))
    assert len(slow) == len(quick) == len(PASSES)


def test_rounds_and_backward_passes_of_the_literal_form_are_limited():
    args = parse_args([*TINY, '--rounds-up-to', '1', '--backward-up-to', '2'])
    few, many = look_ups(1, args), look_ups(3, args)
    assert len(few['forward']['literal']) == 2 and len(many['forward']['literal']) == 1
    assert many['forward+backward']['literal'] is None and few['forward+backward']['literal']
    assert len(many['forward']['ratio']) == len(many['forward']['fast']) == 5
    lines = look_up_lines([few, many], args)
    assert len(lines) == 2 + 2 + 4 and 'not run' in lines[-1]


@pytest.mark.parametrize('backward_up_to', ['0', '9'])
def test_a_form_that_is_another_function_is_refused(monkeypatch, backward_up_to):
    broken = dict(FORMS, fast=lambda **inputs: propagation.fast(**inputs) * (1 + 1e-4))
    monkeypatch.setattr(propagation, 'FORMS', broken)
    with pytest.raises(BenchmarkError, match='1 instances: the forms differ by'):
        look_ups(1, parse_args([*TINY, '--backward-up-to', backward_up_to]))


def test_wrong_gradients_alone_are_refused(monkeypatch):
    def fast(masks, **inputs):
        return propagation.fast(masks=masks.detach() + 0 * masks, **inputs)

    monkeypatch.setattr(propagation, 'FORMS', dict(FORMS, fast=fast))
    with pytest.raises(BenchmarkError, match='differ'):
        look_ups(1, parse_args(TINY))


def test_rows_are_written(tmp_path):
    out = tmp_path / 'rows.json'
    propagation.main([*TINY, '--no-branch', '--json', str(out)])
    rows = json.loads(out.read_text())['rows']['look_ups']
    assert [row['instances'] for row in rows] == [1, 3]
    assert all(row['difference'] <= 1e-5 for row in rows)
    assert all(list(row[name]['mib']) == list(FORMS) for row in rows for name in PASSES)


@pytest.fixture(scope='module')
def branch_args():
    return parse_args(['--image', '64', '96', '--runs', '1', '--threads', '1'])


def test_the_branch_and_its_parts_are_timed_against_the_detector(branch_args):
    rows = propagation_branch.time_branch(branch_args)
    assert rows['difference'] <= 1e-5 and rows['compile_s'] == {}
    assert list(rows['seconds']) == [*propagation_branch.DETECTORS, 'branch', *propagation_branch.PARTS]
    lines = propagation_branch.branch_lines(rows, branch_args)
    assert any(line.startswith('| detector |') and '| 100 % |' in line for line in lines)


def test_a_branch_that_is_another_function_is_refused(monkeypatch, branch_args):
    head = sys.modules['maskprop.methods.maskprop.mask_propagation_head']
    monkeypatch.setattr(head, 'propagate_values', lambda *a: 1.01 * propagation.propagate_values(*a))
    with pytest.raises(BenchmarkError, match='the branch: differs'):
        propagation_branch.time_branch(branch_args)
