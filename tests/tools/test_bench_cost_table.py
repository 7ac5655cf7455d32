"""tools/benchmarks/cost_table.py: what is counted, and that it is written."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

import maskprop

maskprop.register_all()

from tests.helpers import write_tiny_ytvis  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools/benchmarks'))

import common  # noqa: E402
import cost_table  # noqa: E402

pytestmark = pytest.mark.slow

DEMO = 'configs/demo/maskprop_tiny_synthetic.py'
R50 = 'configs/maskprop/maskprop_htc_r50_fpn_20e_ytvis2019.py'
STSN = 'configs/maskprop/maskprop_htc_stsn_x101_fpn_20e_ytvis2019.py'


def test_training_sizes():
    assert cost_table.training_sizes(Config.fromfile(DEMO)) == ((90, 160), (90, 160))
    mean, largest = cost_table.training_sizes(Config.fromfile(R50))
    assert largest == (750, 1333)  # its long side is the limit
    sides = [min(side, 1333 * 9 / 16) for side in range(400, 801)]
    assert mean[0] ** 2 == pytest.approx(sum(side**2 for side in sides) / len(sides), rel=2e-3)


def test_a_step_is_counted():
    cfg = Config.fromfile(DEMO)
    step = cost_table.count_step(cfg, objects=2)
    model = cost_table.build(cfg)
    assert step.parameters == step.trainable == sum(p.numel() for p in model.parameters())
    stages = [getattr(model.detector.backbone, f'layer{i}') for i in (1, 2, 3, 4)]
    units = [sum(p.numel() for p in m.parameters()) for m in (*stages, model.detector.roi_head.bbox_head)]
    assert (step.in_units, step.largest_unit) == (sum(units), max(units))
    assert (step.states, step.batch, step.epochs) == (2, 4, 8)
    # 565 million for the forward pass of a pair, counted in a training; some heads got fewer proposals there
    assert 1 < step.flops / (3 * step.batch * 565e6) < 1.25 and step.activations > 0


def test_frozen_parameters_have_no_gradients():
    model = cost_table.build(Config.fromfile(R50)).train()
    frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    assert frozen == sum(
        p.numel() for n, p in model.named_parameters() if 'e.conv1.' in n or 'layer1' in n or 'e.bn1' in n
    )


def test_forward_pass_of_a_pair():
    """Of a test frame: everything 1 with no instance, and 1 more for each."""
    counted = {
        n: dict.fromkeys(('backbone', 'STSN', 'FPN', 'box heads', 'refinement'), 1 + n) for n in (0, 2, 6, 10)
    }
    for n in counted:
        counted[n].update(backbone=1, STSN=7, FPN=1)
    counted[0].update({'propagation': 1, 'box heads': 1})
    for n in (2, 6, 10):
        counted[n].update({'propagation': 14 + 13 * n, 'box heads': 1})
    # six frames; 3 of a window of 7 for two; two; 512 of 1000 proposals; 1 + objects;
    # the code of two frames, and two targets of 13, for 1 + objects
    expected = 6 + 2 * 3 + 2 + 0.512 + (1 + 5) + 2 + 2 * (1 + 5)
    cfg = Config.fromfile(STSN)
    assert cost_table.forward_flops(cfg, cost_table.build(cfg), counted, objects=5) == pytest.approx(expected)


def test_numbers_of_a_row():
    args = common.argparse.Namespace(
        gpus=[8, 64],
        peaks=[100.0],
        utilisation=(0.1, 0.4),
        network=8,
        pairs=6400,
        annotations=None,
        gpu='X',
        objects=2,
    )
    step = cost_table.TrainingStep(
        parameters=100,
        trainable=80,
        in_units=60,
        largest_unit=30,
        states=1,
        activations=1000,
        flops=4e13,
        batch=2,
        epochs=3,
    )
    row = cost_table.row(step, args)
    assert row['single_bytes'] == 4 * (100 + 2 * 80) + 1000 and row['ddp_bytes'] == row['single_bytes'] + 4 * 80
    assert row['fsdp_bytes'] == 4 * (100 + 2 * 80) / 64 + 2 * 4 * (40 + 30) + 1000
    assert row['ddp_sent'] == 2 * 63 / 64 * 320
    assert row['fsdp_sent'] == pytest.approx(63 / 64 * 4 * (40 + 2 * 60 + 80))
    assert row['seconds'] == {'100': [pytest.approx(1), pytest.approx(4)]}
    assert row['hours']['100, 8'] == [pytest.approx(3 * 6400 / 16 / 3600), pytest.approx(4 * 3 * 6400 / 16 / 3600)]
    assert row['network']['ddp'] == pytest.approx(row['ddp_sent'] / 1e9)
    # a network of one second, of which the backward pass hides two thirds of one
    row['network']['ddp'] = 1.0
    cells = cost_table.plan_row(dict(row, config='c'), 'ddp', ['100'])
    assert cells[-2:] == ['2700 to 900 e', '1.00 to 0.25 e']


def test_pairs_are_counted_as_the_data_set_does(tmp_path):
    root = write_tiny_ytvis(tmp_path)
    content = json.loads((root / 'annotations/train.json').read_text())
    with_object = {
        (a['video_id'], i)
        for a in content['annotations']
        for i, s in enumerate(a['segmentations'])
        if s is not None
    }
    assert cost_table.count_pairs(str(root / 'annotations/train.json')) == len(with_object)


def test_rows_and_tables_are_written(tmp_path, monkeypatch):
    page, out = tmp_path / 'page.md', tmp_path / 'rows.json'
    page.write_text('<!-- cost_table -->\n<!-- end of cost_table -->\n')
    argv = ['tools/benchmarks/cost_table.py', DEMO, '--json', str(out), '--doc', str(page), '--threads', '1']
    monkeypatch.setattr(sys, 'argv', argv)
    threads = torch.get_num_threads()
    cost_table.main()
    torch.set_num_threads(threads)
    (row,) = json.loads(out.read_text())['rows']
    assert row['config'] == 'maskprop_tiny_synthetic' and row['batch'] == 4
    rows = [line for line in page.read_text().splitlines() if line.startswith('| `maskprop_tiny_synthetic`')]
    assert len(rows) == 3  # cost; plan with DDP and FSDP2
    cells = [cell.strip() for line in rows for cell in line.split('|')[3:-1]]
    assert all(cell[-2:] in (' c', ' e') for cell in cells if cell not in ('DDP', 'FSDP2')) and len(cells) > 20


def test_what_cannot_be_counted_is_refused(monkeypatch):
    from maskprop.apis import model_cost

    cfg = Config.fromfile(DEMO)
    monkeypatch.setattr(
        model_cost, 'model_cost', lambda model, size, n: model_cost.ModelCost(flops=dict(backbone=n * n))
    )
    with pytest.raises(common.BenchmarkError, match='FLOPs of backbone are not linear'):
        cost_table.count_step(cfg, 2)
    cfg.model.type = 'TinyVideoModel'
    with pytest.raises(common.BenchmarkError, match='only the parts of a VideoMaskRCNN'):
        cost_table.count_step(cfg, 2)
