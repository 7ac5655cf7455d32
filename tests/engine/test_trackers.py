"""Trackers of experiments: TensorBoard gets what scalars.json has; one that is not installed is said in a line."""

from __future__ import annotations

import builtins
import json
from pathlib import Path

import pytest

import maskprop

maskprop.register_all()

from maskprop.engine import runs  # noqa: E402
from maskprop.engine.config import ConfigError  # noqa: E402
from tests.engine.tiny_config import quick_runs, tiny_config  # noqa: E402
from tests.helpers import write_tiny_ytvis  # noqa: E402

BACKENDS = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]


def config_with_tensorboard(tmp_path: Path):
    root = write_tiny_ytvis(tmp_path / 'set')
    return tiny_config(root, tmp_path / 'work', visualizer=dict(type='Visualizer', vis_backends=BACKENDS))


@pytest.mark.slow
def test_tensorboard_has_the_scalars_of_the_run(tmp_path):
    pytest.importorskip('tensorboard', reason='tensorboard is not installed')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with quick_runs():
        runs.train(config_with_tensorboard(tmp_path))
    (local,) = tmp_path.glob('work/*/vis_data/scalars.json')
    events = EventAccumulator(str(local.parent))
    events.Reload()
    lines = [json.loads(line) for line in local.read_text().splitlines()]
    expected = [(line['step'], line['loss']) for line in lines if 'loss' in line]
    found = [(event.step, event.value) for event in events.Scalars('loss')]
    assert len(expected) > 2 and [step for step, _ in found] == [step for step, _ in expected]
    assert [value for _, value in found] == pytest.approx([value for _, value in expected], rel=1e-6)
    assert [event.value for event in events.Scalars('AP')] == pytest.approx([x['AP'] for x in lines if 'AP' in x])


def test_a_tracker_that_is_not_installed(tmp_path, monkeypatch):
    real = builtins.__import__

    def without_tensorboard(name, *args, **kwargs):
        if name.startswith('torch.utils.tensorboard'):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    cfg = config_with_tensorboard(tmp_path)
    monkeypatch.setattr(builtins, '__import__', without_tensorboard)
    with quick_runs(), pytest.raises(ConfigError, match='Please run "pip install future tensorboard"'):
        runs.train(cfg)
