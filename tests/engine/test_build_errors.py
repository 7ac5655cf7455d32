"""What a config names and cannot be built is said in one line, with its place in the config."""

from __future__ import annotations

import re
import socket
import sys

import pytest
from mmengine.config import Config

import maskprop
from maskprop.engine import cli
from maskprop.engine.build_errors import explain_build_errors, explain_downloads
from maskprop.engine.config import ConfigError
from maskprop.engine.runs import train
from tests.engine.tiny_config import MASKPROP, tiny_config
from tests.helpers import write_tiny_ytvis

maskprop.register_all()

from mmdet.registry import HOOKS, MODELS, TRANSFORMS  # noqa: E402


@pytest.fixture
def cfg():
    return Config.fromfile(MASKPROP)


@pytest.mark.parametrize(
    'changes, message',
    [
        (
            {'model.propagation_head.type': 'MaskPropagationHed'},
            "model.propagation_head.type: there is no model 'MaskPropagationHed'; did you mean "
            "'MaskPropagationHead'?",
        ),
        (
            {'model.propagation_head.dilation': (1, 2)},
            "model.propagation_head.dilation: MaskPropagationHead has no such argument; did you mean 'dilations'?",
        ),
        (
            {'model.detector.neck.qwertz': 1},
            'model.detector.neck.qwertz: FPN has no such argument; it has in_channels, out_channels, num_outs, '
            'start_level, end_level, add_extra_convs, relu_before_extra_convs, no_norm_on_lateral, conv_cfg, '
            'norm_cfg, act_cfg, upsample_cfg, init_cfg',
        ),
        (
            {'model.detector.rpn_head.reg_decoded_box': None},  # which RPNHead hands on to AnchorHead
            'model.detector.rpn_head.reg_decoded_box: RPNHead has no such argument; did you mean '
            "'reg_decoded_bbox'?",
        ),
    ],
)
def test_a_model_s_keys(cfg, changes, message):
    cfg.merge_from_dict(changes)
    with pytest.raises(ConfigError, match='^config .*' + re.escape(message) + '$'), explain_build_errors(cfg):
        MODELS.build(cfg.model)


def test_a_missing_argument(cfg):
    del cfg.model.detector.backbone['depth']
    message = 'model.detector.backbone: ResNet needs depth$'
    with pytest.raises(ConfigError, match=message), explain_build_errors(cfg):
        MODELS.build(cfg.model)


def test_a_loop_without_a_type(cfg):
    """mmengine's Runner builds one of its own then, and so it does of a misspelt ``type``."""
    cfg.val_cfg = None
    cfg.val_cfg = dict(typex='VideoValLoop')
    with pytest.raises(ConfigError, match='val_cfg.typex: ValLoop has no such argument'):
        with explain_build_errors(cfg):
            raise TypeError("ValLoop.__init__() got an unexpected keyword argument 'typex'")


def test_items_of_lists(cfg):
    pipeline = cfg.train_dataloader.dataset.pipeline
    pipeline[0]['frame_rnage'] = 3
    message = rf'train_dataloader.dataset.pipeline.0.frame_rnage: {pipeline[0].type} has no such argument; '
    with pytest.raises(ConfigError, match=message), explain_build_errors(cfg):
        TRANSFORMS.build(pipeline[0])
    cfg.custom_hooks = [dict(type='RandomStateHook'), dict(type='NoSuchHook')]
    with (
        pytest.raises(ConfigError, match="custom_hooks.1.type: there is no hook 'NoSuchHook'"),
        explain_build_errors(cfg),
    ):
        HOOKS.build(cfg.custom_hooks[1])


@pytest.mark.parametrize(
    'error',
    [
        KeyError('frames'),
        TypeError(),
        TypeError("load() got an unexpected keyword argument 'depth'"),  # the config's depth is not load's
        TypeError("ResNet.__init__() got an unexpected keyword argument 'wings'"),
        KeyError('Nothing is not in the mmdet::model registry'),
    ],
)
def test_errors_that_are_not_the_config_s_pass(cfg, error):
    with pytest.raises(type(error)) as found, explain_build_errors(cfg):
        raise error
    assert found.value is error


def test_a_class_s_own_fault_is_not_the_config_s(cfg):
    """It takes the argument, and hands it on to a base class that doesn't; another part is not blamed for it."""

    class Wide(MODELS.get('FPN')):
        def __init__(self, width=1, **kwargs):
            super().__init__(width=width, **kwargs)

    cfg.model.detector.neck.update(type=Wide, width=2)
    with pytest.raises(TypeError, match='width'), explain_build_errors(cfg):
        MODELS.build(cfg.model)
    cfg.model.detector.mask_neck = dict(type='FPN', width=2)
    message = 'model.detector.mask_neck.width: FPN has no such argument'
    with pytest.raises(ConfigError, match=message), explain_build_errors(cfg):
        MODELS.build(dict(cfg.model.detector.mask_neck))


@pytest.mark.slow
@pytest.mark.parametrize(
    'option, message',
    [
        ('model.propagation_head.normalizer=odd', "normalizer='odd'"),
        ('optim_wrapper.optimizer.typ=Adam', 'optim_wrapper.optimizer.typ: AdamW has no such argument'),
        ('model.linker.type=ClipLinkr', "there is no task util 'ClipLinkr'; did you mean 'ClipLinker'?"),
        ('optim_wrapper.type=SGD', "optim_wrapper.type: there is no optim_wrapper 'SGD'"),
        ('train_dataloader.num_worker=2', 'train_dataloader.num_worker: DataLoader has no such argument; did you'),
        ('train_dataloader.batch_size=0', 'train_dataloader.batch_size: expected a number from 1 to'),
        ('train_cfg.val_interval=0', 'train_cfg.val_interval=0: expected 1 or more epochs'),
        ('model.clip_radius=-1', 'clip_radius=-1: expected 0 or more frames'),
        ('val_dataloader.batch_size=2', 'val_dataloader.batch_size=2: expected 1, videos are read one frame'),
        (
            'val_dataloader.dataset.frame_stride=two',
            "val_dataloader.dataset.frame_stride: expected int, found 'two'",
        ),
    ],
)
def test_tools_say_it_in_one_line(tmp_path, option, message, capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['tools/train.py'])
    root = write_tiny_ytvis(tmp_path / 'set', videos=1)
    options = [f'{split}_dataloader.dataset.data_root={root}/' for split in ('train', 'val')]
    options += [f'val_evaluator.ann_file={root}/annotations/val.json', option]
    words = [str(MASKPROP), '--work-dir', str(tmp_path / 'run'), '--cfg-options', *options]
    with pytest.raises(SystemExit):
        cli.run(cli.train, cli.train_parser().parse_args(words))
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith('train.py: error: ') and message in last


def test_a_test_s_keys_too(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['tools/test.py'])
    root = write_tiny_ytvis(tmp_path / 'set', videos=1)
    (tmp_path / 'weights.pth').touch()
    options = [
        f'test_dataloader.dataset.data_root={root}/',
        f'test_evaluator.ann_file={root}/annotations/val.json',
    ]
    words = [str(MASKPROP), str(tmp_path / 'weights.pth'), '--work-dir', str(tmp_path / 'run')]
    words += ['--cfg-options', *options, 'model.propagation_head.dilation=3']
    with pytest.raises(SystemExit):
        cli.run(cli.test, cli.test_parser().parse_args(words))
    assert 'model.propagation_head.dilation: MaskPropagationHead has no' in capsys.readouterr().err


@pytest.mark.parametrize('key', ['model.detector.init_cfg', 'load_from'])
def test_a_download_without_network_names_the_key_that_asks_for_it(tmp_path, monkeypatch, key):
    """And the key helps: with it, the training begins."""
    import torch

    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]  # of nobody, once this socket is closed
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    cfg = tiny_config(write_tiny_ytvis(tmp_path / 'set'), tmp_path / 'work', file=MASKPROP, param_scheduler=[])
    url = f'http://127.0.0.1:{port}/coco.pth'
    cfg.merge_from_dict({key: url if key == 'load_from' else dict(type='Pretrained', checkpoint=url)})
    options = {'train_cfg.max_epochs': 0}
    with pytest.raises(ConnectionError, match=f'{url}.*asked for by {key}: .*--cfg-options (.*)$') as error:
        train(cfg, cfg_options=options)
    advised = re.search(r'--cfg-options (\S+)=None$', str(error.value))[1]
    assert advised == key
    train(cfg, cfg_options={**options, advised: None})


def test_a_download_by_a_short_name_names_its_key():
    cfg = Config(
        dict(
            model=dict(
                backbone=dict(init_cfg=[dict(type='Pretrained', checkpoint='torchvision://resnet50')]),
                other=dict(weights='https://example.invalid/other.pth'),
            )
        )
    )
    with pytest.raises(ConnectionError, match=r'asked for by model.backbone.init_cfg.0: .*init_cfg.0=None$'):
        with explain_downloads(cfg):
            raise ConnectionError('cannot download https://download.pytorch.org/models/resnet50-11ad3fa6.pth')
    with pytest.raises(ConnectionError, match='^no address$'):
        with explain_downloads(Config(dict(model=dict()))):
            raise ConnectionError('no address')
