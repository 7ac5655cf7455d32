"""The best checkpoint by video AP, which the base of all configs keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.fileio import LocalBackend
from mmengine.hooks import Hook
from mmengine.runner import Runner

import maskprop

maskprop.register_all()

from maskprop.apis import train  # noqa: E402
from maskprop.engine.config import find_last_checkpoint  # noqa: E402
from maskprop.engine.console import closing_words  # noqa: E402
from tests.engine.tiny_config import tiny_config  # noqa: E402
from tests.helpers import write_tiny_ytvis  # noqa: E402

RUNTIME = Path(__file__).parents[2] / 'configs/_base_/default_runtime.py'


class ScoresHook(Hook):
    """Gives each validation an AP, by the number of the epoch."""

    def __init__(self, scores: list[float]) -> None:
        self.scores = scores

    def after_val_epoch(self, runner: Runner, metrics: dict) -> None:
        assert 'AP' in metrics  # of YTVISMetric, whose name the base knows
        metrics['AP'] = self.scores[runner.epoch - 1]


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_tiny_ytvis(tmp_path_factory.mktemp('set'), videos=1, frames=3)


def config(root: Path, work_dir: Path, scores: list[float], **options) -> Config:
    cfg = tiny_config(root, work_dir, train_cfg__max_epochs=len(scores), **options)
    cfg.default_hooks.checkpoint = Config.fromfile(RUNTIME).default_hooks.checkpoint
    cfg.custom_hooks = [dict(type=ScoresHook, scores=scores)]
    return cfg


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob('*.pth')}


def weights(file: Path) -> dict[str, torch.Tensor]:
    return torch.load(file, weights_only=False)['state_dict']


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.slow
def test_the_best_is_kept_beside_the_last_two_and_after_a_resume(root, tmp_path):
    runner = train(config(root, tmp_path, [0.10, 0.30, 0.20]))
    assert f'best AP 30.0: {tmp_path}/best_AP_epoch_2.pth' in closing_words(runner)
    assert names(tmp_path) == {'epoch_2.pth', 'epoch_3.pth', 'best_AP_epoch_2.pth'}
    assert same(weights(tmp_path / 'best_AP_epoch_2.pth'), weights(tmp_path / 'epoch_2.pth'))
    assert not same(weights(tmp_path / 'epoch_2.pth'), weights(tmp_path / 'epoch_3.pth'))
    assert find_last_checkpoint(tmp_path).name == 'epoch_3.pth'

    moved = tmp_path.rename(tmp_path.with_name('moved'))
    runner = train(config(root, moved, [0.10, 0.30, 0.20, 0.25, 0.40]), resume=True)
    assert f'best AP 40.0: {moved}/best_AP_epoch_5.pth' in closing_words(runner)
    assert names(moved) == {'epoch_4.pth', 'epoch_5.pth', 'best_AP_epoch_5.pth'}


@pytest.mark.slow
def test_a_resume_after_the_best_was_saved_is_that_of_the_last(root, tmp_path):
    """The last checkpoint is written once more with the best; its random states and schedules are the same."""
    whole = train(config(root, tmp_path / 'whole', [1, 2, 3, 4]))
    train(config(root, tmp_path / 'cut', [1, 2]), cfg_options={'train_cfg.max_epochs': 2})
    cut = train(config(root, tmp_path / 'cut', [1, 2, 3, 4]), resume=True)
    assert same(whole.model.state_dict(), cut.model.state_dict())


def test_a_checkpoint_that_is_cut_short_has_no_name(root, tmp_path, monkeypatch):
    """The disk is full while the best of epoch 2 is written; the earlier ones stay whole."""
    put, saved = LocalBackend.put, []

    def cut_short(self, content: bytes, path: str) -> None:
        saved.append(path)
        full = 'best_AP_epoch_2' in str(path)
        put(self, content[: len(content) // 2] if full else content, path)
        if full:
            raise OSError(28, 'No space left on device')

    monkeypatch.setattr(LocalBackend, 'put', cut_short)
    with pytest.raises(OSError, match='No space'):
        train(config(root, tmp_path, [10, 30]))
    assert names(tmp_path) == {'epoch_1.pth', 'epoch_2.pth', 'best_AP_epoch_1.pth'} and len(saved) == 5
    for name in names(tmp_path):
        weights(tmp_path / name)


def test_a_validation_without_ap_keeps_none_and_says_so(root, tmp_path):
    cfg = config(root, tmp_path, [1], val_evaluator__metrics=['hota'])
    cfg.custom_hooks = []
    train(cfg)
    assert names(tmp_path) == {'epoch_1.pth'}
    log = next(tmp_path.rglob('*.log')).read_text()
    assert 'No best checkpoint is kept: default_hooks.checkpoint.save_best is AP, and the validation gives' in log


def test_a_note_that_is_lost_does_not_lead_to_the_best(root, tmp_path):
    """The best checkpoint has no optimizer: a training cannot go on from it."""
    train(config(root, tmp_path, [1]))
    (tmp_path / 'last_checkpoint').write_text('')
    (tmp_path / 'best_AP_epoch_1.pth').touch()
    assert find_last_checkpoint(tmp_path).name == 'epoch_1.pth'
