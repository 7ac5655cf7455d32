"""FSDP2 on two gloo processes: its steps, checkpoints and validation are those of DDP and of one process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

import maskprop

maskprop.register_all()

from torch.distributed.tensor import DTensor  # noqa: E402

from maskprop.apis.model import init_model  # noqa: E402
from maskprop.engine import cli, runs  # noqa: E402
from maskprop.engine.checkpoint import load_checkpoint_file  # noqa: E402
from maskprop.engine.fsdp import FSDP2Strategy  # noqa: E402
from maskprop.engine.launch import LaunchError, setup_distributed  # noqa: E402
from tests.engine.ranks import run_ranks  # noqa: E402
from tests.engine.steps import ITERATIONS, step_config, uneven_set  # noqa: E402
from tests.engine.tiny_config import MASKPROP, STAND_IN, Killed, KillHook  # noqa: E402

pytestmark = [pytest.mark.xdist_group('processes'), pytest.mark.slow]  # not beside others: they have time limits
TOLERANCE = 1e-6
FSDP2 = dict(type='FSDP2Strategy')
ALL_APART = dict(type='FSDP2Strategy', units=[r'detector\.backbone\.layer\d', r'detector\.roi_head\.bbox_head'])


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    return uneven_set(tmp_path_factory.mktemp('set'))


def write_config(root: Path, work_dir: Path, file: Path = MASKPROP, strategy: dict | None = None, **keys) -> Path:
    cfg = step_config(file, root, work_dir)
    cfg.optim_wrapper.clip_grad = dict(max_norm=0.1)  # clips at every step
    cfg.log_level = 'INFO'
    cfg.default_hooks.logger.interval = 1
    cfg.merge_from_dict(keys)
    if strategy is not None:
        cfg.strategy = strategy
    path = work_dir.with_suffix('.py')
    cfg.dump(str(path))
    return path


def train(path: Path, *args: str) -> dict:
    """Train on two processes; the last checkpoint."""
    args = cli.train_parser().parse_args([str(path), '--launcher', 'pytorch', *args])
    run_ranks(cli.train, args, folder=path.parent)
    return load_checkpoint_file(path.with_suffix('') / f'iter_{ITERATIONS}.pth')


def scalars(work_dir: Path, name: str) -> list[float]:
    rows = [json.loads(line) for path in sorted(work_dir.rglob('scalars.json')) for line in path.open()]
    return [row[name] for row in rows if name in row]


def assert_close(found: dict, expected: dict) -> None:
    """Weights, momenta and all else that a checkpoint holds."""
    assert list(found['state_dict']) == list(expected['state_dict'])
    for name, value in expected['state_dict'].items():
        assert type(found['state_dict'][name]) is torch.Tensor
        assert (found['state_dict'][name] - value).abs().max() <= TOLERANCE, name
    assert found['optimizer']['param_groups'] == expected['optimizer']['param_groups']
    states = found['optimizer']['state'], expected['optimizer']['state']
    assert states[0].keys() == states[1].keys() and len(states[0]) > 3
    for key, state in states[1].items():
        difference = states[0][key]['momentum_buffer'] - state['momentum_buffer']
        assert difference.abs().max() <= 20 * TOLERANCE, key  # sums of gradients up to 0.1 a step
    assert found.keys() == expected.keys() and len(found['random_states']) == 2
    assert found['meta']['iter'] == expected['meta']['iter']


@pytest.fixture(scope='module')
def ddp(root, tmp_path_factory) -> dict:
    """MaskProp trained by DDP: its checkpoint and its work folder."""
    folder = tmp_path_factory.mktemp('ddp')
    return dict(checkpoint=train(write_config(root, folder / 'ddp')), folder=folder / 'ddp')


@pytest.mark.parametrize('strategy', [FSDP2, ALL_APART, dict(FSDP2, units=[], shard_size=1)], ids=str)
def test_steps_equal_ddp(root, tmp_path, ddp, strategy):
    found = train(write_config(root, tmp_path / 'fsdp', strategy=strategy))
    assert_close(found, ddp['checkpoint'])
    norms = [scalars(folder, 'grad_norm') for folder in (tmp_path / 'fsdp', ddp['folder'])]
    assert len(norms[1]) == ITERATIONS and min(norms[1]) > 0.1
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)


def test_accumulated_and_checkpointed_steps_equal_ddp(root, tmp_path):
    keys = {'optim_wrapper.accumulative_counts': 2, 'model.detector.backbone.with_cp': True}
    expected = train(write_config(root, tmp_path / 'ddp', **keys))
    assert_close(train(write_config(root, tmp_path / 'fsdp', strategy=FSDP2, **keys)), expected)


def test_steps_of_another_model_equal_ddp(root, tmp_path):
    expected = train(write_config(root, tmp_path / 'ddp', STAND_IN))
    assert_close(train(write_config(root, tmp_path / 'fsdp', STAND_IN, FSDP2)), expected)


def train_and_kill(path: Path, iterations: int) -> None:
    cfg = Config.fromfile(path)
    setup_distributed('pytorch', cfg)
    runner = runs.build_runner(cfg)
    runner.register_hook(KillHook(iterations))
    with pytest.raises(Killed):
        runner.train()
    parameters = list(runner.model.parameters())
    assert all(isinstance(parameter, DTensor) for parameter in parameters)
    held = sum(parameter.to_local().numel() for parameter in parameters)
    assert held < 0.6 * sum(parameter.numel() for parameter in parameters)


@pytest.mark.parametrize('resumed_by', ['FSDP2', 'DDP'])
def test_resumed_training_equals_ddp(root, tmp_path, ddp, resumed_by):
    path = write_config(root, tmp_path / 'two', strategy=FSDP2, **{'default_hooks.checkpoint.interval': 2})
    run_ranks(train_and_kill, path, 3, folder=tmp_path)
    if resumed_by == 'DDP':
        write_config(root, tmp_path / 'two')
    assert_close(train(path, '--resume', str(tmp_path / 'two' / 'iter_2.pth')), ddp['checkpoint'])
    if resumed_by == 'FSDP2':  # what DDP saved
        assert_close(train(path, '--resume', str(ddp['folder'] / f'iter_{ITERATIONS}.pth')), ddp['checkpoint'])


def test_validation_and_test_need_no_fsdp(root, tmp_path):
    """Three videos on two processes: one runs more frames than the other."""
    path = write_config(root, tmp_path / 'fsdp', strategy=FSDP2, **{'train_cfg.val_begin': 1})
    train(path)
    checkpoint = tmp_path / 'fsdp' / f'iter_{ITERATIONS}.pth'
    validated = scalars(tmp_path / 'fsdp', 'AP50')
    args = cli.test_parser().parse_args([str(path), str(checkpoint)])
    assert len(validated) == 1 and cli.test(args)['AP50'] == pytest.approx(validated[0], abs=1e-6)
    model = init_model(path, checkpoint, device='cpu')
    saved = load_checkpoint_file(checkpoint)['state_dict']
    assert all(torch.equal(value, saved[name]) for name, value in model.state_dict().items())


class Cascade(torch.nn.Module):
    """A head of several stages, named as mmdet does."""

    def __init__(self) -> None:
        super().__init__()
        self.detector = torch.nn.Module()
        self.detector.roi_head = torch.nn.Module()
        self.detector.roi_head.bbox_head = torch.nn.ModuleList([torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)])


def test_stages_of_a_cascade_are_units(tmp_path):
    strategy = FSDP2Strategy(work_dir=str(tmp_path), env_kwargs=dict(launcher='none'))
    model = Cascade()
    assert set(strategy._find_units(model)) == set(model.detector.roi_head.bbox_head)


def shard(strategy: FSDP2Strategy, model: torch.nn.Module) -> None:
    setup_distributed('pytorch', Config())
    strategy._wrap_model(model)


@pytest.mark.parametrize(
    ('options', 'error'),
    [
        (dict(shard_size=3), 'shard_size=3 does not divide the 2 processes'),
        (dict(units=['head']), "'head' matches no"),
    ],
)
def test_wrong_options_are_explained(tmp_path, options, error):
    strategy = FSDP2Strategy(work_dir=str(tmp_path), env_kwargs=dict(launcher='none'), **options)
    with pytest.raises(AssertionError, match=error):
        run_ranks(shard, strategy, torch.nn.Linear(4, 4), folder=tmp_path)


def test_one_process_is_refused(root, tmp_path):
    path = write_config(root, tmp_path / 'one', strategy=FSDP2)
    with pytest.raises(LaunchError, match='dist_train.sh'):
        cli.train(cli.train_parser().parse_args([str(path)]))
