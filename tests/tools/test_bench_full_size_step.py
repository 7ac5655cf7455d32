"""tools/benchmarks/full_size_step.py: a step and a test frame of a branch that propagates objects, small."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools/benchmarks'))

import cost_table  # noqa: E402
import full_size_step  # noqa: E402

pytestmark = pytest.mark.slow

TINY = 'configs/osmn/osmn_tiny_synthetic.py'
FULL = 'configs/feelvos/feelvos_r50_fpn_ytvis2019.py'


@pytest.mark.parametrize('child', ['OptimWrapper', 'test'])
def test_a_child_measures(child, monkeypatch, capsys):
    monkeypatch.setattr(full_size_step, 'TEST_SIZE', (90, 160))
    args = argparse.Namespace(configs=[TINY], child=child, objects=2, runs=1, device='cpu')
    full_size_step.run_child(args)
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert len(found['seconds']) == 1 and found['seconds'][0] > 0 and found['mib'] > 0


def test_frames_of_a_video_propagate_the_objects(monkeypatch):
    monkeypatch.setattr(full_size_step, 'TEST_SIZE', (90, 160))
    frame = full_size_step.Frame(Config.fromfile(TINY), argparse.Namespace(objects=2, device='cpu'))
    with torch.no_grad():
        first, second = (frame.stream.step(frame.image, frame.meta)[0] for _ in range(2))
    assert sorted(first.ids) == sorted(second.ids) and len(first.ids) == 2


def test_sizes_and_weights():
    cfg = Config.fromfile(FULL)
    assert cost_table.training_sizes(cfg) == ((352, 352), (352, 352))
    full_size_step.forget_weights(cfg.model)
    assert cfg.model.propagation_head.backbone.init_cfg is None and 'torchvision' not in str(cfg.model)
    assert full_size_step.propagates_objects(cfg)
    assert not full_size_step.propagates_objects(Config.fromfile('configs/demo/maskprop_tiny_synthetic.py'))
