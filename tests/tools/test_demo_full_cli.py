"""maskprop demo-full: the commands that it runs, and what it writes; the commands have tests of their own."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def demo(monkeypatch):
    """The command's module, in the root of the repository."""
    from maskprop.commands import demo_full

    monkeypatch.chdir(ROOT)
    return demo_full


@pytest.fixture
def commands(demo, monkeypatch):
    """Words of each command; a training leaves a checkpoint's name, a comparison its rows."""
    found = []

    def run(*words: str | Path, launcher: Sequence[str] = ()) -> None:
        words = [*launcher, *map(str, words)]
        found.append(words)
        if 'train' in words:
            work_dir = Path(words[words.index('--work-dir') + 1])
            work_dir.mkdir(parents=True)
            (work_dir / 'last_checkpoint').write_text('epoch_8.pth')
        if 'compare-variants' in words:
            Path(words[words.index('--out') + 1]).write_text('[{"name": "maskprop", "AP": 0.5}]')

    monkeypatch.setattr(demo, 'run', run)
    return found


def test_makes_a_set_trains_tests_and_compares(demo, commands, tmp_path, monkeypatch, capsys):
    words = ['--out', tmp_path / 'out', '--data', tmp_path / 'set', '--seed', 7, '--cfg-options', 'a.b=1']
    monkeypatch.setattr(sys, 'argv', ['demo_full.py', *map(str, words)])
    demo.main()
    made, trained, tested, compared = commands
    assert [made[0], trained[4], tested[0], compared[0]] == ['synthetic', 'train', 'test', 'compare-variants']
    assert made[1] == str(tmp_path / 'set') and '--seed=7' in made
    assert '--nproc_per_node=2' in trained and trained[-2:] == ['--launcher', 'pytorch']
    # no epoch is validated, and the options of the validation are gone with it
    assert [word for word in trained if word.startswith('val_')] == [
        f'val_{part}=None' for part in ('cfg', 'dataloader', 'evaluator')
    ]
    for command in (trained, tested, compared):
        assert f'test_dataloader.dataset.data_root={tmp_path / "set"}' in command and 'a.b=1' in command
    for command in (tested, compared):
        assert 'epoch_8.pth' in command
        assert f'test_evaluator.ann_file={tmp_path / "set"}/annotations/val.json' in command
    summary = json.loads((tmp_path / 'out/summary.json').read_text())
    assert summary['rows'] == [{'name': 'maskprop', 'AP': 0.5}]
    assert list(summary['seconds']) == ['generate', 'train', 'test', 'compare']
    assert 'summary.json' in capsys.readouterr().out


def test_a_stage_that_fails_ends_it(demo, tmp_path, monkeypatch):
    (tmp_path / 'set').write_text('a file in the place of the set')
    words = ['--out', str(tmp_path / 'out'), '--data', str(tmp_path / 'set')]
    monkeypatch.setattr(sys, 'argv', ['demo_full.py', *words])
    with pytest.raises(SystemExit, match=r'this command failed: python -m maskprop synthetic'):
        demo.main()
    assert not (tmp_path / 'out/summary.json').exists()
