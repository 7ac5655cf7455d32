"""maskprop demo: the commands that it calls, which have tests of their own, and what it writes."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest

from maskprop.commands import COMMANDS, demo
from maskprop.engine import cli
from maskprop.engine.model_files import find_config_file
from maskprop.zoo import find_model


def write_outputs(name: str, words: list[str]) -> None:
    """What of a command's files the demo reads."""
    if name == 'compare-variants':
        Path(words[words.index('--out') + 1]).write_text('[{"name": "maskprop", "AP": 0.5}]')
    if name == 'train':
        folder = Path(words[words.index('--work-dir') + 1], '20260101_000000/vis_data')
        folder.mkdir(parents=True)
        lines = [dict(loss=1.5, epoch=1, iter=160, step=160), dict(AP=0.25, step=1), dict(AP=0.4321, step=1)]
        (folder / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))


@pytest.fixture
def commands(monkeypatch, tmp_path) -> list[tuple[str, list[str]]]:
    """Name and words of each command that the demo calls, in an empty folder."""
    found = []

    def call(name: str, *words: object) -> None:
        texts = [str(word) for word in words]
        found.append((name, texts))
        Path('work_dirs/demo').mkdir(parents=True, exist_ok=True)
        write_outputs(name, texts)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, 'call', call)
    monkeypatch.setattr(sys, 'argv', ['maskprop demo'])
    return found


def test_tracks_draws_and_trains(commands, capsys):
    demo.main()
    assert [name for name, _ in commands] == [
        'synthetic', 'compare-variants',
        'compare-videos', 'infer', 'analyze',
        'synthetic', 'train', 'analyze',
    ]  # fmt: skip
    summary = json.loads(Path('work_dirs/demo/summary.json').read_text())
    assert summary['rows'] == [{'name': 'maskprop', 'AP': 0.5}]
    assert summary['trained'] == {'AP': 0.4321}
    assert list(summary['seconds']) == ['generate', 'track', 'draw', 'train']
    said = capsys.readouterr().out
    assert 'AP of 43.2' in said and 'maskprop demo-full' in said and 'report/report.html' in said


def test_every_command_takes_its_words(commands, monkeypatch):
    """Their own parsers refuse what they don't know; what they name is there or made before."""
    demo.main()
    folders = set()
    for name, words in commands:
        monkeypatch.setattr(sys, 'argv', [f'maskprop {name}', *words])
        module = import_module(f'maskprop.commands.{COMMANDS[name].module}')
        args = cli.train_parser().parse_args() if name == 'train' else module.parse_args()
        if name == 'synthetic':
            folders.add(Path(args.out))
        for key in ('cfg_options', 'data', 'images', 'annotations', 'set'):
            named = getattr(args, key, None) or {}
            for path in named.values() if isinstance(named, dict) else [named]:
                assert any(folder in (Path(path), *Path(path).parents) for folder in folders), path
    assert find_model(demo.MODEL) and find_config_file(demo.TRAINING).is_file()


def test_a_command_that_fails_ends_it(tmp_path, monkeypatch, capsys):
    before = sys.argv
    with pytest.raises(SystemExit):
        demo.call(
            'analyze', 'results', tmp_path / 'no set.json', tmp_path / 'none.json', '--out', tmp_path / 'out'
        )
    assert sys.argv is before
    said = capsys.readouterr()
    assert said.out.startswith(f"$ maskprop analyze results '{tmp_path}/no set.json'") and 'error' in said.err
