"""tools/benchmarks/record_results.py: what it calls equal, and that its cases are configs that load."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tools/benchmarks'))
import record_results  # noqa: E402

pytestmark = pytest.mark.slow

LOSSES = [{'loss': '1.5', 'iter': '1'}, {'loss': '1.25', 'iter': '2'}]


def write(folder: Path, **entries) -> Path:
    folder.mkdir()
    record = {name.replace('_', ' ', 1): value for name, value in entries.items()}
    (folder / 'record.json').write_text(json.dumps(record))
    return folder


def test_comparison(tmp_path, capsys):
    first = write(tmp_path / 'first', losses_a=LOSSES, weights_a='12', results_a='34')
    same = write(tmp_path / 'same', losses_a=LOSSES, weights_a='12', results_a='34')
    resumed = write(tmp_path / 'resumed', losses_a=LOSSES[1:], weights_a='12', results_a='34')
    assert record_results.compare([first, same, resumed]) == 0
    assert capsys.readouterr().out.count('3 entries equal') == 2
    other = write(tmp_path / 'other', losses_a=[LOSSES[0], {'loss': '1.26', 'iter': '2'}], weights_a='13')
    assert record_results.compare([first, same, other]) == 1
    said = capsys.readouterr().out
    assert [f'{name} a differs' in said for name in ('losses', 'weights', 'results')] == [True] * 3


def test_every_weight_counts(tmp_path):
    digests = set()
    for state in (dict(a=torch.zeros(2)), dict(a=torch.tensor([0.0, 1e-30])), dict(b=torch.zeros(2))):
        torch.save(dict(state_dict=state), tmp_path / 'x.pth')
        digests.add(record_results.digest_weights(tmp_path / 'x.pth'))
    assert len(digests) == 3


@pytest.mark.parametrize('name', [*record_results.CONFIGS, *record_results.FULL_SIZE])
def test_cases_are_configs(name, tmp_path):
    recorder = record_results.Recorder(tmp_path, ROOT, None)
    assert Config.fromfile(recorder.config(name)).model.type == 'VideoMaskRCNN'
    assert set(record_results.TESTS) == set(record_results.CONFIGS)
    assert set(record_results.TESTS.values()) <= set(record_results.CONFIGS)
