"""init_model: weights, classes and their errors."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModule
from torch import nn

import maskprop
from maskprop.apis import init_model
from maskprop.engine.checkpoint import CheckpointError
from maskprop.engine.config import ConfigError
from tests.helpers import write_tiny_ytvis


class TwoLayers(BaseModule):
    def __init__(self, bbox_head: dict) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        self.head = nn.Linear(4, bbox_head['num_classes'])

    def init_weights(self):
        nn.init.constant_(self.head.weight, 7.0)


@pytest.fixture(scope='module', autouse=True)
def _registered():
    maskprop.register_all()
    from mmdet.registry import MODELS

    MODELS.register_module(name='TwoLayersForInitModel', module=TwoLayers, force=True)
    yield
    MODELS._module_dict.pop('TwoLayersForInitModel')


def _config(num_classes: int | None = None, **more) -> Config:
    head = dict(type='AnyHead', num_classes=num_classes)
    dataset = dict(type='YouTubeVISJsonDataset', ann_file='missing.json', test_mode=True, pipeline=[])
    model = dict(type='TwoLayersForInitModel', bbox_head=head)
    return Config({**dict(model=model, test_dataloader=dict(dataset=dataset)), **more})


def _weights(num_classes: int = 2, prefix: str = '') -> dict:
    torch.manual_seed(0)
    return {
        prefix + key: torch.randn_like(v.float())
        for key, v in TwoLayers(dict(num_classes=num_classes)).state_dict().items()
    }


def _save(path: Path, weights: dict, **meta) -> str:
    torch.save(dict(state_dict=weights, meta=meta), path)
    return str(path)


@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_weights_and_classes_of_the_checkpoint(tmp_path, prefix):
    meta = dict(classes=('cat', 'dog'), category_ids=[4, 9])
    path = _save(tmp_path / 'a.pth', _weights(prefix=prefix), dataset_meta=meta)
    config = _config(metainfo=dict(classes=['other', 'names']))
    model = init_model(config, path, device='cpu')
    assert model.dataset_meta == dict(classes=['cat', 'dog'], category_ids=[4, 9])
    for key, value in _weights().items():
        torch.testing.assert_close(model.state_dict()[key].float(), value, rtol=0, atol=1)  # counters are rounded
    torch.testing.assert_close(model.head.weight, _weights()['head.weight'], rtol=0, atol=0)
    assert not model.training and model.cfg.model.bbox_head.num_classes == 2
    assert config.model.bbox_head.num_classes is None  # the caller's config stays


def test_classes_of_the_config_and_of_the_test_set(tmp_path):
    model = init_model(_config(metainfo=dict(classes=['a', 'b', 'c'])))
    assert model.dataset_meta == dict(classes=['a', 'b', 'c'], category_ids=[1, 2, 3])
    assert (model.head.weight == 7).all()  # without a checkpoint: initialised
    root = write_tiny_ytvis(tmp_path, videos=1, frames=2)
    options = {'test_dataloader.dataset.ann_file': str(root / 'annotations' / 'val.json')}
    path = _save(tmp_path / 'a.pth', _weights(3))
    with pytest.warns(UserWarning, match='does not say what its classes are'):
        model = init_model(_config(), path, cfg_options=options)
    assert model.dataset_meta == dict(classes=['square', 'wide', 'tall'], category_ids=[1, 2, 4])
    assert next(model.parameters()).device.type == ('cuda' if torch.cuda.is_available() else 'cpu')


def test_unknown_or_contradictory_classes(tmp_path):
    with pytest.raises(ConfigError, match='class names are not known.*missing.json.*metainfo'):
        init_model(_config())
    with pytest.raises(ConfigError, match='2 class names but 1 category ids'):
        init_model(_config(metainfo=dict(classes=['a', 'b'], category_ids=[1])))
    path = _save(tmp_path / 'a.pth', _weights(), dataset_meta=dict(classes=['a', 'b']))
    with pytest.raises(ConfigError, match=r'num_classes is 3.*a\.pth has 2 classes'):
        init_model(_config(num_classes=3), path)


def test_checkpoints_that_do_not_fit(tmp_path):
    meta = dict(classes=['a', 'b'])
    weights = _weights()
    del weights['head.weight']
    path = _save(tmp_path / 'a.pth', weights, dataset_meta=meta)
    with pytest.raises(CheckpointError, match=r'a\.pth does not fit.*lacks head\.weight'):
        init_model(_config(), path)
    path = _save(tmp_path / 'b.pth', _weights(5), dataset_meta=meta)
    with pytest.raises(CheckpointError, match=r'b\.pth does not fit.*head\.weight'):
        init_model(_config(), path)
    with pytest.raises(FileNotFoundError, match='nothing.pth'):
        init_model(_config(), tmp_path / 'nothing.pth')
    with pytest.raises(ConfigError, match='nothing.py'):
        init_model(tmp_path / 'nothing.py')


class Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f'touch {self.path}',)


def test_a_malicious_checkpoint_runs_nothing(tmp_path):
    torch.save(dict(state_dict=_weights(), meta=dict(x=Malicious(tmp_path / 'pwned'))), tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match='refused'):
        init_model(_config(), tmp_path / 'a.pth')
    assert not (tmp_path / 'pwned').exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_a_gpu_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match='device cuda:1: torch finds no GPU here'):
        init_model(Config(), None, 'cuda:1')


def test_a_device_or_an_argument_that_there_is_not_is_named():
    with pytest.raises(ConfigError, match='device gpu: Expected one of cpu, cuda'):
        init_model(Config(), None, 'gpu')
    cfg = _config(2, metainfo=dict(classes=['cat', 'dog']))
    message = "model.bbox_hed: TwoLayers has no such argument; did you mean 'bbox_head'"
    with pytest.raises(ConfigError, match=message):
        init_model(cfg, None, 'cpu', {'model.bbox_hed': 3})
