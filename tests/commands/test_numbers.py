"""Numbers of a command line that cannot work are refused, by every command."""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path

import pytest

import maskprop
from maskprop.commands import main
from maskprop.engine.size_option import frame_size
from maskprop.utils import numeric

ROOT = Path(maskprop.__file__).parent
FREE = {'--video', '--videos', '--local_rank'}  # ids; one that there is not is told when the file is read


def _untested(path: Path) -> list[str]:
    """Options whose type is int or float, which take 0, -1 and nan too."""
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))) if isinstance(node, ast.Call)]
    return [
        f'{path.name}: {ast.unparse(call.args[0])}'
        for call in calls
        for keyword in call.keywords
        if keyword.arg == 'type' and getattr(keyword.value, 'id', '') in ('int', 'float')
        if getattr(call.args[0], 'value', None) not in FREE
    ]


def test_every_number_has_limits():
    files = [path for folder in ('commands', 'engine', 'conversion') for path in (ROOT / folder).rglob('*.py')]
    assert [found for path in files for found in _untested(path)] == []


def test_every_stride_and_number_of_resamples_has_its_limit():
    ends = dict(stride='stride', strides='stride', bootstraps='resamples', resamples='resamples')
    found = [
        (ends[name], ast.unparse(keyword.value))
        for path in (ROOT / 'commands').rglob('*.py')
        for call in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
        if isinstance(call, ast.Call) and call.args
        if (name := str(getattr(call.args[0], 'value', '')).rpartition('-')[2]) in ends
        for keyword in call.keywords
        if keyword.arg == 'type'
    ]
    assert len(found) > 10 and all(kind == f'numeric.{limit}' for limit, kind in found)


@pytest.mark.parametrize(
    ('kind', 'good', 'bad'),
    [
        (numeric.positive, {'1': 1, '7': 7}, ['0', '-1', '1.5', 'nan', 'x', '', str(2**31)]),
        (numeric.whole(0, 3), {'0': 0, '3': 3}, ['-1', '4']),
        (numeric.seed, {'0': 0, str(2**32 - 1): 2**32 - 1}, ['-1', str(2**32)]),
        (numeric.stride, {'1': 1, '100000': 100_000}, ['0', '100001']),
        (numeric.resamples, {'0': 0, '100000': 100_000}, ['-1', '100001']),
        (numeric.share, {'0': 0, '0.3': 0.3, '1': 1, '1e-3': 0.001}, ['nan', 'inf', '-inf', '-0.1', '1.01', 'x']),
        (numeric.number(0), {'0': 0, '7.5': 7.5}, ['nan', 'inf', '-1', '1e300']),
        (frame_size, {'640x360': (640, 360), '8192x36': (8192, 36)}, ['8193x36', '99999p', '32x32']),
    ],
)
def test_numbers_within_their_limits(kind, good, bad):
    assert {text: kind(text) for text in good} == good
    for text in bad:
        with pytest.raises(argparse.ArgumentTypeError, match=f'^{text}: expected '):
            kind(text)


def test_two_ascending_numbers(capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument('--part', type=numeric.share, action=numeric.Ascending)
    parser.add_argument('--objects', type=numeric.positive, action=numeric.Ascending, equal=True)
    assert parser.parse_args(['--part', '0', '.5']).part == (0, 0.5)
    assert parser.parse_args(['--objects', '2', '2']).objects == (2, 2)
    for words, message in (
        ('--part .5 .5', '--part: 0.5 0.5: expected the first below the second'),
        ('--part .5 nan', '--part: nan: expected a number from 0 to 1'),
        ('--objects 3 2', '--objects: 3 2: expected the first not above the second'),
    ):
        with pytest.raises(SystemExit):
            parser.parse_args(words.split())
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        ('export set.json out --to coco --score-thr nan', '--score-thr: nan: expected a number from 0 to 1'),
        ('analyze results set.json r.json --out out --frame-range 1 0', 'expected the first below the second'),
        (
            'analyze compare set.json a.json b.json --out out --seed -1',
            '--seed: -1: expected a whole number from 0',
        ),
        ('eval set.json r.json --check --max-size nan', '--max-size: nan: expected a number of 0 or more'),
        ('split set.json --val-share 5', '--val-share: 5: expected a number from 0 to 1'),
        ('synthetic out --size 99999x99999', '99999x99999: expected sides of 32 to 8192 pixels'),
        ('synthetic out --frames 100000', '4.3 GiB of memory; expected 4 at most'),
        ('synthetic out --speed inf', '--speed: inf: expected a number from 0 to 10'),
        ('train config.py --seed -3', '--seed: -3: expected a whole number from 0'),
        ('cost config.py --size 100000 100000', '--size: 100000: expected a whole number from 1 to 8192'),
    ],
)
def test_commands_refuse_numbers_that_cannot_work(words, message, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', ['maskprop', *words.split()])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2 and message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
