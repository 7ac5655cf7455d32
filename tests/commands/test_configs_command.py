"""maskprop configs: the list, and copies that inherit from the installed configs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from maskprop.commands import configs
from maskprop.engine.config import load_config
from maskprop.engine.errors import ConfigError
from maskprop.engine.model_files import find_config_file
from maskprop.zoo import config_root, list_configs

NAME = 'maskprop_htc_r50_fpn_20e_ytvis2019'


def call(monkeypatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, 'argv', ['maskprop configs', *map(str, arguments)])
    configs.main()


def test_lists_all_with_their_first_lines(monkeypatch, capsys):
    call(monkeypatch, 'ls')
    printed = capsys.readouterr().out
    assert all(f'  {path.stem} ' in printed for path in list_configs())
    call(monkeypatch, 'ls', 'SipMask')
    assert 'sipmask_tiny_synthetic' in (found := capsys.readouterr().out) and NAME not in found
    with pytest.raises(ConfigError, match='no config has this'):
        call(monkeypatch, 'ls', 'nothing like it')


@pytest.mark.slow
@pytest.mark.parametrize(
    'path', list_configs(), ids=lambda path: path.relative_to(config_root() / 'configs').as_posix()
)
def test_a_copy_is_the_same_config(path, tmp_path, monkeypatch):
    call(monkeypatch, 'cp', path, tmp_path)
    copied, original = load_config(tmp_path / path.name), Config.fromfile(path)
    copied.pop('work_dir'), original.pop('work_dir', None)
    assert copied.to_dict() == original.to_dict()


def test_a_copy_replaces_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call(monkeypatch, 'cp', NAME)
    with pytest.raises(ConfigError, match='is there already'):
        call(monkeypatch, 'cp', NAME)
    with pytest.raises(ConfigError, match='ends in .py'):
        call(monkeypatch, 'cp', NAME, 'mine.txt')
    call(monkeypatch, 'cp', NAME, f'{NAME}.py', '--overwrite')


def test_what_cannot_be_copied_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'x.json').write_text('{}')
    (tmp_path / 'cut.py').write_text('model = dict(')
    (tmp_path / 'bytes.py').write_bytes(b'\xff\xfe')
    (tmp_path / 'mine.py').write_text('a = 1\n')
    for words, message in (
        ('x.json', 'configs cp: x.json: is no Python file'),
        ('x.json out.py', 'configs cp: x.json: is no Python file'),
        ('folder', 'config folder: is a folder; give one of the configs in it'),
        ('cut.py out.py', 'configs cp: cut.py: is no Python that can be read: .* never closed'),
        ('bytes.py out.py', 'configs cp: bytes.py: is no Python that can be read'),
    ):
        with pytest.raises(ConfigError, match=message):
            call(monkeypatch, 'cp', *words.split())
    with pytest.raises(FileExistsError, match='configs cp mine.py: is read by this command'):
        call(monkeypatch, 'cp', 'mine.py', '--overwrite')
    assert not (tmp_path / 'out.py').exists()


def test_the_copy_of_a_study_is_run_by_ablate(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, command in (('clip_length', 'ablate'), (NAME, 'train')):
        call(monkeypatch, 'cp', name, 'mine.py', '--overwrite')
        assert capsys.readouterr().out.endswith(f'then: maskprop {command} mine.py\n')


def test_shows_what_is_inherited(monkeypatch, capsys):
    call(monkeypatch, 'show', NAME, '--cfg-options', 'train_cfg.max_epochs=3')
    printed = capsys.readouterr().out
    assert 'max_epochs=3' in printed and 'propagation_head=dict(' in printed


@pytest.mark.slow
def test_validates(monkeypatch, capsys):
    call(monkeypatch, 'validate', NAME)
    assert 'keys and values are good' in capsys.readouterr().out
    with pytest.raises(ConfigError, match='nothing'):
        call(monkeypatch, 'validate', NAME, '--cfg-options', 'model.frozen=[nothing]')


def test_a_config_is_found_by_name_and_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = config_root() / f'configs/maskprop/{NAME}.py'
    assert find_config_file(NAME) == find_config_file(f'{NAME}.py') == expected
    assert find_config_file(f'configs/maskprop/{NAME}.py') == expected
    Path(f'{NAME}.py').write_text('a = 1')  # a file that is there goes before
    assert find_config_file(f'{NAME}.py') == Path(f'{NAME}.py')
    with pytest.raises(ConfigError, match='several have this name: .*Give the path'):
        find_config_file('study_tiny_synthetic')
