"""tools/model_cost.py: prints tables and writes them, and says what is wrong with its arguments."""

from __future__ import annotations

import runpy
import sys

import pytest

import maskprop

maskprop.register_all()

TINY = 'configs/demo/maskprop_tiny_synthetic.py'


def run(monkeypatch, *args: str) -> None:
    monkeypatch.setattr(sys, 'argv', ['tools/model_cost.py', *args])
    runpy.run_path('tools/model_cost.py', run_name='__main__')


@pytest.mark.slow
def test_prints_and_writes_tables(monkeypatch, capsys, tmp_path):
    out = tmp_path / 'new' / 'cost.md'
    options = ['--size', '96', '64', '--cfg-options', 'model.propagation_head.match_channels=2']
    run(monkeypatch, TINY, *options, '--out', str(out))
    text = out.read_text(encoding='utf-8')
    assert text == capsys.readouterr().out
    assert text.startswith(f'    maskprop cost {TINY} --size 96 64')
    assert text.count('| maskprop_tiny_synthetic | ') == 3


@pytest.mark.parametrize(
    'args,message',
    [
        (['configs/nothing.py'], 'configs/nothing.py: no such file'),
        ([TINY, '--size', '0', '64'], '--size'),
        ([TINY, '--instances', '-1'], '--instances'),
        (['configs/tracking_by_detection/reid_tiny_synthetic.py'], 'model.type is ReIDNet'),
    ],
)
def test_bad_arguments(monkeypatch, capsys, args, message):
    with pytest.raises(SystemExit) as end:
        run(monkeypatch, *args)
    assert message in f'{end.value} {capsys.readouterr().err}'
