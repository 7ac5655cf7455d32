"""Demo trainings that exist, in place of the detectors that a study would train."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

from maskprop.ablation.jobs import Job
from maskprop.ablation.settings import differences, training_settings
from maskprop.engine.config import ConfigError


def reuse_demos(demos: Sequence[Path], jobs: Sequence[Job]) -> list[str]:
    """Link sets and detectors of ``make demo`` (or tools/demo.py --seed S --out DIR) where the jobs expect them.

    Args:
        demos: their folders, with ``train``.
        jobs: of the studies; those of a seed that no demo has are left alone.

    Returns:
        what was linked, as sentences.

    Raises:
        ConfigError: a folder is no demo's, or was trained with other settings than the study's detector.
    """
    said = []
    for demo in demos:
        cfg = _trained_config(demo)
        seed = cfg.get('randomness', {}).get('seed')
        for job in jobs:
            if job.level != 'detector' or job.details['seed'] != seed or job.name.endswith('_all_epochs'):
                continue
            if (job.folder / 'job.json').is_file():
                continue
            for of_set in job.needs:
                said += _link_set(of_set, _find_set(demo, cfg))
            said += _link_detector(job, demo, cfg)
    return said


def _trained_config(demo: Path) -> Config:
    files = sorted((demo / 'train').glob('*.py'))
    if not files:
        raise ConfigError(f'--reuse-demo {demo}: no train/*.py, so this is no folder of tools/demo.py')
    return Config.fromfile(files[0])


def _find_set(demo: Path, cfg: Config) -> Path:
    """The set that a demo was trained on; its name may be seen from the folder in which the demo was started."""
    root = cfg.train_dataloader.dataset.data_root
    tried = [base / root for base in (Path.cwd(), *demo.resolve().parents)]
    for folder in tried:
        if (folder / 'annotations' / 'train.json').is_file():
            return folder.resolve()
    raise ConfigError(f'--reuse-demo {demo}: its set {root} is neither here nor in a folder above the demo')


def _link_set(job: Job, folder: Path) -> list[str]:
    if job.folder.exists():
        return []
    job.folder.parent.mkdir(parents=True, exist_ok=True)
    # the folder is the job's own, with its record; what is in it is the demo's
    job.folder.mkdir()
    for name in ('annotations', 'JPEGImages'):
        (job.folder / name).symlink_to(folder / name, target_is_directory=True)
    return [f'{job.name}: the set {folder}']


def _link_detector(job: Job, demo: Path, cfg: Config) -> list[str]:
    changed = differences(training_settings(cfg), job.settings['config'])
    if changed:
        raise ConfigError(
            f'--reuse-demo {demo}: not trained with the settings of the study: {"; ".join(changed[:5])}'
        )
    checkpoints = sorted((demo / 'train').glob('epoch_*.pth'))
    if job.details['checkpoint'] not in [file.name for file in checkpoints]:
        raise ConfigError(f'--reuse-demo {demo}: no train/{job.details["checkpoint"]}. Has its training ended?')
    job.folder.mkdir(parents=True, exist_ok=True)
    for file in checkpoints:
        (job.folder / file.name).unlink(missing_ok=True)
        (job.folder / file.name).symlink_to(file.resolve())
    seconds = _seconds(demo)
    job.write_record(seconds, done=True, reused=str(demo.resolve()))
    return [f'{job.name}: the training {demo.resolve()}']


def _seconds(demo: Path) -> float:
    """What the demo says that its training took; 0 where it says nothing."""
    try:
        return float(json.loads((demo / 'summary.json').read_text())['seconds']['train'])
    except (FileNotFoundError, KeyError, ValueError):
        return 0.0
