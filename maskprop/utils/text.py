"""Texts of others, as they can be printed."""

from __future__ import annotations

import unicodedata

_BREAK_LINES = ('Cc', 'Zl', 'Zp', 'Cs')  # categories of characters; Cs: halves, which cannot be printed


def one_line(text: str, keep: str = '') -> str:
    """A text with a space for what would break the line or is not drawn, except the characters of ``keep``."""
    return ''.join(c if c.isprintable() or c in keep else ' ' for c in text)


def escaped(text: object) -> str:
    """A text, as of a message with names of files, with ``\\n`` and the like for line breaks, other control
    characters and halves of characters. What has been escaped stays as it is.
    """
    found = str(text)
    if found.isprintable():  # nearly always
        return found
    return ''.join(repr(c)[1:-1] if unicodedata.category(c) in _BREAK_LINES else c for c in found)


def plural(number: int, name: str) -> str:
    """``1 video``, ``2,000 videos``, ``3 classes``, ``4 categories``."""
    if number == 1:
        return f'1 {name}'
    ending = 'es' if name.endswith('s') else 's'
    return f'{number:,} ' + (f'{name[:-1]}ies' if name.endswith('y') else name + ending)


def decode_text(content: bytes) -> str:
    """The text of a file: UTF-8, or UTF-16 that says so by its first two bytes; without a byte order mark.

    Raises:
        ValueError: it is neither; the message says where, and how to convert the file.
    """
    wide = content.startswith((b'\xff\xfe', b'\xfe\xff'))
    try:
        return content.decode('utf-16' if wide else 'utf-8').removeprefix('\ufeff')
    except UnicodeDecodeError as error:
        if wide:
            raise ValueError('UTF-16 that is cut short or damaged; save it as UTF-8') from None
        raise ValueError(not_utf8(error)) from None


def not_utf8(error: UnicodeDecodeError) -> str:
    """Which byte is not UTF-8, and how to convert the file."""
    byte = f'byte {error.start} is 0x{error.object[error.start]:02x}'
    return f'not UTF-8 ({byte}); save it as UTF-8, as by: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW'
