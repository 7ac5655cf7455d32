"""tools/benchmarks/training_step.py at tiny size: equal losses, counts, rows; a side that differs is refused."""

from __future__ import annotations

import argparse
import copy
import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools/benchmarks'))

import common  # noqa: E402
import training_step  # noqa: E402
from training_step import PEER, build_step, check_detectors  # noqa: E402

pytestmark = pytest.mark.slow

TINY = ['--size', '60', '90', '--instances', '2', '--threads', '1', '--runs', '1', '--steps', '10']


@pytest.fixture(scope='module')
def args():
    return training_step.parse_args([*TINY, '--cases', 'checkpointing'])


@pytest.fixture(scope='module')
def sides(args):
    return [build_step(name, args) for name in ('MaskProp', PEER)]


def test_both_sides_have_the_same_detector_and_samples(sides):
    assert check_detectors(*sides) <= 1e-4
    ours, peer = sides
    with torch.no_grad():
        assert ours.losses()['loss_prop'] > 0 and 'loss_prop' not in peer.losses()
        assert 'loss_match' in peer.losses()


def test_an_easier_pair_on_one_side_is_refused(sides):
    ours, peer = sides
    other = copy.copy(peer)
    other.batch = (peer.batch[0] * 1.01, peer.batch[1])
    with pytest.raises(common.BenchmarkError, match='losses differ'):
        check_detectors(ours, other)


def test_a_side_that_trains_less_is_refused(sides):
    ours, peer = sides
    weight = peer.model.detector.rpn_head.rpn_cls.weight.requires_grad_(False)
    with pytest.raises(common.BenchmarkError, match='rpn_cls'):
        check_detectors(ours, peer)
    weight.requires_grad_(True)


def test_cases_are_what_they_say(args):
    step = build_step('checkpointing', args)
    backbone = step.model.detector.backbone
    assert backbone.layer2[0].with_cp and not backbone.layer1[0].bn1.training
    weights = [p for p in step.model.propagation_head.parameters() if p.requires_grad]
    before = [p.clone() for p in weights]
    step()
    assert any(not torch.equal(a, b) for a, b in zip(before, weights, strict=True))


def test_a_compiled_step_is_checked_against_the_eager_one(args):
    args = argparse.Namespace(**vars(args) | dict(backend='aot_eager'))
    eager, compiled = (build_step(name, args) for name in ('MaskProp', 'compile'))
    assert training_step.first_compiled_step(eager, compiled) > 0
    assert all(p.grad is None for p in compiled.model.parameters())
    for _ in range(training_step.STEPS):
        eager()
    assert training_step.warmed_up('compile', args, eager)[1]['first_s'] > 0  # from the weights that it has now
    with torch.no_grad():
        compiled.model.propagation_head.attention_conv.bias.add_(0.1)
    with pytest.raises(common.BenchmarkError, match='the losses differ'):
        training_step.first_compiled_step(eager, compiled)


def test_pairs_have_the_annotations_of_both_frames():
    inputs, samples = training_step.make_batch(2, (60, 90), 3, classes=5)
    assert inputs.shape == (2, 2, 3, 64, 96) and not inputs[:, :, :, 60:].any()
    for sample in samples:
        key, other = (frame.gt_instances for frame in sample.video_data_samples)
        assert key.instances_ids.tolist() == other.instances_ids.tolist() == [1, 2, 3]
        assert key.labels.max() < 5 and not torch.equal(key.bboxes, other.bboxes)
        for box, mask in zip(key.bboxes, key.masks.masks, strict=True):
            rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
            found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            assert found == pytest.approx(box.tolist(), abs=1.5)


def test_prints_tables_and_writes_rows(sides, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'rows.json'
    built = dict(zip(('MaskProp', PEER), sides, strict=True))
    monkeypatch.setattr(training_step, 'build_step', lambda name, args: built[name])
    monkeypatch.setattr(training_step, 'WINDOW', 3)
    monkeypatch.setattr(sys, 'argv', ['training_step.py', *TINY, '--steps', '3', '--cases', '--json', str(out)])
    training_step.main()
    rows = json.loads(out.read_text())['rows']
    assert [row['name'] for row in rows['steps']] == ['MaskProp', PEER] and rows['step_s'] > 0
    assert all(len(row['seconds']) == len(row['ratios']) == 1 and 'first_s' not in row for row in rows['steps'])
    assert len(rows['curves']) == 1 and rows['curves'][0]['bf16'] != rows['curves'][0]['fp32']
    assert f'| {PEER} |' in capsys.readouterr().out


@pytest.mark.parametrize('flags, has', [('fma avx2', False), ('fma avx512_bf16 avx2', True), (None, False)])
def test_bf16_is_left_out_where_a_cpu_lacks_it(flags, has, tmp_path, monkeypatch):
    facts = tmp_path / 'cpuinfo'
    if flags:
        facts.write_text(f'model name\t: Some CPU\nflags\t\t: {flags}\n\n')
    monkeypatch.setattr(training_step.common, 'CPU_FACTS', facts)
    assert training_step.common.has_bf16('cpu') is has and training_step.common.has_bf16('cuda')
    args = training_step.parse_args(TINY)
    assert args.without_bf16 is not has and ('bf16' in args.cases) is has
    assert training_step.parse_args([*TINY, '--cases', 'bf16']).cases == ['bf16']


@pytest.mark.xdist_group('memory')
def test_memory_is_that_of_building_and_two_steps(args, monkeypatch):
    made = []

    class Held:
        """Takes 8 MiB, and in its second step 4 more."""

        forwards = 1

        def __init__(self, name, args):
            self.name, self.held, self.steps = name, [torch.ones(2**21)], 0

        def __call__(self):
            self.steps += 1
            made.append(self.name)
            if self.steps == training_step.STEPS:
                self.held.append(torch.ones(2**20))

    monkeypatch.setattr(training_step, 'build_step', Held)
    monkeypatch.setattr(training_step, 'check_detectors', lambda *sides: 0.0)
    rows = training_step.step_rows(args)
    names = ['MaskProp', PEER, 'checkpointing']
    assert [row['name'] for row in rows] == names and [row['base'] for row in rows] == [PEER, PEER, 'MaskProp']
    warm = [name for name in (PEER, *names) for _ in range(training_step.STEPS)]
    assert made == [*warm, *names]  # the first one's memory is not taken; then the one round in turns
    if rows[0]['mib'] is not None:
        assert [row['mib'] for row in rows] == pytest.approx([12] * 3, abs=1)
        assert [row['memory_ratio'] for row in rows] == pytest.approx([1] * 3, abs=0.2)
