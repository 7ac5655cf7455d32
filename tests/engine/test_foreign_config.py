"""Configs in published weights: none of what the libraries would import, evaluate or unpickle gets through."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from safetensors.torch import save_file

from maskprop.engine.checkpoint import CheckpointError
from maskprop.engine.config import load_config
from maskprop.engine.foreign_config import check_foreign_config

CONFIGS = (
    'demo/maskprop_tiny_synthetic.py',
    'maskprop/maskprop_htc_r50_fpn_20e_ytvis2019.py',  # names mmdet.Resize
    'masktrack_rcnn/masktrack_rcnn_r50_fpn_mmdet_ytvis2021.py',
)


def nest(value: object) -> dict:
    return dict(model=dict(detector=[dict(test_cfg=value)]))


@pytest.mark.parametrize('file', CONFIGS)
def test_this_projects_configs_are_taken(file):
    check_foreign_config(Config.fromfile(f'configs/{file}').to_dict())


@pytest.mark.parametrize(
    'value, why',
    [
        (dict(type='subprocess.Popen', args=['x']), 'not registered'),
        (dict(type='mmengine.load', file='x'), 'not registered'),  # unpickles
        (dict(constructor='torch.hub.load'), 'not registered'),
        (dict(resize_type='mmdet.NoSuchType'), 'not registered'),
        (dict(nms=dict(type="__import__('os').system('x')")), 'Python code'),
        (dict(warp_mode=' print(1)'), 'Python code'),
        (dict(op='[x() for x in (1,)]'), 'Python code'),
        (dict(op='f"{x()}"'), 'Python code'),
        (dict(data_root='data/a(copy)/b'), 'Python code'),  # said when it is published
        (dict(op='(' * 5000 + ')' * 5000 + '('), None),
        (dict(ann_file='https://localhost/a.pkl'), 'can hold code'),
        (dict(ann_file='a.yml'), 'can hold code'),
        (dict(file_format='pickle'), 'can hold code'),
    ],
)
def test_what_could_run_code_is_refused(value, why):
    if why is None:  # no Python, and the look at it is no crash
        return check_foreign_config(nest(value))
    key = 'model.detector.0.test_cfg'
    with pytest.raises(ValueError, match=rf'^{re.escape(key)}\.\S+=.* {why}'):
        check_foreign_config(nest(value))


@pytest.mark.parametrize(
    'value', ['nms', 'test.json', 'epoch_12.pth', 'SGD', 'mmdet.Resize', '(1333, 800)', 'what is (this?)', '']
)
def test_plain_texts_are_taken(value):
    check_foreign_config(nest(dict(a=value)))


def test_what_is_never_looked_up_is_not_looked_at():
    classes = dict(classes=['bird(flying)', 'os.path'])
    check_foreign_config(dict(metainfo=classes, dataset=dict(metainfo=classes), custom_imports=['os.path']))


def test_the_loader_asks(tmp_path: Path):
    """And drops what says where a training ran."""
    marker, file = tmp_path / 'run', tmp_path / 'a.safetensors'
    weights = torch.nn.Linear(1, 1).state_dict()
    save_file(weights, file, dict(config=f"model = dict(type='subprocess.Popen', args=['touch', '{marker}'])"))
    with pytest.raises(CheckpointError, match=r"a.safetensors: its config .*model.type='subprocess.Popen'"):
        load_config(str(file))
    save_file(weights, file, dict(config="model = dict()\nwork_dir = '/etc'\nload_from = 'x'"))
    cfg = load_config(str(file))
    assert cfg.work_dir == 'work_dirs/a' and 'load_from' not in cfg
