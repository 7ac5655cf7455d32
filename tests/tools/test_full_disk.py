"""A full disk, by a limit of the size of files: the message names the file, and what was there stays as it was."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import runpy
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import cv2
import pytest
import torch
from mmengine.config import Config
from mmengine.fileio import LocalBackend

from maskprop.ablation.plots import write_plot
from maskprop.ablation.study import Row, Study
from maskprop.ablation.tables import METRICS, RowScores
from maskprop.commands import COMMANDS, demo
from maskprop.conversion.state_dicts import write_checkpoint
from maskprop.datasets.formats import sets
from maskprop.engine import runs
from maskprop.engine.published import write_published
from maskprop.evaluation.results_io import ResultsWriter, write_results
from maskprop.utils import boundary
from maskprop.utils.files import write_json
from maskprop.utils.folder_lock import hold_folder
from tests.engine.tiny_config import quick_runs, tiny_config
from tests.helpers import write_tiny_ytvis

ROWS = (Row('a'), Row('b'))
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


@dataclass(frozen=True)
class Case:
    """A command.

    Attributes:
        words: of the command line, for the folder of inputs and that of outputs.
        named: what the message names. limit: of the size of files, in bytes.
    """

    words: Callable[[Path, Path], list]
    named: str
    limit: int = LIMIT


def gt(root: Path) -> Path:
    return root / 'annotations/train.json'


def export(form: str, named: str, limit: int = LIMIT) -> Case:
    return Case(
        lambda root, out: ['export', gt(root), out / named.partition('/')[0], '--to', form, '--overwrite'],
        named,
        limit,
    )


CASES = dict(
    export_csv=export('csv', 'table.csv', 60),
    export_coco=export('coco', 'coco.json'),
    export_masks=export('masks', 'masks/', 60),
    export_mots_png=export('mots', 'mots/instances/', 60),
    export_mots_txt=export('mots-txt', 'mots/', 60),
    export_cvat=export('cvat', 'cvat/'),
    import_csv=Case(lambda root, out: ['import', root / 'table.csv', out / 'set.json', '--overwrite'], 'set.json'),
    analyze=Case(
        lambda root, out: ['analyze', 'results', gt(root), root / 'results.json', '--out', out / 'report'],
        'report/',
    ),
    analyze_compare=Case(
        lambda root, out: [
            *('analyze', 'compare', gt(root), root / 'results.json', root / 'others.json', '--resamples', 5),
            *('--out', out / 'report'),
        ],
        'report/',
    ),
    analyze_curves=Case(lambda root, out: ['analyze', 'curves', root / 'run', '--out', out / 'curves'], 'curves/'),
    browse_page=Case(
        lambda root, out: ['browse', gt(root), '--images', root / 'train/JPEGImages', '--out', out / 'page.html'],
        'page.html',
    ),
    browse_pictures=Case(
        lambda root, out: ['browse', gt(root), '--images', root / 'train/JPEGImages', '--out', out / 'shown'],
        'shown/video_',
    ),
    compare_videos=Case(
        lambda root, out: [
            *('compare-videos', gt(root), root / 'train/JPEGImages', '--results', root / 'results.json'),
            *('--out', out / 'strips'),
        ],
        'strips/video_',
    ),
    extract=Case(
        lambda root, out: ['extract', root / 'clip.avi', out / 'frames', '--overwrite'], 'frames/clip/00000.jpg'
    ),
    configs=Case(
        lambda root, out: ['configs', 'cp', 'maskprop_mini_synthetic', out / 'copy.py', '--overwrite'],
        'copy.py',
        60,
    ),
)


@pytest.fixture(scope='module')
def inputs(tmp_path_factory) -> Path:
    root = write_tiny_ytvis(tmp_path_factory.mktemp('inputs'), videos=2, frames=3)
    commands(root, root)  # its results.json
    shutil.copy(root / 'results.json', root / 'others.json')
    assert command('export', gt(root), root / 'table.csv', '--to', 'csv') == 0
    writer = cv2.VideoWriter(str(root / 'clip.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 10, (64, 48))
    for frame in sorted((root / 'train/JPEGImages').glob('*/*.jpg')):
        writer.write(cv2.imread(str(frame)))
    writer.release()
    lines = [dict(loss=1.5, lr=0.1, epoch=1, iter=i, step=i) for i in range(1, 9)]
    (root / 'run/20260101_000000/vis_data').mkdir(parents=True)
    (root / 'run/20260101_000000/vis_data/scalars.json').write_text('\n'.join(map(json.dumps, lines)))
    return root


def command(name: str, *words: object) -> int:
    """Exit status of ``maskprop NAME WORDS``."""
    own, sys.argv = sys.argv, [f'maskprop {name}', *map(str, words)]
    try:
        return boundary.run(import_module(f'maskprop.commands.{COMMANDS[name].module}').main) or 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    finally:
        sys.argv = own


@pytest.mark.parametrize('name', CASES)
def test_commands(name, inputs, tmp_path, capsys):
    """What was written before stays, no temporary file is left, and the same command works once there is room."""
    case = CASES[name]
    words = case.words(inputs, tmp_path)
    assert command(*words) == 0, capsys.readouterr().err
    for path in tmp_path.rglob('*'):  # so that it is seen whether it is the old one
        if path.is_file():
            path.write_bytes(b'old')
    before = contents(tmp_path)
    with full_disk(case.limit):
        code = command(*words)
    said = capsys.readouterr().err
    assert code == 1 and str(tmp_path / case.named) in said, said
    assert 'Traceback' not in said and 'unforeseen' not in said and '.tmp' not in said
    assert before and contents(tmp_path) == before
    assert command(*words) == 0 and contents(tmp_path) != before


@pytest.mark.parametrize('form', ['cvat', 'mots-txt', 'masks', 'mots'])
def test_a_second_video_without_room_leaves_the_first_as_it_was(form, tmp_path, monkeypatch, capsys):
    """The exported folder is that of before, with both videos."""
    root = write_tiny_ytvis(tmp_path / 'set', videos=2, frames=3)
    words = ('export', gt(root), tmp_path / 'out', '--to', form, '--overwrite')
    assert command(*words) == 0
    for path in (tmp_path / 'out').rglob('*'):
        if path.is_file():
            path.write_bytes(b'old')
    before, frames = contents(tmp_path / 'out'), sets.objects_by_frame

    def second_without_room(records, info, names):
        if seen:
            raise OSError(28, os.strerror(28))
        seen.append(info)
        return frames(records, info, names)

    seen: list = []
    monkeypatch.setattr(sets, 'objects_by_frame', second_without_room)
    assert command(*words) == 1 and str(tmp_path / 'out') in capsys.readouterr().err
    assert seen and contents(tmp_path / 'out') == before


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


def weights(number: int) -> dict[str, torch.Tensor]:
    return dict(w=torch.full((1000,), float(number)))


WRITERS = dict(
    convert=lambda path, number: write_checkpoint(path, weights(number), {}),
    publish=lambda path, number: write_published(path, weights(number), {}, {}),
    study=lambda path, number: write_plot(
        path,
        Study('s', 's.py', Config(), 'T', ROWS),
        [RowScores(row, dict.fromkeys(METRICS, [0.5])) for row in ROWS],
    ),
    lock=lambda path, number: hold_folder(path.parent, name=path.name).__enter__(),
)


@pytest.mark.parametrize('name', WRITERS)
def test_writers(name, tmp_path):
    """What converting, publishing and studies write, and the lock of a training's folder."""
    path = tmp_path / 'a.png'
    old = b'' if name == 'lock' else b'old'
    path.write_bytes(old)
    with full_disk(10), pytest.raises(OSError) as error:
        WRITERS[name](path, 2)
    left = contents(tmp_path)
    assert left == ({} if name == 'lock' else {'a.png': old})
    assert str(path) in str(error.value)


@pytest.mark.slow
def test_checkpoints_of_a_training(tmp_path, monkeypatch):
    """The disk is full at the second checkpoint: the first one stays, and the message names the second."""
    root, put = write_tiny_ytvis(tmp_path / 'set', videos=1, frames=3), LocalBackend.put

    def put_second(self, content: bytes, path: str) -> None:
        with full_disk() if 'epoch_2' in str(path) else contextlib.nullcontext():
            put(self, content, path)

    monkeypatch.setattr(LocalBackend, 'put', put_second)
    cfg = tiny_config(root, tmp_path / 'work', train_cfg__max_epochs=2)
    cfg.default_hooks.checkpoint = dict(type='SafeCheckpointHook', interval=1, max_keep_ckpts=1)
    with quick_runs(), pytest.raises(OSError, match='work/epoch_2.pth'):
        runs.train(cfg)
    assert sorted(p.name for p in (tmp_path / 'work').glob('*.pth*')) == ['epoch_1.pth']
    assert not list((tmp_path / 'work').glob('.*'))
    torch.load(tmp_path / 'work/epoch_1.pth', weights_only=False)


def test_the_demo_keeps_its_summary(tmp_path, monkeypatch, capsys):
    out = tmp_path / 'out'
    for name in ('track', 'draw', 'train', 'call', 'make_set'):
        monkeypatch.setattr(demo, name, lambda *words: None)
    monkeypatch.setattr(demo, 'last_validation', lambda run: dict(AP=0.5))
    write_json(out / 'rows.json', [])
    write_json(out / 'summary.json', {})
    before = contents(out)
    monkeypatch.setattr(sys, 'argv', ['maskprop demo', '--out', str(out)])
    with full_disk(10), pytest.raises(SystemExit):
        boundary.run(demo.main)
    assert 'summary.json' in capsys.readouterr().err and contents(out) == before


def test_a_log_without_room_names_the_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(boundary._state, 'folder', tmp_path)
    with pytest.raises(SystemExit):
        boundary.run(lambda: open('/dev/full', 'w').close() or os.write(os.open('/dev/full', os.O_WRONLY), b'x'))
    assert f'{tmp_path}: [Errno 28]' in capsys.readouterr().err


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
