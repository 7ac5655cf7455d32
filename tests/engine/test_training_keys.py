"""The keys of docs/training.md, as tools/train.py gets them."""

from __future__ import annotations

import pytest
import torch

import maskprop

maskprop.register_all()

from maskprop.engine import cli  # noqa: E402
from maskprop.engine.bf16 import Bf16OptimWrapper  # noqa: E402
from maskprop.engine.config import ConfigError  # noqa: E402
from tests.engine.tiny_config import quick_runs, tiny_config  # noqa: E402
from tests.helpers import write_tiny_ytvis  # noqa: E402


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_tiny_ytvis(tmp_path_factory.mktemp('set'))


def train(root, folder, *words: str):
    cfg = tiny_config(root, folder / 'work', train_cfg__max_epochs=1, train_cfg__val_interval=9)
    cfg.pop('experiment_name')
    path = folder / f'{folder.name}.py'
    with quick_runs():
        cfg.dump(str(path))
        return cli.train(cli.train_parser().parse_args([str(path), '--work-dir', str(folder / 'work'), *words]))


@pytest.mark.slow
def test_all_keys_together_train_and_save_the_names_of_a_plain_model(root, tmp_path):
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    keys = ['optim_wrapper.type=Bf16OptimWrapper', 'optim_wrapper.accumulative_counts=2']
    keys += ['default_hooks.compile.type=CompilePartsHook', 'default_hooks.compile.parts=[first,predict_maps]']
    runner = train(root, tmp_path, '--amp', '--cfg-options', *keys, 'default_hooks.compile.backend=eager')
    wrapper = runner.optim_wrapper
    assert isinstance(wrapper, Bf16OptimWrapper) and wrapper._accumulative_counts == 2
    assert torch._dynamo.utils.counters['frames']['ok'] >= 1
    saved = torch.load(next((tmp_path / 'work').glob('*.pth')), weights_only=False)['state_dict']
    assert {name.split('.')[0] for name in saved} == {'first', 'norm', 'last'}
    steps = next(iter(wrapper.optimizer.state.values())).get('step')
    assert steps is None or steps == -(-runner.iter // 2)


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_amp_without_a_gpu_names_bf16(root, tmp_path):
    with pytest.raises(ConfigError, match='optim_wrapper.type=Bf16OptimWrapper'):
        train(root, tmp_path, '--amp')


@pytest.mark.slow
def test_a_part_that_the_model_lacks_is_named(root, tmp_path):
    hook = ['default_hooks.compile.type=CompilePartsHook', 'default_hooks.compile.parts=[second]']
    with pytest.raises(ValueError, match="no 'second' to compile"):
        train(root, tmp_path, '--cfg-options', *hook)
