"""A full disk, by a limit of the size of files: the message names the file, and what was there stays as it was."""

from __future__ import annotations

import contextlib
import json
import resource
import runpy
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from maskprop.evaluation.results_io import ResultsWriter, write_results
from maskprop.utils import boundary
from maskprop.utils.files import write_json
from tests.helpers import write_tiny_ytvis

TOOLS = Path(__file__).parents[2] / 'tools'
LIMIT = 600  # bytes


@contextlib.contextmanager
def full_disk(limit: int = LIMIT) -> Iterator[None]:
    """Files of this process cannot grow beyond the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob('*')) if p.is_file()}


def run(monkeypatch, capsys, name: str, *args: object) -> tuple[int, str]:
    """Exit status and what was said on the error stream."""
    monkeypatch.setattr(sys, 'argv', [f'tools/{name}.py', *map(str, args)])
    status = 0
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            runpy.run_path(str(TOOLS / f'{name}.py'), run_name='__main__')
        except SystemExit as end:
            status = end.code or 0
    return status, capsys.readouterr().err


@pytest.fixture
def root(tmp_path) -> Path:
    return write_tiny_ytvis(tmp_path / 'set')


def commands(root: Path, out: Path) -> dict[str, tuple[list, str]]:
    """Arguments of each tool, and the file that it says cannot be written."""
    train = root / 'annotations/train.json'
    results = root / 'results.json'
    records = [
        dict(video_id=a['video_id'], category_id=a['category_id'], score=0.5, segmentations=a['segmentations'])
        for a in json.loads(train.read_text())['annotations']
    ]
    results.write_text(json.dumps(records))
    small = ['--videos', 1, '--val-videos', 1, '--frames', 3, '--size', '48x64', '--workers', 1, '--no-report']
    return dict(
        split_dataset=([train, '--val-videos', 1, '--out-dir', out, '--overwrite'], 'mini_'),
        eval_results=([train, results, '--out', out / 'metrics.json'], 'metrics.json'),
        make_synthetic=([out / 'made', *small, '--overwrite'], '.jpg'),
    )


@pytest.mark.parametrize('tool', ['split_dataset', 'eval_results', 'make_synthetic'])
def test_tools(tool, root, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'out'
    out.mkdir()
    args, named = commands(root, out)[tool]
    assert run(monkeypatch, capsys, tool, *args)[0] == 0
    if tool != 'eval_results':
        args = [*args, '--seed', 3]  # other files than those that are there
    before = contents(out)
    with full_disk():
        code, said = run(monkeypatch, capsys, tool, *args)
    assert code == 1 and named in said and 'Traceback' not in said and 'unforeseen' not in said
    assert contents(out) == before
    assert run(monkeypatch, capsys, tool, *args)[0] == 0


def test_results_and_metrics(tmp_path):
    good = [dict(video_id=1, category_id=1, score=0.5, segmentations=[None])]
    many = good * 50
    for name, write in (('r.json', write_results), ('m.json', write_json)):
        path = tmp_path / name
        write(path, good)
        before = path.read_bytes()
        with full_disk(), pytest.raises(OSError) as error:
            write(path, many)
        assert str(path) in str(error.value) and path.read_bytes() == before
    with full_disk(), pytest.raises(OSError), ResultsWriter(tmp_path / 'new.json') as writer:
        writer.add(many)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['m.json', 'r.json']


def test_the_traceback_of_an_unforeseen_error(tmp_path, monkeypatch, capsys):
    """Its file cannot be written: that is said in the one line."""

    def fault() -> None:
        raise KeyError('x' * 5000)

    monkeypatch.setattr(sys, 'argv', ['tools/some.py'])
    monkeypatch.setitem(boundary._state, 'folder', tmp_path)
    with full_disk(0), pytest.raises(SystemExit):
        boundary.run(fault)
    said = capsys.readouterr().err.strip()
    assert 'cannot be written' in said and '\n' not in said
