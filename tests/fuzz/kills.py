"""Kill tools at random moments, run them again, and compare with a run that nobody disturbed.

    python -m tests.fuzz.kills synthetic split training test --kills 30

Each kill is a SIGKILL of the process and its children at a random moment of its run. After each: no output is a
mixture of two runs, none is cut. At the end the same command is run to its end: its files are those of the
undisturbed run, byte by byte; of a training, the weights.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.helpers import write_tiny_ytvis

ROOT = Path(__file__).parents[2]


@dataclass
class Case:
    """A tool that is killed.

    Attributes:
        prepare: makes what is there before, in a folder.
        command: arguments of Python, for the folder and the number of the run.
        check: raises AssertionError if what a kill left is damaged. result: what is compared at the end.
        anew: a run that ended is compared at once, and the next one begins from nothing: else all further kills
            would find the work done.
    """

    prepare: Callable[[Path], None]
    command: Callable[[Path, int], list[str]]
    check: Callable[[Path], None]
    result: Callable[[Path], object]
    anew: bool = False
    counts: dict[str, int] = field(default_factory=dict)


def run(command: list[str], seconds: float | None = None) -> bool:
    """Run a command; killed after ``seconds``. Returns whether it ended by itself, as it should."""
    env = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])}
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env={**env, 'OMP_NUM_THREADS': '1'},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        said = process.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return False
    assert process.returncode == 0, said.decode(errors='replace')[-3000:]
    return True


def fingerprints(folder: Path, pattern: str = '*') -> dict[str, str]:
    files = [path for path in sorted(folder.rglob(pattern)) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def kill(case: Case, folder: Path, kills: int, rng: random.Random) -> dict[str, int]:
    """Counts of what was seen."""
    calm, killed = folder / 'calm', folder / 'killed'
    for place in (calm, killed):
        place.mkdir()
        case.prepare(place)
    start = time.monotonic()
    assert run(case.command(calm, 0))
    seconds = time.monotonic() - start
    counts = dict(kills=0, ended_before=0)
    for number in range(1, kills + 1):
        ended = run(case.command(killed, number), rng.uniform(0.05, 1.0) * seconds)
        counts['ended_before' if ended else 'kills'] += 1
        case.check(killed)
        if ended and case.anew:
            assert case.result(killed) == case.result(calm), 'not as without kills'
            shutil.rmtree(killed)
            killed.mkdir()
            case.prepare(killed)
    assert run(case.command(killed, 0))
    case.check(killed)
    assert case.result(killed) == case.result(calm), 'not as without kills'
    return counts


def synthetic() -> Case:
    """Two sets of other seeds in one folder, in turn."""

    def command(folder: Path, number: int) -> list[str]:
        small = ['--videos', '6', '--val-videos', '3', '--frames', '6', '--size', '48x64', '--no-report']
        return ['tools/make_synthetic.py', str(folder / 'set'), *small, '--seed', str(number % 2), '--overwrite']

    def check(folder: Path) -> None:
        from maskprop.datasets.ytvis_json import find_problems

        for file in (folder / 'set/annotations').glob('*.json'):
            problems = find_problems(file, folder / 'set/JPEGImages', decode_images=True)
            assert not [p for p in problems if p.severity == 'error'], problems

    return Case(lambda folder: None, command, check, lambda folder: fingerprints(folder / 'set'))


def split() -> Case:
    """Two splits of other seeds in one folder, in turn."""

    def prepare(folder: Path) -> None:
        write_tiny_ytvis(folder / 'set', videos=40, frames=3)

    def command(folder: Path, number: int) -> list[str]:
        file = str(folder / 'set/annotations/train.json')
        return ['tools/split_dataset.py', file, '--val-videos', '10', '--seed', str(number % 2), '--overwrite']

    def check(folder: Path) -> None:
        files = [folder / f'set/annotations/mini_{part}.json' for part in ('train', 'val')]
        if all(file.is_file() for file in files):
            train, val = ({video['id'] for video in json.loads(file.read_text())['videos']} for file in files)
            assert not train & val and len(train | val) == 40

    return Case(prepare, command, check, lambda folder: fingerprints(folder / 'set/annotations', 'mini_*.json'))


def _config(folder: Path, **options: object) -> None:
    from tests.engine.tiny_config import MASKPROP, tiny_config

    root = write_tiny_ytvis(folder / 'set', videos=2)
    workers = dict(train_dataloader__num_workers=2, train_dataloader__persistent_workers=True)
    cfg = tiny_config(root, folder / 'work', file=MASKPROP, **workers, **options)
    cfg.pop('experiment_name')
    cfg.update(val_cfg=None, val_dataloader=None, val_evaluator=None)
    cfg.dump(str(folder / 'config.py'))


def training() -> Case:
    """A training with data workers that goes on after each kill; the next kill comes in what is left of it."""

    def prepare(folder: Path) -> None:
        _config(folder, default_hooks__checkpoint__interval=1, train_dataloader__sampler__samples_per_epoch=40)

    def command(folder: Path, number: int) -> list[str]:
        return ['tools/train.py', str(folder / 'config.py'), '--work-dir', str(folder / 'work'), '--resume']

    def weights(folder: Path) -> dict[str, list]:
        from maskprop.engine.checkpoint import load_checkpoint_file
        from maskprop.engine.config import find_last_checkpoint

        state = load_checkpoint_file(find_last_checkpoint(folder / 'work'))['state_dict']
        return {name: tensor.tolist() for name, tensor in state.items()}

    def check(folder: Path) -> None:
        from maskprop.engine.checkpoint import load_checkpoint_file
        from maskprop.engine.config import find_last_checkpoint

        if (folder / 'work').is_dir() and (last := find_last_checkpoint(folder / 'work')):
            load_checkpoint_file(last)

    return Case(prepare, command, check, weights, anew=True)


def test() -> Case:
    """A test that draws, over the files of the run before."""

    def prepare(folder: Path) -> None:
        import torch
        from mmdet.registry import MODELS
        from mmengine.config import Config

        import maskprop

        maskprop.register_all()
        _config(folder)
        torch.manual_seed(0)
        model = MODELS.build(Config.fromfile(folder / 'config.py').model)
        torch.save(dict(state_dict=model.state_dict(), meta={}), folder / 'weights.pth')

    def command(folder: Path, number: int) -> list[str]:
        out = ['--out', str(folder / 'out/r.json'), '--metrics', str(folder / 'out/m.json')]
        out += ['--show-dir', str(folder / 'out/shown'), '--submission', str(folder / 'out/s.zip')]
        return ['tools/test.py', str(folder / 'config.py'), str(folder / 'weights.pth'), *out]

    def check(folder: Path) -> None:
        import cv2

        from maskprop.evaluation import read_results

        for file in folder.glob('out/*.json'):
            json.loads(file.read_text())
        for file in folder.glob('out/*.zip'):
            read_results(file)
        for file in folder.glob('out/shown/*.mp4'):
            assert cv2.VideoCapture(str(file)).read()[0], file

    return Case(prepare, command, check, lambda folder: fingerprints(folder / 'out', '*.json'))


def study() -> Case:
    """A study of a tiny model: set, detector, heads, tests and table."""
    from tests.ablation.tiny_study import write_study

    def prepare(folder: Path) -> None:
        _config(folder, train_cfg__max_epochs=1)
        rows = [dict(name='plain', variant=dict(fill=False)), dict(name='heads', train=dict(name='heads'))]
        write_study(folder, str(folder / 'config.py'), rows, seeds=(1,), synthetic=None)

    def command(folder: Path, number: int) -> list[str]:
        return ['tools/ablate.py', str(folder / 'tiny.py'), '--out', str(folder / 'out')]

    def check(folder: Path) -> None:
        for file in folder.glob('out/**/job.json'):
            json.loads(file.read_text())

    return Case(prepare, command, check, lambda folder: fingerprints(folder / 'out', 'table.csv'), anew=True)


CASES = dict(synthetic=synthetic, split=split, training=training, test=test, study=study)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('cases', nargs='*', metavar='CASE', help=f'of {", ".join(CASES)} (default: all)')
    parser.add_argument('--kills', type=int, default=30)
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    for name in args.cases or list(CASES):
        folder = Path(tempfile.mkdtemp())
        counts = kill(CASES[name](), folder, args.kills, random.Random(args.seed))
        shutil.rmtree(folder)
        print(f'{name}: {counts["kills"]} kills, {counts["ended_before"]} runs ended before theirs', flush=True)


if __name__ == '__main__':
    main()
