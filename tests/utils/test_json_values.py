"""JSON is read as Python's ``json`` reads it, whichever parser does it: same values, same messages."""

from __future__ import annotations

import gc
import io
import json
import os
import random
from collections.abc import Callable
from typing import IO, Any

import pytest

from maskprop.utils import json_values
from maskprop.utils.json_values import parse_json

SOUND = b"""[
 {"video_id": 3, "category_id": 12, "score": 0.8217920027302146, "track_id": "a\\u00e9\\n\\ud83d\\ude00",
  "segmentations": [null, {"size": [720, 1280], "counts": "lnf=d0_e0\\\\O<D<"}, [[1.5, -2e-3, 3]], true, []]},
 {"name": "\xe7\x8b\x97", "": {}, "twice": 1, "twice": [2], "large": 18446744073709551615, "low": -1.5E+3}
]"""
DOCUMENTS = {
    'sound': SOUND,
    'nan and infinities': b'[NaN, Infinity, -Infinity]',
    'beyond float64': b'[1e400, -1e400, 1.7976931348623159e308]',
    'below float64': b'[1e-400, 5e-324, 2.2250738585072011e-308]',
    'integers beyond 64 bits': b'[18446744073709551616, -9223372036854775809, 10000000000000000000000]',
    'integer of 400 digits': b'1' + b'0' * 400,
    'integer of 5000 digits': b'1' + b'0' * 5000,
    'digits of floats': b'[9007199254740993.0, 123456789012345678901234567890.5, 12345678901234567890123e-2]',
    'negative zeros': b'[-0, -0.0, 0e0, -0e1]',
    'lone surrogates': b'["\\ud800", "\\udc00\\ud800"]',
    'key of a lone surrogate': b'{"\\ud800": 1}',
    'raw surrogate': b'"\xed\xa0\x80"',
    'not utf-8': b'{"a": "\xff"}',
    'not utf-8, in a key': b'{"\xc0\x80": 1}',
    'latin-1 after a mark': b'\xef\xbb\xbf["\xe9"]',
    'mark': b'\xef\xbb\xbf[1]',
    'utf-16': '[1, "é"]'.encode('utf-16'),
    'utf-16 without a mark': '[1]'.encode('utf-16-le'),
    'utf-32': '[1]'.encode('utf-32'),
    'keys that come twice': b'{"a": 1, "b": 2, "a": 3}',
    'nested': b'[' * 500 + b']' * 500,
    'nested too deeply': b'[' * 100_000 + b']' * 100_000,
    'objects nested too deeply': b'{"a":' * 100_000,
    'control character': b'"a\tb"',
    'zero character': b'"a\0b"',
    'escaped zero': b'"\\u0000"',
    'unknown escape': b'"\\x"',
    'trailing comma': b'[1,]',
    'trailing text': b'[1]\r\n x',
    'trailing zero character': b'[1]\0',
    'cut short': SOUND[:200],
    'empty': b'',
    'blank': b' \n',
    'white space': b'\r\n\t [1 ,\r2]\n',
    'other white space': b'\x0b[1]',
    'no-break space': '\u00a0[1]'.encode(),
    'line separator': '"\u2028"'.encode(),
    'leading zero': b'01',
    'point without digits': b'1.',
    'plus': b'+1',
    'comment': b'/* */1',
    'quotes of python': b"{'a': 1}",
}


def outcome(read: Callable[[IO], Any], file: IO) -> str:
    """What is read, to the last bit and in order, or the message."""
    try:
        return repr(read(file))
    except ValueError as error:
        return f'{type(error).__name__}: {error}'
    except RecursionError:
        return 'ValueError: lists or objects are nested too deeply'


def assert_same(content: bytes) -> None:
    opened: dict[str, Callable[[], IO]] = {
        'binary': lambda: io.BytesIO(content),
        'text': lambda: io.TextIOWrapper(io.BytesIO(content), encoding='utf-8-sig'),
        'strict text': lambda: io.TextIOWrapper(io.BytesIO(content), encoding='utf-8'),
    }
    for way, file in opened.items():
        assert outcome(parse_json, file()) == outcome(json.load, file()), way


@pytest.mark.parametrize('fast', [True, False], ids=['msgspec', 'json'])
@pytest.mark.parametrize('name', DOCUMENTS)
def test_documents(name, fast, monkeypatch):
    if not fast:
        monkeypatch.setattr(json_values, '_fast_parser', lambda: None)
    assert_same(DOCUMENTS[name])


def test_documents_with_random_faults():
    rng = random.Random(0)
    for _ in range(1500):
        content = bytearray(SOUND)
        for _ in range(rng.randint(1, 2)):
            place, kind = rng.randrange(len(content)), rng.randrange(4)
            if kind == 0:
                content[place] = rng.randrange(256)
            elif kind == 1:
                content[place] = rng.choice(b'0123456789-+.eE"\\[]{},: nul')
            elif kind == 2:
                del content[place : place + rng.randint(1, 4)]
            else:
                content[place:place] = content[place : place + rng.randint(1, 30)]
        assert_same(bytes(content))


def test_what_is_sound_never_comes_to_the_slow_parser(monkeypatch):
    pytest.importorskip('msgspec')
    expected = json.loads(SOUND)
    monkeypatch.setattr(json_values.json, 'loads', None)
    assert parse_json(io.BytesIO(SOUND)) == expected


def test_a_pipe_is_read(tmp_path):
    for content, expected in ((b'[NaN]', '[nan]'), (b'[1]', '[1]')):  # the slow way, and the fast one
        end, start = os.pipe()
        os.write(start, content)
        os.close(start)
        with open(end, encoding='utf-8-sig') as file:
            assert repr(parse_json(file)) == expected


@pytest.mark.parametrize('enabled', [True, False])
@pytest.mark.parametrize('content', [b'[1]', b'[NaN]', b'['])
def test_garbage_collection_is_left_as_it_was(content, enabled):
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        outcome(parse_json, io.BytesIO(content))
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()
