"""The tools that are killed: what is there before, the command, and what must hold after a kill."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.helpers import write_tiny_ytvis

DEMO = 'configs/demo/maskprop_mini_eight_shapes.py'
WEIGHTS = 'configs/demo/maskprop_mini_synthetic-5af2b428.safetensors'


@dataclass
class Case:
    """A tool that is killed.

    Attributes:
        prepare: makes what is there before, in a folder.
        command: the script and its arguments, for the folder and the number of the run, below ``runs``.
        check: raises AssertionError if what a kill left is damaged; gets what undisturbed runs make.
        result: what is compared at the end.
        runs: so many different runs take turns.
        anew: after a run that ended the next one begins from nothing: it would find the work done.
    """

    prepare: Callable[[Path], object]
    command: Callable[[Path, int], list[str]]
    check: Callable[[Path, list], None]
    result: Callable[[Path], dict]
    runs: int = 1
    anew: bool = False


def fingerprints(folder: Path, *patterns: str) -> dict[str, str]:
    """Of the files of a folder, but hidden ones."""
    files = [path for pattern in patterns or '*' for path in sorted(folder.rglob(pattern)) if path.is_file()]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if not any(part.startswith('.') for part in path.relative_to(folder).parts)
    }


def check_of_one_run(found: dict[str, str], wanted: list[dict[str, str]]) -> None:
    """Annotation files are those of one run, and so are all files beside them."""
    if any(name.endswith('.json') for name in found):
        runs = [all(content == run.get(name) for name, content in found.items()) for run in wanted]
        assert any(runs), 'a mixture of two runs'


def synthetic() -> Case:
    """Two sets of other seeds in one folder, in turn."""

    def command(folder: Path, number: int) -> list[str]:
        small = ['--videos', '6', '--val-videos', '3', '--frames', '6', '--size', '48x64', '--no-report']
        return ['tools/make_synthetic.py', str(folder / 'set'), *small, '--seed', str(number), '--overwrite']

    def result(folder: Path) -> dict:
        return fingerprints(folder / 'set', '*.json', '*.png', '*.jpg')

    return Case(
        lambda folder: None, command, lambda folder, wanted: check_of_one_run(result(folder), wanted), result, 2
    )


def split() -> Case:
    """Two splits of other seeds in one folder, in turn."""

    def prepare(folder: Path) -> None:
        write_tiny_ytvis(folder / 'set', videos=40, frames=3)

    def command(folder: Path, number: int) -> list[str]:
        file = str(folder / 'set/annotations/train.json')
        return ['tools/split_dataset.py', file, '--val-videos', '10', '--seed', str(number), '--overwrite']

    def result(folder: Path) -> dict:
        return fingerprints(folder / 'set/annotations', 'mini_*.json')

    return Case(prepare, command, lambda folder, wanted: check_of_one_run(result(folder), wanted), result, 2)


def _demo_set(folder: Path, videos: int, classes: int) -> None:
    """A small set of the demo's kind."""
    from maskprop.commands.make_synthetic import make_source, parse_args
    from maskprop.datasets.synthetic.writer import write_set

    args = parse_args([str(folder / 'set'), '--frames', '12', '--categories', str(classes)])
    write_set(args.out, make_source(args), dict(train=videos, val=2), 1, True, lambda *_: None)


def training() -> Case:
    """A training of the demo with two data workers that goes on after each kill."""

    def command(folder: Path, number: int) -> list[str]:
        options = ['train_dataloader.sampler.samples_per_epoch=8', 'train_dataloader.num_workers=2']
        options += ['train_dataloader.batch_size=1']
        options += ['default_hooks.checkpoint.by_epoch=False', 'default_hooks.checkpoint.interval=2']
        options += ['default_hooks.logger.interval=1']
        where = ['--data', str(folder / 'set/annotations/train.json'), '--work-dir', str(folder / 'work')]
        return ['tools/train.py', DEMO, *where, '--resume', '--seed', '0', '--cfg-options', *options]

    def weights(folder: Path) -> dict:
        from maskprop.engine.checkpoint import load_checkpoint_file
        from maskprop.engine.config import find_last_checkpoint

        content = load_checkpoint_file(find_last_checkpoint(folder / 'work'))
        assert content['meta']['iter'] == 8, content['meta']['iter']
        tensors = {f'optimizer.{i}.{k}': v for i, s in content['optimizer']['state'].items() for k, v in s.items()}
        return {
            name: hashlib.sha256(tensor.numpy().tobytes()).hexdigest()
            for name, tensor in {**content['state_dict'], **tensors}.items()
        }

    def check(folder: Path, wanted: list) -> None:
        from maskprop.engine.checkpoint import load_checkpoint_file
        from maskprop.engine.config import find_last_checkpoint

        work = folder / 'work'
        for file in work.glob('*.pth'):
            load_checkpoint_file(file)
        if (work / 'last_checkpoint').exists():
            assert find_last_checkpoint(work), 'no last checkpoint'

    return Case(lambda folder: _demo_set(folder, 6, 8), command, check, weights, anew=True)


def test() -> Case:
    """A test that draws, over the files of the run before."""

    def command(folder: Path, number: int) -> list[str]:
        out = ['--out', str(folder / 'out/r.json'), '--metrics', str(folder / 'out/m.json')]
        out += ['--show-dir', str(folder / 'out/shown'), '--submission', str(folder / 'out/s.zip')]
        where = ['--data', str(folder / 'set'), '--work-dir', str(folder / 'work')]
        return ['tools/test.py', 'configs/demo/maskprop_mini_synthetic.py', WEIGHTS, *where, *out]

    def result(folder: Path) -> dict:
        return fingerprints(folder / 'out', '*.json', '*.mp4', '*.png', '*.jpg')

    def check(folder: Path, wanted: list) -> None:
        import cv2

        from maskprop.evaluation import read_results

        found = result(folder)
        for name in ('r.json', 'm.json'):
            assert found.get(name) in (None, wanted[0][name]), f'{name} is damaged'
        for file in folder.glob('out/*.zip'):
            read_results(file)
        for file in folder.glob('out/shown/[!.]*.mp4'):  # not what was about to be written
            assert cv2.VideoCapture(str(file)).read()[0], file

    return Case(lambda folder: _demo_set(folder, 1, 5), command, check, result)


def study() -> Case:
    """A study of the demo's model: detector, heads, tests and table."""

    def prepare(folder: Path) -> None:
        from mmengine.config import Config

        from tests.ablation.tiny_study import write_study
        from tests.engine.tiny_config import MASKPROP, tiny_config

        root = write_tiny_ytvis(folder / 'set', videos=2)
        workers = dict(train_dataloader__num_workers=2, train_dataloader__persistent_workers=True)
        cfg: Config = tiny_config(root, folder / 'work', file=MASKPROP, **workers, train_cfg__max_epochs=1)
        cfg.pop('experiment_name')
        cfg.update(val_cfg=None, val_dataloader=None, val_evaluator=None)
        cfg.dump(str(folder / 'config.py'))
        rows = [dict(name='plain', variant=dict(fill=False)), dict(name='heads', train=dict(name='heads'))]
        write_study(folder, str(folder / 'config.py'), rows, seeds=(1,), synthetic=None)

    def command(folder: Path, number: int) -> list[str]:
        return ['tools/ablate.py', str(folder / 'tiny.py'), '--out', str(folder / 'out')]

    def result(folder: Path) -> dict:
        return fingerprints(folder / 'out', 'table.csv', 'plain.json', 'heads.json')  # table.md has times

    def check(folder: Path, wanted: list) -> None:
        for file in folder.glob('out/**/job.json'):
            json.loads(file.read_text())
        for name, content in result(folder).items():
            assert content == wanted[0][name], f'{name} is damaged'

    return Case(prepare, command, check, result, anew=True)


CASES = dict(synthetic=synthetic, split=split, training=training, test=test, study=study)
