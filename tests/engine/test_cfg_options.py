"""What --cfg-options reads is what was meant, or it says how to write it."""

from __future__ import annotations

import argparse

import pytest
from mmengine.config import Config

from maskprop.engine.cfg_options import ConfigOptions, parse_option
from maskprop.engine.config import ConfigError, merge_options, read_config_file


def parsed(*words: str) -> dict:
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions)
    return parser.parse_args(['--cfg-options', *words]).cfg_options


@pytest.mark.parametrize(
    'word, value',
    [
        ('a.data_root=set, second take', 'set, second take'),
        ('a.data_root=2024', '2024'),
        ('a.data_root=true', 'true'),
        ('a.data_root=1e3', '1e3'),
        ('a.data_root="None"', 'None'),
        ('load_from=None', None),
        ('default_hooks.checkpoint=5', 5),
        ('model.init_cfg.checkpoint=5', '5'),
        ('work_dir=run, 2', 'run, 2'),
        ('a.ann_file="x y.json"', 'x y.json'),
        ('model.name=a b', 'a b'),
        ("model.name='1,2'", '1,2'),
        ('model.name="[1,2]"', [1, 2]),
        ('x=1', 1),
        ('x=1e-3', 1e-3),
        ('x=True', True),
        ('x=a=b', 'a=b'),
        ('x=1,2', [1, 2]),
        ('x=(1, [a, b])', (1, ['a', 'b'])),
        ('x=', ''),
    ],
)
def test_values(word, value):
    key, found = parse_option(word)
    assert key == word.split('=')[0] and found == value and type(found) is type(value)


@pytest.mark.parametrize(
    'word', ['x', '=1', 'train_cfg.=1', 'train_cfg..x=1', 'x=[(1,2]', 'x=' + '[' * 3000 + ']' * 3000]
)
def test_what_cannot_be_read_is_refused(word, capsys):
    with pytest.raises(SystemExit):
        parsed(word)
    assert '--cfg-options' in capsys.readouterr().err


def test_a_text_with_a_comma_is_refused_with_how_to_write_it():
    cfg = Config(dict(model=dict(name='a', sizes=[1], other='b')))
    with pytest.raises(ConfigError, match=r"model.name: 'x,y' was read as the list .* in quotes"):
        merge_options(cfg, parsed('model.name=x,y'))
    merge_options(cfg, parsed('model.sizes=3,4', 'model.name="x,y"', 'model.other=[p,q]'))
    assert cfg.model == dict(name='x,y', sizes=[3, 4], other=['p', 'q'])


def test_the_option_that_does_not_fit_is_named():
    cfg = Config(dict(model=dict(parts=[1])))
    with pytest.raises(ConfigError, match='^--cfg-options model.parts.5.x: does not fit'):
        merge_options(cfg, {'model.new': 1, 'model.parts.5.x': 2})


@pytest.mark.parametrize(
    'options, message',
    [
        (
            {'custom_hooks': dict(type='a')},
            "custom_hooks: .* it has a list of length 1 at custom_hooks, found {'type'",
        ),
        (
            {'model.parts.type': 'a'},
            r'model.parts.type: .* Give a whole list, or name an entry, as model.parts.1$',
        ),
        ({'model.parts.2.x': 1}, r"model.parts.2.x: .* a list of length 2 at model.parts, found {'2': {'x': 1}}"),
        (
            {'model.parts.0.x': 1},
            r'model.parts.0.x: .* it has 5 at model.parts.0, .* Give a whole list, model.parts=\[\.\.\.\]$',
        ),
        ({'model.parts.0': 7}, r'model.parts.0: .* Give a whole list, model.parts=\[\.\.\.\]$'),
        ({'model.none': dict(a=1)}, 'model.none: .* it has None at model.none, .* set model.none._delete_=True'),
        ({'model.pair.0': 1}, r'model.pair.0: .* length 2 at model.pair, .* list, model.pair=\[\.\.\.\]$'),
        ({'model.pair.a': 1}, r'model.pair.a: .* length 2 at model.pair, .* list, model.pair=\[\.\.\.\]$'),
        ({'model.empty.0.a': 1}, r'model.empty.0.a: .* length 0 at model.empty, .* list, model.empty=\[\.\.\.\]$'),
    ],
)
def test_a_dict_in_the_place_of_another_value_is_told_with_what_to_write(options, message):
    cfg = Config(dict(custom_hooks=[{}], model=dict(parts=[5, dict(x=1)], none=None, pair=(1, {}), empty=[])))
    with pytest.raises(ConfigError, match=f'^--cfg-options {message}'):
        merge_options(cfg, options)


@pytest.mark.parametrize(
    'text, message',
    [
        (
            "hooks = dict(type='a')",
            r'child.py: hooks: its _base_ has a list of length 1 there, found .* hooks=\[...\]',
        ),
        (
            'data = dict(set=dict(pipeline=dict(a=1)))',
            r'data.set.pipeline: its _base_ has .*, pipeline=\[\.\.\.\]$',
        ),
        ('data = dict(set=dict(none=dict(a=1)))', 'data.set.none: .* None there, .* none=dict.*_delete_=True'),
    ],
)
def test_a_dict_over_another_value_of_the_base_is_told_with_what_to_write(tmp_path, text, message):
    (tmp_path / 'base.py').write_text('hooks = [dict(x=1)]\ndata = dict(set=dict(pipeline=[], none=None))\n')
    (tmp_path / 'child.py').write_text(f"_base_ = ['base.py']\n{text}\n")
    (tmp_path / 'grandchild.py').write_text("_base_ = ['child.py']\n")
    with pytest.raises(ConfigError, match=message):
        read_config_file(tmp_path / 'child.py')
    with pytest.raises(
        ConfigError, match=rf'grandchild.py: .*/child\.py: .*{message.rpartition("child.py: ")[2]}'
    ):
        read_config_file(tmp_path / 'grandchild.py')
