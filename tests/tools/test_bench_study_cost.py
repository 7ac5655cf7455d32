"""tools/benchmarks/study_cost.py: measured minutes from the jobs' records, full-size hours from FLOPs."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

import pytest

import maskprop

maskprop.register_all()
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'tools/benchmarks'))

import study_cost  # noqa: E402

from maskprop.ablation.jobs import plan  # noqa: E402
from maskprop.ablation.study import load_study  # noqa: E402
from tests.ablation.tiny_study import make_outputs  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def costs():
    args = Namespace(config=study_cost.FULL_SIZE, objects=2, pairs=1000, test_frames=100)
    return study_cost.FullSize(args)


def test_minutes_are_those_of_the_records(costs, tmp_path):
    jobs = plan([load_study('configs/ablations/refinement.py', seeds=[1])], tmp_path)
    assert study_cost.study_row(jobs, costs)['seconds']['detector'] is None
    for job in jobs:
        make_outputs(job)
        job.write_record(60.0 if job.level == 'heads' else 30.0, done=True)
    row = study_cost.study_row(jobs, costs)
    assert row['counts'] == dict(detector=1, heads=1, test=1)
    assert row['seconds'] == dict(set=30, detector=30, heads=60, test=30, table=30)
    jobs[0].write_record(5.0, done=False)
    assert study_cost.study_row(jobs, costs)['seconds']['set'] is None


def test_flops_add_up(costs, tmp_path):
    strength, forms = (
        study_cost.study_row(plan([load_study(f'configs/ablations/{name}.py')], tmp_path / name), costs)['flops']
        for name in ('mask_strength', 'propagation_forms')
    )
    assert strength == pytest.approx(3 * costs.detector + 15 * costs.test)
    assert forms == pytest.approx(3 * costs.detector + 18 * costs.test + 18 * costs.heads('propagation', 2 / 8))


def test_heads_cost_their_own_backward_pass_only(costs):
    per_pair = costs.heads('refinement', 1) / (1000 * 20)
    frozen = 2 * (costs.frame['backbone'] + costs.frame['FPN']) + costs.frame['mask heads']
    assert per_pair == pytest.approx(frozen + 3 * costs.frame['refinement'])
    assert costs.heads('propagation', 1) < costs.heads('refinement', 1)


def test_table_says_what_was_not_run():
    args = Namespace(gpus=8, peak=100, utilisation=(0.1, 0.5), config=study_cost.FULL_SIZE)
    counts = dict(detector=1, heads=0, test=1)
    row = dict(study='mine', counts=counts, seconds=dict(detector=600, heads=0, test=None), flops=8e14 * 3600)
    assert study_cost.tables([row], args)[-1] == '| `mine` | 1, 0, 1 | 10 | 0 | not run | 2 to 10 |'
