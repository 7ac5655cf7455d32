"""The console command: its list, its errors, and how soon they come."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from maskprop import commands
from maskprop.utils.processes import child_environment

ROOT = Path(__file__).parents[2]
MODULES = {command.module: name for name, command in commands.COMMANDS.items()}


def test_each_module_is_a_command_with_a_help():
    files = {path.stem for path in (ROOT / 'maskprop/commands').glob('*.py')} - {'__init__'}
    assert files == set(MODULES)
    for module, name in MODULES.items():
        found = import_module(f'maskprop.commands.{module}')
        assert callable(found.main) and f'maskprop {name}' in found.__doc__, module


def test_each_script_is_a_command():
    for path in (ROOT / 'tools').glob('*.py'):
        assert f"run('{MODULES[path.stem]}')" in path.read_text(), path.name


@pytest.mark.parametrize('arguments', [[], ['--help'], ['help']])
def test_help_lists_all(arguments, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['maskprop', *arguments])
    with pytest.raises(SystemExit) as end:
        commands.main()
    printed = capsys.readouterr().out
    assert end.value.code == 0
    assert [name for name in commands.COMMANDS if f'\n  {name} ' not in printed] == []


def test_another_name_is_refused(monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['maskprop', 'trian'])
    with pytest.raises(SystemExit, match="no command 'trian'; did you mean train?"):
        commands.main()


def test_a_command_has_its_own_arguments_and_name(monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['maskprop', 'check', 'nowhere.json', '--frobnicate'])
    with pytest.raises(SystemExit) as end:
        commands.main()
    assert end.value.code == 2
    assert 'maskprop check: error: unrecognized arguments: --frobnicate' in capsys.readouterr().err


def test_a_help_into_a_pipe_that_is_closed_ends_quietly():
    """``maskprop train --help | head -1``."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, '-m', 'maskprop', 'train', '--help']
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, env=child_environment())
    os.close(write)
    assert (done.returncode, done.stderr) == (1, '')


# a word of each command that is wrong, and what is said of it
WRONG = {
    'train nowhere.py': 'config nowhere.py: no such file',
    'test maskprop_tiny_synthetic none.pth': 'checkpoint none.pth: no such file',
    'infer mask_rcnn_r50_coco none.mp4 --out out': 'none.mp4: no such video',
    'configs cp nowhere': 'config nowhere: no such file',
    'configs show maskprop_htc_r50_fpn_20e_ytvis2018': 'did you mean maskprop_htc_r50_fpn_20e_ytvis20',
    'publish none.pth out': 'checkpoint none.pth: no such file',
    'cost nowhere.py': 'config nowhere.py: no such file',
    'check none.json': '1 error,',
    'split none.json --val-share 0.2': 'none.json: cannot be read',
    'import nowhere out.json': 'nowhere: no such file or folder',
    'export none.json out --to cvat': 'none.json: cannot be read',
    'extract none.mp4 out': 'none.mp4: no such video file',
    'browse none.json --out page.html': 'none.json: no such annotation file',
    'synthetic --videos x': 'x: expected a whole number of 0 or more',
    'stills coco none.json out.json --target ytvis2019': 'none.json: cannot be read',
    'eval none.json results.json': 'none.json: no such file',
    'analyze results none.json results.json --out out': 'none.json: no such file',
    'compare-variants nowhere.py x.pth': 'config nowhere.py: no such file',
    'compare-variants maskprop_mini_synthetic --data nowhere': '--data nowhere: no such folder or file',
    'eval-propagation nowhere.py x.pth': 'config nowhere.py: no such file',
    'oracle nowhere.py x.pth': 'config nowhere.py: no such file',
    'detect nowhere.py x.pth --out out.json': 'config nowhere.py: no such file',
    'plot-features nowhere.py x.pth --video 1 --frame 1 --out out.png': 'config nowhere.py: no such file',
    'ablate nowhere': 'config nowhere: no such file',
    'verify-goldens sipmask nowhere': 'nowhere: no such folder or file',
}
CODE = """
import contextlib, io, json, sys
from maskprop.commands import main
for words in json.loads(sys.argv[1]):
    sys.argv, said = ['maskprop', *words.split()], io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            main()
        except SystemExit as error:
            print(error, file=said)
    print(json.dumps([said.getvalue(), 'torch' in sys.modules]), file=sys.__stdout__)
"""


@pytest.mark.slow
def test_what_is_wrong_is_told_before_torch_is_imported(tmp_path):
    command = [sys.executable, '-c', CODE, json.dumps(list(WRONG))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=child_environment())
    found = [json.loads(line) for line in done.stdout.splitlines()]
    for (words, message), (said, slow) in zip(WRONG.items(), found, strict=True):
        assert message in said, words
        assert not slow, f'maskprop {words} has imported torch'
