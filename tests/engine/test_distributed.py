"""Two gloo processes on the CPU: training equals one process that averages; test equals one process."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner

import maskprop

maskprop.register_all()

from maskprop.engine import cli  # noqa: E402
from maskprop.engine.checkpoint import load_checkpoint_file  # noqa: E402
from maskprop.engine.launch import setup_distributed  # noqa: E402
from maskprop.utils.random_state import get_random_state, seed_all, set_random_state  # noqa: E402
from tests.engine.ranks import run_ranks  # noqa: E402
from tests.engine.steps import ITERATIONS, RANKS, step_config, uneven_set  # noqa: E402
from tests.engine.tiny_config import MASKPROP, STAND_IN, Killed, KillHook, tiny_config  # noqa: E402

pytestmark = [pytest.mark.xdist_group('processes'), pytest.mark.slow]  # not beside others: they have time limits
Weights = dict[str, torch.Tensor]


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    return uneven_set(tmp_path_factory.mktemp('set'))


def train_averaging_ranks(cfg: Config) -> tuple[Weights, Weights, list[tuple[int, ...]]]:
    """One process that plays the ranks in turn: their batches, their random numbers, their gradients averaged.

    Returns:
        The weights before and after, and for each iteration the number of objects in each rank's key frame.
    """
    runner = Runner.from_cfg(cfg)
    loader = runner.build_dataloader(cfg.train_dataloader, seed=runner.seed)
    runner._init_model_weights()
    model = runner.model.train()
    before = copy.deepcopy(model.state_dict())
    optim_wrapper = runner.build_optim_wrapper(cfg.optim_wrapper)
    requests = []
    loader.sampler.world_size = RANKS
    for rank in range(RANKS):
        loader.sampler.rank = rank
        requests.append(list(loader.sampler))
    states = []
    for rank in range(RANKS):
        seed_all(runner.seed, rank, 0)
        states.append(get_random_state())
    counts = []
    for i in range(ITERATIONS):
        optim_wrapper.zero_grad()
        objects = []
        for rank in range(RANKS):
            batch = model.data_preprocessor(pseudo_collate([loader.dataset[requests[rank][i]]]), True)
            objects.append(len(batch['data_samples'][0][0].gt_instances))
            set_random_state(states[rank])
            loss, _ = model.parse_losses(model(**batch, mode='loss'))
            (loss / RANKS).backward()
            states[rank] = get_random_state()
        optim_wrapper.step()
        counts.append(tuple(objects))
    return before, model.state_dict(), counts


@pytest.mark.parametrize('file', [STAND_IN, MASKPROP], ids=lambda path: path.stem)
def test_two_processes_equal_one_that_averages(root, tmp_path, file):
    cfg = step_config(file, root, tmp_path / 'two')
    cfg.dump(str(tmp_path / 'config.py'))
    args = cli.train_parser().parse_args([str(tmp_path / 'config.py'), '--launcher', 'pytorch'])
    run_ranks(cli.train, args, folder=tmp_path, ranks=RANKS)
    found = load_checkpoint_file(tmp_path / 'two' / f'iter_{ITERATIONS}.pth')
    assert len(found['random_states']) == RANKS

    before, expected, counts = train_averaging_ranks(step_config(file, root, tmp_path / 'one'))
    assert any(0 in c and max(c) > 0 for c in counts) and any(len(set(c)) > 1 and min(c) > 0 for c in counts)
    for name, value in expected.items():
        difference = (found['state_dict'][name] - value).abs().max()
        assert difference <= 1e-6, f'{name}: {difference}'
    assert max((value - before[name]).abs().max() for name, value in expected.items()) > 1e-3


def train_and_keep_statistics(cfg: Config, folder: Path) -> None:
    setup_distributed('pytorch', cfg)
    runner = Runner.from_cfg(cfg)
    runner.train()
    statistics = runner.model.module.norm.state_dict()
    torch.save(statistics, folder / f'rank{runner.rank}.pth')


@pytest.mark.parametrize('together', [True, False])
def test_batch_norm_has_the_statistics_of_all_processes(root, tmp_path, together):
    """Else each process would validate its videos with a model of its own."""
    cfg = tiny_config(root, tmp_path, train_cfg__max_epochs=1, train_cfg__val_begin=100)
    if not together:
        del cfg.default_hooks['sync_buffers']
    run_ranks(train_and_keep_statistics, cfg, tmp_path, folder=tmp_path)
    first, second = (torch.load(tmp_path / f'rank{rank}.pth', weights_only=True) for rank in (0, 1))
    assert first['num_batches_tracked'] == second['num_batches_tracked'] > 0
    assert torch.equal(first['running_mean'], second['running_mean']) == together


def train_and_kill(cfg: Config, iterations: int) -> None:
    setup_distributed('pytorch', cfg)
    runner = Runner.from_cfg(cfg)
    runner.register_hook(KillHook(iterations))
    with pytest.raises(Killed):
        runner.train()


def test_two_processes_resume_with_their_own_random_states(root, tmp_path, caplog):
    def files(name: str) -> str:
        cfg = tiny_config(root, tmp_path / name, train_cfg__val_begin=100)
        cfg.dump(str(tmp_path / f'{name}.py'))
        return str(tmp_path / f'{name}.py')

    def train(*args: str) -> None:
        run_ranks(cli.train, cli.train_parser().parse_args([*args, '--launcher', 'pytorch']), folder=tmp_path)

    train(files('whole'))
    expected = load_checkpoint_file(tmp_path / 'whole' / 'iter_6.pth')

    # an epoch has 3 iterations of 2 x 2 samples; the checkpoint is saved inside the second
    options = ['--cfg-options', 'default_hooks.checkpoint.interval=4']
    cfg = Config.fromfile(files('killed'))
    cfg.default_hooks.checkpoint.interval = 4
    run_ranks(train_and_kill, cfg, 5, folder=tmp_path)
    train(files('killed'), '--resume', *options)
    found = load_checkpoint_file(tmp_path / 'killed' / 'iter_6.pth')
    assert all(torch.equal(found['state_dict'][name], value) for name, value in expected['state_dict'].items())
    states = found['random_states']
    assert len(states) == 2 and not torch.equal(states[0]['torch'], states[1]['torch'])

    # with another number of processes it goes on, and says what that means
    path = str(tmp_path / 'killed' / 'iter_4.pth')
    runner = cli.train(cli.train_parser().parse_args([files('alone'), '--resume', path]))
    log = next((tmp_path / 'alone').glob('*/*.log')).read_text()
    assert 'random states of 2 process(es), this training has 1.' in log
    assert 'An epoch had 3 iterations' in log and 'epoch 2 continues at iteration 1' in log
    assert runner.iter == 10
