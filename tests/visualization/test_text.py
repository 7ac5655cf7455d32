"""Labels in one line, in any script: told apart even where the machine has no font for it."""

from __future__ import annotations

import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import features

from maskprop.visualization import text
from maskprop.visualization.overlay import draw_instances, label_text


@pytest.fixture(autouse=True)
def _fonts(monkeypatch):
    monkeypatch.setattr(text, '_system_fonts', lambda: [])
    monkeypatch.setattr(text._warn_once, '__defaults__', ([],))
    _forget()
    yield
    _forget()


def _forget():
    for function in (text._find_font, text._runs, text.text_alpha, text.cut_text):
        function.cache_clear()


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
    own = text._own_font()
    has = {'named.ttf': {0x72D7, *b'dog '}, 'machine.ttf': {0x732B}, own: set(b'dog ')}
    monkeypatch.setattr(text, '_characters', lambda path: frozenset(has[path]))
    monkeypatch.setattr(text, '_system_fonts', lambda: ['machine.ttf'])
    monkeypatch.setenv(text.FONT_VARIABLE, 'named.ttf')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert text._runs('狗') == (('狗', 'named.ttf'),)
        assert text._runs('狗 dog') == (('狗 dog', 'named.ttf'),)
        assert text._runs('猫') == (('猫', 'machine.ttf'),)
        # no font has all: as few pieces as can be
        assert text._runs('dog 猫狗 g') == (('dog ', own), ('猫', 'machine.ttf'), ('狗 g', 'named.ttf'))
    monkeypatch.delenv(text.FONT_VARIABLE)
    _forget()
    assert text._runs('dog') == (('dog', own),)
    with pytest.warns(UserWarning, match='fonts-noto-cjk'):
        assert text._runs('d狗') == (('dU+72D7', own),)


def test_a_font_file_that_is_none_has_no_characters(tmp_path):
    (tmp_path / 'a.ttf').write_text('no font')
    assert text._characters(str(tmp_path / 'a.ttf')) == frozenset()
    assert text._characters(str(tmp_path / 'b.ttf')) == frozenset()


def test_pieces_of_two_fonts_stand_side_by_side(monkeypatch):
    """STIX has a sign that DejaVu Sans lacks; DejaVu Sans has Georgian letters, which STIX lacks."""
    stix = str(Path(matplotlib.get_data_path()) / 'fonts/ttf/STIXGeneral.ttf')
    monkeypatch.setattr(text, '_system_fonts', lambda: [stix])
    letters, sign = 'აბგ', '\u1d8d'
    assert [font for _, font in text._runs(letters + sign)] == [text._own_font(), stix]
    both, first = text.text_alpha(letters + sign, 30), text.text_alpha(letters, 30)
    second = text.text_alpha(sign, 30)
    assert abs(both.shape[1] - first.shape[1] - second.shape[1]) <= 2 and second.max() > 0.5
    np.testing.assert_allclose(both[:, : first.shape[1] - 2], first[:, :-2], atol=0.02)


@pytest.mark.parametrize(
    'name', ['person', 'giant armadillo of the Andes', 'a', 'é' * 50], ids=['short', 'words', 'letter', 'accents']
)
@pytest.mark.parametrize('width', [5, 60, 100, 1000])
def test_cut_text(name, width):
    cut = text.cut_text(name, 20, width)
    if text.text_alpha(name, 20).shape[1] <= width or len(name) == 1:
        assert cut == name
        return
    kept = cut.removesuffix(text.ELLIPSIS)
    assert kept != cut and name.startswith(kept) and kept
    if len(kept) > 1:
        assert text.text_alpha(cut, 20).shape[1] <= width
    longer = name[: len(kept) + 2] + text.ELLIPSIS  # a space at the end is dropped
    assert text.text_alpha(longer, 20).shape[1] > width


def test_an_accent_stays_with_its_letter():
    name = 'e\u0301' * 40
    for width in range(20, 200, 7):
        assert len(text.cut_text(name, 20, width).removesuffix(text.ELLIPSIS)) % 2 == 0


def test_a_name_read_from_the_right_stands_between_id_and_score():
    if not features.check('raqm'):
        pytest.skip('this Pillow has no raqm, which lays such names out')
    label, sign, digits = (text.text_alpha(part, 30) for part in (label_text(8, 'כלב', 0.9), '#', '.90'))
    assert np.abs(label[:, : sign.shape[1]] - sign).mean() < 0.03
    assert np.abs(label[:, -digits.shape[1] :] - digits).mean() < 0.03
