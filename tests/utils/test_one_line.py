from __future__ import annotations

import pytest

from maskprop.utils.text import one_line


@pytest.mark.parametrize(
    'text, expected',
    [('a b', 'a b'), ('é狗', 'é狗'), ('a\nb\rc\t', 'a b c '), ('a\u2028b\x1b', 'a b '), ('\u200ea', ' a')],
)
def test_one_line(text, expected):
    assert one_line(text) == expected
    assert one_line('\u200ea', keep='\u200e') == '\u200ea'
