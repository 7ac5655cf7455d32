"""A variable of a config file that --cfg-options sets works, or is refused with what to set instead."""

from __future__ import annotations

import tempfile

import pytest
from mmengine.config import Config

from maskprop.engine.config import ConfigError, load_config, read_config_file

BASE = """
data_root = 'data/set/'
number, scale = 3, (64, 48)
pipeline = [dict(type='A', scale=scale), dict(type='B', size=1)]
train_dataloader = dict(dataset=dict(data_root=data_root, pipeline=pipeline))
val_evaluator = dict(type='C', ann_file=data_root + 'val.json')
model = dict(head=dict(num_classes=number), other=dict(num_classes=number))
"""
OURS = """
_base_ = './base.py'
from mmengine.hub import get_config
coco = get_config('mmdet::_base_/datasets/coco_instance.py')
data_root = 'data/mine/'
coco = coco.train_dataloader.dataset.data_root
max_epochs = 12
unused = 1
pipeline = _base_.pipeline
pipeline[1].size = 2
train_dataloader = dict(dataset=dict(pipeline=pipeline))
test_evaluator = dict(type='C', ann_file=data_root + 'test.json', number=_base_.number)
_ends = [max_epochs]
_ends += [2 * max_epochs]
param_scheduler = [dict(type='D', end=end) for end in _ends]
gone = 'x'
load_from = gone + '.pth'
del gone
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / 'base.py').write_text(BASE)
    (tmp_path / 'ours.py').write_text(OURS)
    return tmp_path / 'ours.py'


def test_everything_that_is_made_of_a_variable_changes(file, capsys):
    cfg = load_config(file, {'data_root': '/disk/set', 'number': 7, 'max_epochs': 5, 'model.head.num_classes': 8})
    assert cfg.train_dataloader.dataset.data_root == '/disk/set/'  # with the slash of the file's own
    assert (cfg.val_evaluator.ann_file, cfg.test_evaluator.ann_file) == (
        '/disk/set/val.json',
        '/disk/set/test.json',
    )
    assert (
        cfg.model == dict(head=dict(num_classes=8), other=dict(num_classes=7)) and cfg.test_evaluator.number == 7
    )
    assert [s.end for s in cfg.param_scheduler] == [5, 10]
    printed = capsys.readouterr().out
    assert 'data_root=/disk/set/ number=7 max_epochs=5 sets ' in printed and 'and 4 more' in printed
    assert load_config(file).number == 3  # nothing is left behind


def test_a_place_in_a_variable_and_one_that_the_file_deletes(file):
    cfg = load_config(file, {'pipeline.0.scale': (9, 8), 'gone': 'y'})
    assert cfg.train_dataloader.dataset.pipeline[0].scale == (9, 8) and cfg.load_from == 'y.pth'


def test_variables_of_configs_that_a_file_only_takes_parts_of_stay(file):
    file.write_text(file.read_text() + 'work_dir = coco\n')
    cfg = load_config(file, {'data_root': 'elsewhere/'})
    assert cfg.work_dir == 'data/coco/' and cfg.val_evaluator.ann_file == 'elsewhere/val.json'


@pytest.mark.parametrize(
    'option, value, message',
    [
        ('data_rot', 'x', "the config has no 'data_rot'; did you mean 'data_root'"),
        ('unused', 2, 'would change nothing'),
        ('pipeline.1.size', 5, 'changes that once more, to 2; set the keys'),
        ('pipeline.7.size', 5, 'changes that once more, to None'),
        ('scale', 'x', None),
        ('max_epochs', 'x', None),
        ('number', object(), 'cannot be read with it: number: the file has .*, found <object'),
        ('data_root', None, "cannot be read with it: data_root: the file has 'data/mine/', found None"),
        ('pipeline', 3, 'cannot be read with it: pipeline: the file has .*, found 3'),
    ],
)
def test_what_would_be_ignored_is_refused(file, option, value, message):
    if message is None:
        load_config(file, {option: value})  # of another type: it is used, and the checks of types see to it
        return
    with pytest.raises(ConfigError, match=message):
        load_config(file, {option: value})


def test_the_same_value_is_no_fault(file, capsys):
    load_config(file, {'unused': 1, 'data_root': 'data/mine'})
    assert capsys.readouterr().out.count('sets') == 1  # the _base_ had another


@pytest.mark.parametrize('option', ['data_root', 'number'])
def test_where_no_file_is_known_the_keys_are_named(file, option):
    expected = dict(
        data_root='train_dataloader.dataset.data_root, val_evaluator.ann_file',
        number='model.head.num_classes, model.o',
    )
    cfg = Config(Config.fromfile(file).to_dict())
    if option == 'data_root':
        cfg.data_root = 'data/set/'
    with pytest.raises(ConfigError, match=f'used up.* Set the keys that it went into: {expected[option]}'):
        load_config(cfg, {option: 4})
    with pytest.raises(ConfigError, match='did you mean'):
        load_config(cfg, {'numbr': 4})


def test_a_full_disk_of_temporary_files_is_named(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, 'No space left on device')

    (tmp_path / 'a.py').write_text('a = 1\n')
    monkeypatch.setattr(Config, '_substitute_predefined_vars', fail)
    with pytest.raises(OSError, match=f"No space left on device: '{tempfile.gettempdir()}'"):
        read_config_file(tmp_path / 'a.py')


def test_a_copy_of_a_config_that_imports_can_be_read(tmp_path):
    file, copy = tmp_path / 'imports.py', tmp_path / 'copy.py'
    file.write_text('from pathlib import Path as _Path\nwork_dir = str(_Path("work") / "here")\n')
    read_config_file(file).dump(copy)
    assert dict(read_config_file(copy)) == dict(work_dir='work/here')
