"""tools/benchmarks/scale_out.py: what it accepts as equal, what it computes and writes. No times."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path

import pytest
from mmengine.runner import Runner

import maskprop

maskprop.register_all()

from tests.engine.tiny_config import STAND_IN, quick_runs, tiny_config  # noqa: E402
from tests.helpers import write_tiny_ytvis  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools/benchmarks'))

import common  # noqa: E402
import rank_clock  # noqa: E402, F401  registers the hooks
import scale_out  # noqa: E402

pytestmark = pytest.mark.slow


def a_training(ranks: int, steps: int = 5, seconds: float = 0.5) -> list[dict]:
    """What RankClock writes of ``4 * ranks * steps`` samples."""
    return [
        dict(
            ends=[seconds * i for i in range(steps)],
            hooks=[0.01 * (rank + 1)] * steps,
            samples=[[f'{i}.jpg', f'{i + 1}.jpg', False] for i in range(rank, 4 * ranks * steps, ranks)],
            weights=[1.5, -2.25],
        )
        for rank in range(ranks)
    ]


def a_test(ranks: int) -> list[dict]:
    stages = [dict(data=1.0, model=2.0 + rank, metric=1.0, evaluation=3.0 - rank) for rank in range(ranks)]
    return [dict(frames=12 // ranks, stages=s) for s in stages]


def test_clock_writes_what_each_process_did(tmp_path, monkeypatch):
    monkeypatch.setenv(rank_clock.OUT, str(tmp_path))
    root = write_tiny_ytvis(tmp_path / 'set')
    cfg = tiny_config(root, tmp_path / 'work', STAND_IN, train_cfg__max_epochs=1, train_cfg__val_begin=9)
    cfg.custom_hooks = [dict(type='RankClock'), dict(type='RankClockStart')]
    with quick_runs():
        runner = Runner.from_cfg(cfg)
        runner.train()
        clock = json.loads((tmp_path / 'rank_0.json').read_text())
        runner.test()
    assert len(clock['ends']) == len(clock['hooks']) == 5 and len(clock['samples']) == 9
    assert clock['ends'] == sorted(clock['ends'])
    assert all(0 < hooks < 1e3 for hooks in clock['hooks'])
    first, second, flipped = clock['samples'][0]
    assert Path(first).is_file() and Path(second).is_file() and first != second and flipped in (True, False)
    assert clock['weights'] == [float(p.detach().double().sum()) for p in runner.model.parameters()]
    clock = json.loads((tmp_path / 'rank_0.json').read_text())
    assert clock['frames'] == 18 and {'data', 'model', 'metric', 'evaluation'} <= set(clock['stages'])


def test_trainings_must_use_the_same_samples():
    one, several = a_training(1, steps=10), a_training(2)
    scale_out.check_trainings(one, several)
    broken = copy.deepcopy(several)
    broken[1]['samples'][3][2] = True  # one sample flipped
    with pytest.raises(common.BenchmarkError, match='40 samples of one process are not the 40'):
        scale_out.check_trainings(one, broken)


@pytest.mark.parametrize(('key', 'value'), [('weights', [1.5, -2.0]), ('ends', [0.0])])
def test_processes_must_agree(key, value):
    several = a_training(2)
    several[1][key] = value
    with pytest.raises(common.BenchmarkError, match='unequal'):
        scale_out.check_trainings(a_training(1, steps=10), several)


@pytest.mark.parametrize('contents', [('[{"score": 1}]', '[{"score": 0}]'), ('[]', '[]')])
def test_tests_must_give_the_same_results(tmp_path, contents):
    for n, content in zip((1, 2), ('[{"score": 1}]', '[{"score": 1}]'), strict=True):
        (tmp_path / f'results_{n}.json').write_text(content)
    scale_out.check_tests(tmp_path, 2)
    for n, content in zip((1, 2), contents, strict=True):
        (tmp_path / f'results_{n}.json').write_text(content)
    with pytest.raises(common.BenchmarkError, match='different results, or none'):
        scale_out.check_tests(tmp_path, 2)


def test_rates_and_waits():
    rows = scale_out.summarize([dict(train=(a_training(1, 10), a_training(2)), test=(a_test(1), a_test(2)))])
    assert rows['train'] == dict(one=[8.0], several=[16.0], ratio=[2.0])  # 4 pairs in 0.5 s, on each
    assert rows['test'] == dict(one=[3.0], several=[12 / 5], ratio=[pytest.approx(0.8)])
    assert rows['hooks_ms'] == [[pytest.approx(10), pytest.approx(20)]] and rows['step_ms'] == [500]
    assert rows['frames'] == [6, 6] and rows['scoring_s'] == [2.0] and rows['waited_s'] == [1.0]
    assert rows['test_s'] == [5.0]


def test_forms_run_in_turn_and_rows_are_written(tmp_path, monkeypatch, capsys):
    calls = []

    def launch(tool, processes, clocks, config, *arguments):
        calls.append((tool, processes))
        if tool == 'tools/train.py':
            return a_training(processes, steps=10 // processes)
        (config.parent / f'results_{processes}.json').write_text('[{"score": 1}]')
        return a_test(processes)

    monkeypatch.setattr(scale_out, 'launch', launch)
    monkeypatch.setattr(scale_out, 'run', lambda arguments, clocks: calls.append((arguments[0], 0)))
    page = tmp_path / 'page.md'
    page.write_text('before\n<!-- scale_out -->\n<!-- end of scale_out -->\nafter\n')
    out = tmp_path / 'rows.json'
    argv = ['tools/benchmarks/scale_out.py', '--runs', '2', '--json', str(out), '--doc', str(page)]
    monkeypatch.setattr(sys, 'argv', argv)
    scale_out.main()
    turn = [('tools/train.py', 1), ('tools/train.py', 2), ('tools/test.py', 1), ('tools/test.py', 2)]
    assert calls == [('tools/make_synthetic.py', 0), *turn, *turn]
    written = json.loads(out.read_text())
    assert written['rows']['train']['ratio'] == [2.0, 2.0] and '1 threads' in written['machine']
    assert '| training, samples per second | 8 | 16 | 2 |' in page.read_text() and 'after' in page.read_text()
    assert 'on rank 1 | 20 ms |' in capsys.readouterr().out


def test_config_can_be_read(tmp_path, monkeypatch):
    from mmengine.config import Config

    monkeypatch.setattr(scale_out, 'run', lambda arguments, clocks: None)
    monkeypatch.setattr(sys, 'argv', ['scale_out.py'])
    args = common.argparse.Namespace(processes=2, samples=16, videos=3, frames=4, log_interval=7)
    cfg = Config.fromfile(scale_out.write_inputs(args, tmp_path))
    assert (
        cfg.train_dataloader.batch_size == scale_out.BATCH and cfg.train_dataloader.sampler.samples_per_epoch == 16
    )
    assert cfg.test_evaluator.ann_file == f'{tmp_path}/set/annotations/val.json'
    assert cfg.default_hooks.logger == dict(type='LoggerHook', interval=7)


def test_a_command_that_fails_is_shown(tmp_path):
    with pytest.raises(common.BenchmarkError, match='what went wrong'):
        scale_out.run(['-c', 'raise SystemExit("what went wrong")'], tmp_path)
