"""Texts of others, as they can be printed."""

from __future__ import annotations


def one_line(text: str, keep: str = '') -> str:
    """A text with a space for what would break the line or is not drawn, except the characters of ``keep``."""
    return ''.join(c if c.isprintable() or c in keep else ' ' for c in text)
