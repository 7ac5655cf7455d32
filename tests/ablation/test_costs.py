"""What a row costs: rows in turns, the median of the rounds, and the parameters of nets that are no modules."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from maskprop.ablation import costs
from maskprop.ablation.jobs import Job


class Videos:
    """Two videos, of 5 and 8 frames: at stride 4 two frames each."""

    def __len__(self) -> int:
        return 2

    def get_len_per_video(self, video: int) -> int:
        return (5, 8)[video]


def test_rows_take_turns_and_the_median_counts(tmp_path, monkeypatch):
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))  # 8 + 4 parameters, 5 numbers of statistics
    torch.save(dict(state_dict=net.state_dict()), tmp_path / 'net.pth')
    models = dict(a=nn.Linear(1, 1), b=nn.Linear(4, 1))
    tests = [
        Job('test', Path(name), {}, [], dict(rows=rows, nets=nets, frame_stride=4, ground_truth=False))
        for name, rows, nets in (
            ('a', dict(plain={}), dict(plain=[])),
            ('b', dict(other={}, net=dict(linker='x')), dict(other=[], net=[str(tmp_path / 'net.pth')])),
        )
    ]
    monkeypatch.setattr(costs, 'load_test', lambda job, videos: (models[str(job.folder)], Videos()))
    clock, seen = [0.0], []
    seconds = dict(plain=[1.0, 9.0, 2.0], other=[4.0, 4.0, 4.0], net=[8.0, 1.0, 2.0])
    monkeypatch.setattr(costs, 'perf_counter', lambda: clock[0])

    def run_variants(model, dataset, variants, strides, ground_truth):
        (name,) = variants
        clock[0] += seconds[name][sum(other == name for other in seen)]
        seen.append(name)

    monkeypatch.setattr('maskprop.apis.variants.run_variants', run_variants)
    found = costs.measure_costs(tests, videos=2, rounds=3)
    assert seen == ['plain', 'other', 'net'] * 3
    assert {name: cost.parameters for name, cost in found.items()} == dict(plain=2, other=5, net=5 + 12)
    frames = {name: cost.frames_a_second for name, cost in found.items()}
    assert frames == pytest.approx(dict(plain=4 / 2, other=1, net=4 / 2))
