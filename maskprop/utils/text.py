"""Texts of others, as they can be printed."""

from __future__ import annotations


def one_line(text: str, keep: str = '') -> str:
    """A text with a space for what would break the line or is not drawn, except the characters of ``keep``."""
    return ''.join(c if c.isprintable() or c in keep else ' ' for c in text)


def plural(number: int, name: str) -> str:
    """``1 video``, ``2,000 videos``, ``3 classes``, ``4 categories``."""
    if number == 1:
        return f'1 {name}'
    ending = 'es' if name.endswith('s') else 's'
    return f'{number:,} ' + (f'{name[:-1]}ies' if name.endswith('y') else name + ending)
