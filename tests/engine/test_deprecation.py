"""A config with ``_deprecation_`` works and says so; old names of weights are taken."""

from __future__ import annotations

import warnings

import pytest
import torch
from safetensors.torch import save_file

from maskprop.engine import deprecation
from maskprop.engine.checkpoint import load_checkpoint_file
from maskprop.engine.config import load_config

NEW = 'model = dict(type="VideoMaskRCNN")\n'
OLD = (
    "_base_ = 'new.py'\n"
    "_deprecation_ = dict(expected='new.py, the last version with this one is 0.3', reference='CHANGELOG.md')\n"
)


@pytest.fixture
def old_config(tmp_path):
    (tmp_path / 'new.py').write_text(NEW)
    (tmp_path / 'old.py').write_text(OLD)
    return tmp_path / 'old.py'


def test_an_old_config_works_and_says_what_to_take(old_config, capsys):
    assert load_config(old_config).model.type == 'VideoMaskRCNN'
    said = capsys.readouterr().err
    assert said.startswith(f'warning: config {old_config} is deprecated. Please use new.py, the last version')
    assert said.count('\n') == 1 and said.rstrip().endswith('CHANGELOG.md')


def test_a_config_on_an_old_one_says_it_once(old_config, tmp_path, capsys):
    (tmp_path / 'own.py').write_text("_base_ = ['old.py']\n")
    assert '_deprecation_' not in load_config(tmp_path / 'own.py')
    assert capsys.readouterr().err.count(f'config {old_config} is deprecated') == 1


def test_a_config_of_today_says_nothing(old_config, tmp_path, capsys):
    load_config(tmp_path / 'new.py')
    assert capsys.readouterr().err == ''


def test_other_warnings_of_a_config_are_passed_on(tmp_path):
    (tmp_path / 'own.py').write_text("import warnings\nwarnings.warn('of my config')\nmodel = dict()\n")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        load_config(tmp_path / 'own.py')
    assert [str(warning.message) for warning in caught] == ['of my config']


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_old_names_of_weights_are_taken(suffix, tmp_path, monkeypatch):
    monkeypatch.setitem(deprecation.RENAMED_WEIGHTS, 'propagation_head.reduce.', 'propagation_head.project.')
    weights = {
        'propagation_head.reduce.weight': torch.ones(2),
        'detector.propagation_head.reduce.x': torch.ones(1),
    }
    if suffix == '.pth':
        torch.save(dict(state_dict=weights, meta={}), tmp_path / 'old.pth')
    else:
        save_file(weights, tmp_path / 'old.safetensors', dict(format='pt', config='model = dict()\n'))
    found = load_checkpoint_file(tmp_path / f'old{suffix}')['state_dict']
    assert set(found) == {'propagation_head.project.weight', 'detector.propagation_head.reduce.x'}
    assert torch.equal(found['propagation_head.project.weight'], torch.ones(2))
