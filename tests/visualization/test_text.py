"""Labels in one line, in any script: told apart even where the machine has no font for it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from maskprop.visualization import text
from maskprop.visualization.overlay import draw_instances


@pytest.fixture(autouse=True)
def _fonts(monkeypatch):
    monkeypatch.setattr(text, '_system_fonts', lambda: [])
    monkeypatch.setattr(text._warn_once, '__defaults__', ([],))
    text._find_font.cache_clear()
    text.text_alpha.cache_clear()
    yield
    text._find_font.cache_clear()
    text.text_alpha.cache_clear()


@pytest.mark.parametrize('name', ['a\nb', 'a\rb', 'a\tb', 'a\0b', 'a\u2028b', 'a\ud800b'], ids=ascii)
def test_what_cannot_be_printed_is_a_space(name):
    assert np.array_equal(text.text_alpha(name, 20), text.text_alpha('a b', 20))
    mask = np.ones((48, 64), bool)
    drawn = draw_instances(np.zeros((48, 64, 3), np.uint8), [mask], [1], [name], [0.5])
    assert np.array_equal(drawn, draw_instances(np.zeros((48, 64, 3), np.uint8), [mask], [1], ['a b'], [0.5]))


def test_names_without_a_font_are_told_apart_with_one_warning():
    with pytest.warns(UserWarning, match='MASKPROP_FONT') as caught:
        drawn = [text.text_alpha(name, 20) for name in ('狗', '猫', '한', 'ก', 'a 狗')]
    assert len(caught) == 1
    assert len({(d.shape, d.tobytes()) for d in drawn}) == 5
    assert np.array_equal(drawn[0], text.text_alpha('U+72D7', 20))


def test_a_font_that_has_the_characters_is_taken(monkeypatch):
    has = {'named.ttf': {0x72D7, *b'Aa0'}, 'machine.ttf': {0x732B, *b'Aa0'}, text._own_font(): set(b'Aa0')}
    monkeypatch.setattr(text, '_characters', lambda path: frozenset(has[path]))
    monkeypatch.setattr(text, '_system_fonts', lambda: ['machine.ttf'])
    monkeypatch.setenv(text.FONT_VARIABLE, 'named.ttf')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert text._drawable('狗') == ('狗', 'named.ttf')
        assert text._drawable('猫') == ('猫', 'machine.ttf')
    monkeypatch.delenv(text.FONT_VARIABLE)
    text._find_font.cache_clear()
    assert text._drawable('dog') == ('dog', text._own_font())


def test_a_font_file_that_is_none_has_no_characters(tmp_path):
    (tmp_path / 'a.ttf').write_text('no font')
    assert text._characters(str(tmp_path / 'a.ttf')) == frozenset()
    assert text._characters(str(tmp_path / 'b.ttf')) == frozenset()
