"""Values of a wrong type or range anywhere in a config end in one line with their key, before work."""

from __future__ import annotations

import sys

import pytest
from mmengine.config import Config

import maskprop
from maskprop.engine import cli
from maskprop.engine.config_types import check_types
from maskprop.engine.errors import ConfigError
from maskprop.utils import boundary
from maskprop.utils.errors import UserError
from tests.engine.tiny_config import MASKPROP, STAND_IN
from tests.helpers import write_tiny_ytvis

maskprop.register_all()

AT_ONCE = [
    'model=1', 'model.type=', 'train_cfg=5', 'train_cfg.max_epochs=(1,2)', 'train_cfg.max_epochs=é',
    'train_cfg.max_epochs=1e400', 'train_cfg.max_epochs=99999999999999999999', 'train_cfg.max_epochs=-1',
    'train_cfg.val_interval=x', 'param_scheduler.0=5', 'train_cfg.type=None', 'randomness=5', 'randomness=None',
    'env_cfg=None', 'randomness.seed=-1', 'randomness.type=x', 'custom_hooks=5', 'custom_hooks.type=EMAHook',
    'custom_hooks=[5]', 'default_hooks.checkpoint.interval=None', 'default_hooks.timer.type=5',
    'optim_wrapper=None', 'optim_wrapper.optimizer=None', 'optim_wrapper.optimizer.lr=-1',
    'optim_wrapper.optimizer.lr=nan', 'optim_wrapper.optimizer.lr=x', 'optim_wrapper.optimizer.type=AdmW',
    'optim_wrapper.clip_grad=5', 'optim_wrapper.clip_grad.max_norm=x', 'optim_wrapper.accumulative_counts=x',
    'optim_wrapper.paramwise_cfg=5', 'optim_wrapper.constructor=Foo', 'param_scheduler.1.milestones=x',
    'param_scheduler.0.type=5', 'train_dataloader.num_workers=x', 'train_dataloader.dataset=None',
    'train_dataloader.dataset.pipeline=None', 'train_dataloader.dataset.frame_range=[1]',
    'train_dataloader.dataset.frame_range=[x,y]', 'val_dataloader.dataset.frame_stride=1000000',
    'train_dataloader.dataset.data_prefix=5',
    'train_dataloader.sampler.samples_per_epoch=x', 'val_cfg=None', 'val_cfg=[]', 'val_evaluator.type=5',
    'val_evaluator.frame_stride=0', 'val_evaluator.frame_stride=10000000',
    'default_scope=x', 'default_scope=None', 'log_level=0.5', 'auto_scale_lr=x', 'env_cfg=5', 'compile=x',
    'env_cfg.mp_cfg.opencv_num_threads=100000', 'train_dataloader.num_workers=100000',
    'val_dataloader.batch_size=0', 'rank_timeout=-5', 'train_dataloader.dataset.ann_file=', 'load_from=',
    'param_scheduler.0.T_max=0', 'optim_wrapper.accumulative_counts=0', 'env_cfg.mp_cfg.mp_start_method=thread',
    'log_processor.window_size=x', 'visualizer=5', 'load_from=[1]',
]  # fmt: skip
WHEN_BUILT = [
    'model.data_preprocessor.std=[1,2]',
    'optim_wrapper.optimizer.betas=5', 'default_hooks.logger.interval=0',
    'train_dataloader.persistent_workers=True', 'train_dataloader.dataset.pipeline=[]',
    'train_dataloader.dataset.pipeline.1.transforms.2.scales=x',
    'train_dataloader.dataset.pipeline.1.transforms.3.prob=5',
]  # fmt: skip


def last_line(capsys, monkeypatch, tool: str, *words: str) -> str:
    monkeypatch.setattr(sys, 'argv', [f'tools/{tool}.py', *words])
    parser, function = getattr(cli, f'{tool}_parser')(), getattr(cli, tool)
    with pytest.raises(SystemExit):
        cli.run(function, parser.parse_args)
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.fixture(scope='module')
def options(tmp_path_factory) -> list[str]:
    root = write_tiny_ytvis(tmp_path_factory.mktemp('set'), videos=1)
    options = [f'{split}_dataloader.dataset.data_root={root}/' for split in ('train', 'val', 'test')]
    return [*options, *(f'{split}_evaluator.ann_file={root}/annotations/val.json' for split in ('val', 'test'))]


@pytest.mark.parametrize('option', [*AT_ONCE, *WHEN_BUILT])
def test_a_wrong_value_names_its_key(option, options, tmp_path, capsys, monkeypatch):
    words = [str(STAND_IN), '--work-dir', str(tmp_path), '--cfg-options', *options, option]
    line = last_line(capsys, monkeypatch, 'train', *words)
    key = option.split('=')[0]
    assert line.startswith('train.py: error: ') and 'unforeseen' not in line
    assert key in line or (key.rpartition('.')[0] in line and key.rpartition('.')[2] in line)


@pytest.mark.parametrize('option', ['--resume', '--data', '--work-dir'])
def test_an_option_of_a_variable_that_is_not_set_is_refused(option, capsys):
    with pytest.raises(SystemExit):
        cli.train_parser().parse_args(['some.py', option, ''])
    assert f'{option}: is empty' in capsys.readouterr().err


def test_a_test_s_values_too(options, tmp_path, capsys, monkeypatch):
    (tmp_path / 'no.pth').touch()  # is not read before the config is found to be good
    words = [str(STAND_IN), str(tmp_path / 'no.pth'), '--work-dir', str(tmp_path), '--cfg-options', *options]
    assert 'test_cfg: expected a dict' in last_line(capsys, monkeypatch, 'test', *words, 'test_cfg=5')
    line = last_line(capsys, monkeypatch, 'test', *words, 'test_dataloader.dataset.frame_stride=x')
    assert 'test_dataloader.dataset.frame_stride: expected int' in line


def test_a_number_out_of_range_is_found_before_anything_is_built():
    cfg = Config.fromfile(STAND_IN)
    cfg.optim_wrapper.accumulative_counts = 0
    with pytest.raises(ConfigError, match='optim_wrapper.accumulative_counts: expected a number from 1 .*found 0'):
        check_types(cfg)


@pytest.mark.parametrize('file', [STAND_IN, MASKPROP])
def test_sound_configs_pass(file):
    check_types(Config.fromfile(file))


@pytest.mark.parametrize('part', ['optim_wrapper', 'train_cfg', 'default_hooks.checkpoint', 'model'])
def test_a_number_is_no_key_of_a_part(part):
    cfg = Config.fromfile(MASKPROP)
    cfg.merge_from_dict({f'{part}.0': 1})
    with pytest.raises(ConfigError, match=f"{part}.0: '0' can be no argument"):
        check_types(cfg)


def test_the_default_hooks_may_be_left_out(options, tmp_path):
    cfg = Config.fromfile(STAND_IN)
    cfg.default_hooks = None
    check_types(cfg)


def raise_(error: BaseException) -> None:
    raise error


def test_an_unforeseen_error_is_one_line_and_its_traceback_a_file(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['tools/some.py'])
    monkeypatch.setitem(boundary._state, 'folder', tmp_path)
    with pytest.raises(SystemExit) as end:
        boundary.run(raise_, AttributeError('no\nsuch thing'))
    said = capsys.readouterr().err.strip()
    assert end.value.code == 1 and '\n' not in said
    assert said.startswith('some.py: error: unforeseen AttributeError: no such thing (') and '--debug' in said
    (log,) = tmp_path.glob('some_error_*.log')
    assert str(log) in said and 'Traceback' in log.read_text()


def test_what_the_user_can_mend_has_no_traceback(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['tools/some.py'])
    monkeypatch.setitem(boundary._state, 'folder', tmp_path)
    for error in (UserError('key: mend it'), OSError('disk full')):
        with pytest.raises(SystemExit):
            boundary.run(raise_, error)
        assert capsys.readouterr().err.strip() == f'some.py: error: {error}'
    assert not list(tmp_path.iterdir())
    with pytest.raises(SystemExit) as end:
        boundary.run(raise_, KeyboardInterrupt())
    assert end.value.code == 130


def test_debug_lets_every_error_through(monkeypatch):
    for error in (UserError('x'), AttributeError('y')):
        monkeypatch.setattr(sys, 'argv', ['tools/some.py', '--debug', 'more'])
        with pytest.raises(type(error)):
            boundary.run(raise_, error)
        assert sys.argv == ['tools/some.py', 'more']
