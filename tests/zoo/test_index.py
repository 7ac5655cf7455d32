"""The index of models: every entry is complete and agrees with mmdet's, and names stand for CONFIG CHECKPOINT."""

from __future__ import annotations

import argparse
import functools
import re
import shutil
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

import maskprop
from maskprop.engine import cli
from maskprop.engine.errors import ConfigError
from maskprop.engine.model_files import find_config_file
from maskprop.zoo import config_root, find_model, index, list_models
from maskprop.zoo.downloads import digest_of_name

maskprop.register_all()

NAME = 'masktrack_rcnn_r50_ytvis2019'
MMDET = Path(__import__('mmdet').__file__).parent / '.mim/configs'


@functools.cache
def published() -> dict[str, set[float]]:
    """{URL of a checkpoint: the results that mmdet's own files state}."""
    found: dict[str, set[float]] = {}
    for file in MMDET.glob('*/metafile.yml'):
        content = yaml.safe_load(file.read_text())
        for entry in content.get('Models', ()) if isinstance(content, dict) else content:
            for result in entry.get('Results') or ():
                values = [value for value in result.get('Metrics', {}).values() if isinstance(value, int | float)]
                found.setdefault(str(entry.get('Weights')), set()).update(values)
    return found


def test_every_metafile_is_listed():
    listed = yaml.safe_load((config_root() / 'model-index.yml').read_text())['Import']
    assert sorted(listed) == sorted(str(path) for path in Path('configs').glob('*/metafile.yml'))


@pytest.mark.parametrize('name', list_models())
def test_entries_are_complete_and_state_what_mmdet_states(name):
    info = find_model(name)
    cfg = Config.fromfile(info.config)
    classes = info.classes or cfg.metainfo.classes
    assert len(classes) == len(set(classes)) and cfg.model.get('num_classes') in (None, len(classes), 40)
    assert info.training_data and info.results
    assert info.sha256 or digest_of_name(Path(info.weights).name)
    if '://' not in info.weights:  # trained here: its results are in its card
        card = Path(info.weights).with_suffix('.md').read_text()
        assert Path(info.source).is_file() and Path(info.weights).is_file()
        assert all(f'| {metric} | {value / 100:.4g} |' in card for _, metric, value in info.results), card
        return
    assert info.source.startswith('https://')
    values = published()[info.weights]
    assert all(value in values for *_, value in info.results)


def parse(*args: str) -> argparse.Namespace:
    parser = cli.ModelParser()
    cli.add_model_arguments(parser)
    parser.add_argument('video')
    parser.add_argument('--out')
    parser.add_argument('--fast', action='store_true')
    parser.add_argument('--keys', nargs='+')
    return parser.parse_args(args)


@pytest.mark.parametrize(
    'args, expected',
    [
        ((NAME, 'a.mp4'), (NAME, NAME, 'a.mp4')),
        ((NAME, 'mine.pth', 'a.mp4'), (NAME, 'mine.pth', 'a.mp4')),
        (('config.py', NAME, 'a.mp4'), ('config.py', NAME, 'a.mp4')),
        (('config.py', 'mine.pth', 'a.mp4', '--out', NAME), ('config.py', 'mine.pth', 'a.mp4')),
        (('--out', NAME, NAME, 'a.mp4'), (NAME, NAME, 'a.mp4')),
        (('--fast', '--out=x', NAME, 'a.mp4'), (NAME, NAME, 'a.mp4')),
        (('config.py', '--out', 'x', 'mine.pth', 'a.mp4'), ('config.py', 'mine.pth', 'a.mp4')),
        ((NAME, '--keys', 'a=1', 'b=2', '--out', 'x', 'a.mp4'), (NAME, NAME, 'a.mp4')),
    ],
)
def test_a_name_stands_for_config_and_checkpoint(args, expected, monkeypatch):
    monkeypatch.setattr(cli, 'check_model_files', lambda *_: None)  # none of the files is there
    found = parse(*args)
    assert (found.config, found.checkpoint, found.video) == expected


def test_a_name_that_is_misspelt_is_told():
    from maskprop.apis import init_model
    from maskprop.engine.config import ConfigError

    for args in (
        ('masktrack_rcnn_r50_ytvis2018',),
        ('configs/demo/maskprop_tiny_synthetic.py', 'masktrack_rcnn_r50'),
    ):
        with pytest.raises((ConfigError, FileNotFoundError), match='did you mean masktrack_rcnn_r'):
            init_model(*args)


@pytest.mark.parametrize(
    'args, told',
    [
        (
            ('masktrack_rcnn_r50_ytvis2018', 'a.mp4'),
            'required: video. CONFIG and CHECKPOINT come first, and .*2018',
        ),
        (
            ('masktrack_rcnn_r50_ytvis2018', 'a.mp4'),
            'stands for both, did you mean masktrack_rcnn_r50_ytvis20..[?] maskprop models',
        ),
        (('my_config.py',), 'required: checkpoint, video. CONFIG.* my_config.py is not a model'),
        ((NAME,), 'required: video\n'),
    ],
)
def test_a_missing_argument_after_a_name_that_is_no_model_is_told(args, told, capsys):
    with pytest.raises(SystemExit):
        parse(*args)
    assert re.search(told, capsys.readouterr().err)


def test_a_config_that_is_misspelt_is_told_in_sentences():
    with pytest.raises(
        ConfigError, match=r'did you mean maskprop_tiny_synthetic\? maskprop configs ls lists them$'
    ):
        find_config_file('maskprop_tiny_syntetic')
    with pytest.raises(ConfigError, match=r'no such file or name\. maskprop configs ls lists them$'):
        find_config_file('qqqqqqqq')


def test_a_file_of_a_models_name_goes_before(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).touch()
    assert find_model(NAME) is None and find_model(Path(NAME)) is None


def test_the_index_of_an_installed_package(tmp_path, monkeypatch):
    """Without a checkout around it the package has configs and index in .mim, as the wheel has them."""
    package = tmp_path / 'maskprop'
    (package / '.mim').mkdir(parents=True)
    shutil.copy('model-index.yml', package / '.mim')
    shutil.copytree('configs', package / '.mim/configs')
    monkeypatch.setattr(maskprop, '__file__', str(package / '__init__.py'))
    index._read_index.cache_clear()
    try:
        assert find_model(NAME).config == package / f'.mim/{find_model(NAME).config.relative_to(package / ".mim")}'
        assert find_model(NAME).config.is_file() and len(list_models()) >= 6
    finally:
        monkeypatch.undo()
        index._read_index.cache_clear()
