from __future__ import annotations

import pytest

from maskprop.utils.text import one_line, plural


@pytest.mark.parametrize(
    'text, expected',
    [('a b', 'a b'), ('é狗', 'é狗'), ('a\nb\rc\t', 'a b c '), ('a\u2028b\x1b', 'a b '), ('\u200ea', ' a')],
)
def test_one_line(text, expected):
    assert one_line(text) == expected
    assert one_line('\u200ea', keep='\u200e') == '\u200ea'


def test_plural():
    assert plural(1, 'video') == '1 video' and plural(0, 'video') == '0 videos'
    found = [plural(2000, name) for name in ('frame', 'class', 'category')]
    assert found == ['2,000 frames', '2,000 classes', '2,000 categories']
