"""A training that is killed and resumed reaches the weights of one that ran through, bit for bit."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

import maskprop

maskprop.register_all()

from maskprop.engine.checkpoint import CheckpointError  # noqa: E402
from maskprop.engine.config import find_last_checkpoint  # noqa: E402
from tests.engine.tiny_config import MASKPROP, Killed, KillHook, tiny_config  # noqa: E402
from tests.helpers import write_tiny_ytvis  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_tiny_ytvis(tmp_path_factory.mktemp('set'))


def train(cfg: Config, kill_after: int | None = None) -> Runner:
    runner = Runner.from_cfg(cfg)
    if kill_after is None:
        runner.train()
    else:
        runner.register_hook(KillHook(kill_after))
        with pytest.raises(Killed):
            runner.train()
    loader = runner.train_loop.dataloader
    if loader.persistent_workers:
        loader._iterator._shutdown_workers()  # left to the garbage collector this takes seconds
    return runner


def train_in_two(cfg: Config, kill_after: int, saved_at: int, **changes) -> Runner:
    train(cfg.copy(), kill_after)
    torch.rand(11)  # another process has other random states
    cfg = cfg.copy()
    cfg.experiment_name += '_resumed'
    cfg.merge_from_dict(changes)
    last = find_last_checkpoint(cfg.work_dir)
    assert last.name == f'iter_{saved_at}.pth'
    cfg.load_from, cfg.resume = str(last), True
    return train(cfg)


def weights(runner: Runner) -> dict[str, torch.Tensor]:
    state = dict(runner.model.state_dict())
    for i, values in runner.optim_wrapper.optimizer.state_dict()['state'].items():
        state.update({f'optimizer.{i}.{name}': value for name, value in values.items()})
    return state


def assert_same(found: Runner, expected: Runner) -> None:
    found, expected = weights(found), weights(expected)
    assert found.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []


def same(found: Runner, expected: Runner) -> bool:
    found, expected = weights(found), weights(expected)
    return all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.fixture(scope='module')
def expected(root, tmp_path_factory) -> Runner:
    """The training that ran through."""
    return train(tiny_config(root, tmp_path_factory.mktemp('whole')))


# an epoch has 5 iterations, the last of one sample; checkpoints are saved at 3, 6, 9
@pytest.mark.parametrize(
    ('workers', 'persistent', 'kill_after', 'saved_at'),
    [(0, False, 4, 3), (0, False, 8, 6), (2, False, 7, 6), (2, True, 4, 3)],
)
def test_resumed_training_equals_uninterrupted(
    root, tmp_path, expected, workers, persistent, kill_after, saved_at
):
    cfg = tiny_config(root, tmp_path)
    cfg.train_dataloader.update(num_workers=workers, persistent_workers=persistent)
    assert_same(train_in_two(cfg, kill_after, saved_at), expected)


def test_resumed_training_of_maskprop_equals_uninterrupted(root, tmp_path):
    options = dict(file=MASKPROP, train_cfg__val_begin=100, train_cfg__max_epochs=1)
    whole = train(tiny_config(root, tmp_path / 'whole', **options))
    assert_same(train_in_two(tiny_config(root, tmp_path / 'killed', **options), 4, 3), whole)


def test_resume_from_the_last_iteration_of_an_epoch(root, tmp_path, expected):
    resumed = train_in_two(tiny_config(root, tmp_path, default_hooks__checkpoint__interval=5), 5, 5)
    assert_same(resumed, expected)
    assert resumed.epoch == 2 and resumed.iter == 10


def test_resume_without_a_seed_in_the_config(root, tmp_path, expected):
    """The checkpoint's seed decides, also for the sampler, which was built before it was known."""
    cfg = tiny_config(root, tmp_path)
    assert_same(train_in_two(cfg, 4, 3, **{'randomness.seed': None}), expected)


def test_skipped_samples_are_not_loaded(root, tmp_path, monkeypatch):
    from maskprop.datasets.ytvis_dataset import YouTubeVISJsonDataset

    loaded, original = [], YouTubeVISJsonDataset.__getitem__

    def record(self, index):
        if not self.test_mode:
            loaded.append((index.epoch, index.position))
        return original(self, index)

    cfg = tiny_config(root, tmp_path)
    train(cfg.copy(), 4)
    cfg.load_from, cfg.resume = str(find_last_checkpoint(tmp_path)), True
    monkeypatch.setattr(YouTubeVISJsonDataset, '__getitem__', record)
    train(cfg)
    assert loaded == [(0, p) for p in range(6, 9)] + [(1, p) for p in range(9)]


def test_random_states_are_needed(root, tmp_path, expected):
    """Without them the result differs: the tests above are able to fail."""
    cfg = tiny_config(root, tmp_path)
    del cfg.default_hooks['random_state']
    assert not same(train_in_two(cfg, 4, 3), expected)


def test_another_batch_size_goes_on_at_the_same_share_of_the_epoch(root, tmp_path):
    resumed = train_in_two(tiny_config(root, tmp_path), 4, 3, **{'train_dataloader.batch_size': 1})
    assert resumed.iter == 18 and resumed.epoch == 2
    assert resumed.message_hub.get_info('iters_per_epoch') == 9
    logs = ''.join(path.read_text() for path in tmp_path.glob('*/*.log'))
    assert 'had 5 iterations when the checkpoint was saved and has 9 now' in logs
    assert 'epoch 1 continues at iteration 5' in logs


class RateHook(Hook):
    """Learning rates, also the base_lr of the log, and numbers that losses are divided by, by iteration."""

    def __init__(self) -> None:
        self.seen: dict[int, tuple[list[float], int]] = {}

    def before_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        wrapper = runner.optim_wrapper
        factor = int(1 / wrapper.scale_loss(torch.ones(())) + 0.5)
        self.seen[runner.iter] = ([group['lr'] for group in wrapper.param_groups], factor)


def rates_of(cfg: Config) -> dict[int, tuple[list[float], int]]:
    cfg = cfg.copy()
    cfg.custom_hooks = [*cfg.get('custom_hooks', ()), dict(type=RateHook)]
    runner = train(cfg)
    return next(hook.seen for hook in runner.hooks if isinstance(hook, RateHook))


SCHEDULES = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=4),
    dict(type='CosineAnnealingLR', T_max=2, begin=0, end=2, by_epoch=True, convert_to_iter_based=True),
    dict(type='MultiStepLR', milestones=[1], gamma=0.1, by_epoch=True),
]


@pytest.mark.parametrize(
    'changes, saved_at',  # inside the first or the second epoch
    [
        ({'train_dataloader.batch_size': 1}, 6),
        ({'train_dataloader.batch_size': 4}, 3),
        ({'train_dataloader.batch_size': 1, 'optim_wrapper.accumulative_counts': 2}, 3),
        ({'optim_wrapper.accumulative_counts': 3}, 6),
        ({'optim_wrapper.optimizer.lr': 0.05}, 3),
        ({'train_cfg.max_epochs': 3, 'param_scheduler.1.T_max': 3, 'param_scheduler.1.end': 3}, 6),
        ({'train_dataloader.batch_size': 1, 'auto_scale_lr': dict(enable=True, base_batch_size=2)}, 6),
    ],
)
def test_what_changed_has_the_rates_of_a_training_that_began_with_it(root, tmp_path, changes, saved_at):
    options = dict(param_scheduler=SCHEDULES, optim_wrapper__paramwise_cfg=dict(bias_lr_mult=2.0))
    cfg = tiny_config(root, tmp_path / 'killed', **options)
    train(cfg.copy(), saved_at + 1)
    whole = tiny_config(root, tmp_path / 'whole', **options)
    whole.merge_from_dict(changes)
    expected = rates_of(whole)
    resumed = tiny_config(root, tmp_path / 'killed', **options)
    resumed.merge_from_dict(changes)
    resumed.load_from, resumed.resume = str(find_last_checkpoint(cfg.work_dir)), True
    found = rates_of(resumed)
    assert 2 <= len(found) < len(expected)
    for iteration, (rate, factor) in found.items():
        assert (rate, factor) == (pytest.approx(expected[iteration][0], rel=1e-9), expected[iteration][1])


def test_other_keys_of_the_optimizer_are_taken_and_named(root, tmp_path):
    cfg = tiny_config(root, tmp_path)
    train(cfg.copy(), 4)
    cfg.load_from, cfg.resume = str(find_last_checkpoint(cfg.work_dir)), True
    other = cfg.copy()
    other.optim_wrapper.optimizer.weight_decay = 0.25
    runner = train(other, 5)
    assert {group['weight_decay'] for group in runner.optim_wrapper.optimizer.param_groups} == {0.25}
    log = ''.join(path.read_text() for path in tmp_path.glob('*/*.log'))
    assert re.search(r'Changed since .*: optim_wrapper.optimizer.weight_decay: [^;]+, now 0.25\.', log)
    other = cfg.copy()
    other.optim_wrapper.optimizer = dict(type='AdamW', lr=1e-4)
    runner = train(other, 6)  # with the state of SGD it would look for its own in vain
    assert isinstance(runner.optim_wrapper.optimizer, torch.optim.AdamW)


def test_validation_and_workers_do_not_matter(root, tmp_path, expected):
    cfg = tiny_config(root, tmp_path, train_cfg__val_begin=100, train_dataloader__num_workers=2)
    assert_same(train(cfg), expected)


class Growing(Hook):
    """Gives each validation a better metric, and notes the checkpoints that are there when one is saved."""

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self.there: list[list[str]] = []

    def after_val_epoch(self, runner: Runner, metrics: dict) -> None:
        metrics['growing'] = runner.iter

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        self.there.append(sorted(path.name for path in Path(runner.work_dir).glob('*.pth')))


def test_a_checkpoint_that_is_replaced_stays_until_the_new_one_is_whole(root, tmp_path):
    cfg = tiny_config(root, tmp_path, train_cfg__val_begin=1, default_hooks__checkpoint__interval=5)
    cfg.default_hooks.checkpoint.update(
        type='SafeCheckpointHook', max_keep_ckpts=1, save_best='growing', rule='greater'
    )
    cfg.custom_hooks = [dict(type=Growing)]
    runner = train(cfg)
    there = next(hook.there for hook in runner.hooks if isinstance(hook, Growing))
    for kind in ('iter_', 'best_'):
        first = next(i for i, names in enumerate(there) if any(name.startswith(kind) for name in names))
        assert 0 < first < len(there) - 1
        assert all(any(name.startswith(kind) for name in names) for names in there[first:])
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == ['best_growing_iter_10.pth', 'iter_10.pth']


@pytest.mark.parametrize('note', ['', 'gone.pth', '/', '\0'], ids=['empty', 'dangling', 'folder', 'null'])
def test_a_note_that_names_no_checkpoint_is_replaced_by_the_newest_whole_one(tmp_path, note, capsys):
    (tmp_path / 'last_checkpoint').write_text(note)
    with pytest.raises(CheckpointError, match='last_checkpoint'):
        find_last_checkpoint(tmp_path)
    for age, name in enumerate(('iter_1.pth', 'iter_2.pth', 'iter_3.pth')):
        torch.save(dict(state_dict=dict(a=torch.ones(1000))), tmp_path / name)
        os.utime(tmp_path / name, (age, age))
    cut = (tmp_path / 'iter_3.pth').read_bytes()
    (tmp_path / 'iter_3.pth').write_bytes(cut[: len(cut) // 2])
    os.utime(tmp_path / 'iter_3.pth', (9, 9))
    assert find_last_checkpoint(tmp_path) == tmp_path / 'iter_2.pth'
    assert 'iter_2.pth' in capsys.readouterr().err


def test_the_checkpoint_of_a_copied_folder_is_its_own(tmp_path):
    for name in ('first', 'copy'):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'iter_1.pth').write_bytes(b'')
        (tmp_path / name / 'last_checkpoint').write_text(str(tmp_path / 'first/iter_1.pth'))
    assert find_last_checkpoint(tmp_path / 'copy') == tmp_path / 'copy/iter_1.pth'
    (tmp_path / 'copy/iter_1.pth').unlink()  # as where CheckpointHook writes to another folder
    assert find_last_checkpoint(tmp_path / 'copy') == tmp_path / 'first/iter_1.pth'


def test_an_optimizer_of_other_groups_is_refused(root, tmp_path):
    cfg = tiny_config(root, tmp_path)
    train(cfg)
    resumed = tiny_config(root, tmp_path, optim_wrapper__paramwise_cfg=dict(bias_lr_mult=2.0))
    resumed.load_from, resumed.resume = str(find_last_checkpoint(tmp_path)), True
    with pytest.raises(CheckpointError, match=r'its optimizer has \d+ parameters in 1 group, that of this config'):
        train(resumed)
