"""Studies of the tests: on the tiny set, with stand-ins for what jobs do or with models of the tests' size."""

from __future__ import annotations

import sys
from pathlib import Path

from maskprop.ablation.jobs import Job, plan
from maskprop.ablation.study import load_study

ROOT = Path(__file__).parents[2]
DEMO = str(ROOT / 'configs/demo/maskprop_tiny_synthetic.py')
NO_TIMINGS = type('NoTimings', (), {'add': lambda *_: None})()
ROWS = [
    dict(name='plain', variant=dict(fill=False)),
    dict(name='filled', variant=dict(fill=True), paper=dict(AP=46.6)),
    dict(name='short', variant=dict(clip_radius=1), train=dict(name='heads')),
    dict(name='shorter', variant=dict(clip_radius=0), train=dict(name='heads')),
    dict(
        name='true', train=dict(name='true_masks', options={'model.propagation_head.mask_source': 'ground_truth'})
    ),
]


def write_study(folder: Path, base: str, rows: list[dict] = ROWS, name: str = 'tiny', **keys) -> Path:
    """A study file that inherits ``base``, with ``study`` keys in place of the defaults."""
    keys = {'seeds': (1, 2), **keys}
    study = dict(title='A study of the tests', bootstraps=20, detector=base, rows=rows, **keys)
    file = folder / f'{name}.py'
    file.write_text(f'"""A study."""\n\n_base_ = [{base!r}]\n\nstudy = {study!r}\n')
    return file


def plan_study(file: Path, out: Path) -> list[Job]:
    return plan([load_study(file)], out)


def make_outputs(job: Job, text: str = 'made') -> None:
    """Stands in for what a job does."""
    for name in job.details['outputs']:
        path = job.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def call(tool, monkeypatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, 'argv', ['ablate.py', *map(str, arguments)])
    tool.main()
