"""Demo trainings that exist, in place of the detectors that a study would train."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

from maskprop.ablation.jobs import Job, single_sets
from maskprop.ablation.settings import differences, files_key, training_settings, whole_batch
from maskprop.engine.config import ConfigError, read_config_file


def reuse_demos(demos: Sequence[Path], jobs: Sequence[Job], link: bool = True) -> list[str]:
    """Link sets and detectors of ``maskprop demo-full --seed S --out DIR`` where the jobs expect them.

    Args:
        demos: their folders, with ``train``.
        jobs: of the studies; those of a seed that no demo has are left alone.
        link: False: only say what would be linked.

    Returns:
        what was linked, as sentences.

    Raises:
        ConfigError: a folder is no demo's, or was trained with other settings, in other batches or on another set
            than the study's detector.
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
            note = _check_training(job, demo, cfg)
            for of_set in job.needs:
                said += _link_set(of_set, _find_set(demo, cfg), link)
            if link:
                _link_detector(job, demo)
            said.append(f'{job.name}: the training {demo.resolve()}{note}')
    return said


def _trained_config(demo: Path) -> Config:
    files = sorted((demo / 'train').glob('*.py'))
    if not files:
        raise ConfigError(f'--reuse-demo {demo}: no train/*.py, so this is no folder of maskprop demo-full')
    return read_config_file(files[0])


def _find_set(demo: Path, cfg: Config) -> Path:
    """The set that a demo was trained on; its name is seen from the folder of the repository that made it."""
    root = next(single_sets(cfg.train_dataloader.dataset)).get('data_root') or ''
    tried = [base / root for base in (*demo.resolve().parents, Path.cwd())]
    for folder in tried:
        if (folder / 'annotations' / 'train.json').is_file():
            return folder.resolve()
    raise ConfigError(f'--reuse-demo {demo}: its set {root} is neither here nor in a folder above the demo')


def _check_training(job: Job, demo: Path, cfg: Config) -> str:
    """Raise ConfigError if a demo's training isn't the job's; returns what is not known of it."""
    own_data = job.details['study'].synthetic is None
    changed = [
        text
        for text in differences(training_settings(cfg, own_data), job.settings['config'])
        if not re.search(r'num_classes: \d+ before, now not set$', text)  # filled in from the data
    ]
    if changed:
        raise ConfigError(
            f'--reuse-demo {demo}: not trained with the settings of the study: {"; ".join(changed[:5])}'
        )
    if not (demo / 'train' / job.details['checkpoint']).is_file():
        raise ConfigError(f'--reuse-demo {demo}: no train/{job.details["checkpoint"]}. Has its training ended?')
    processes, each, whole = _processes(demo), cfg.train_dataloader.batch_size, whole_batch(cfg)
    if processes is None:
        return '; its log is gone, so the number of its processes, and with it the whole batch, is not known'
    if whole and processes * each != whole:
        raise ConfigError(
            f'--reuse-demo {demo}: trained in batches of {processes * each} ({processes} processes x {each}), the '
            f'study means {whole}. Train it with --processes {whole // each}, or leave it out'
        )
    return ''


def _processes(demo: Path) -> int | None:
    """Processes of a training, by its log."""
    logs = sorted((demo / 'train').glob('*/*.log'))
    found = logs and re.search(r'GPU number: (\d+)', logs[-1].read_text(errors='replace'))
    return int(found[1]) if found else None


def _link_set(job: Job, folder: Path, link: bool) -> list[str]:
    if any((job.folder / name).exists() for name in ('annotations', 'JPEGImages')):
        if _set_key(job.folder) != _set_key(folder):
            raise ConfigError(
                f'{job.folder} is another set than {folder}, on which the demo was trained: their annotations '
                'differ. Leave --reuse-demo out, or remove that folder'
            )
        said = []
    else:
        said = [f'{job.name}: the set {folder}']
        # the folder is the job's own, with its record; what is in it is the demo's
        for name in ('annotations', 'JPEGImages') if link else ():
            job.folder.mkdir(parents=True, exist_ok=True)
            (job.folder / name).symlink_to(folder / name, target_is_directory=True)
    if link and not job.record().get('run'):
        job.write_record(0.0, done=False, run=_set_key(folder))  # the job itself sees whether it is its set
    return said


def _set_key(folder: Path) -> str | None:
    files = [folder / 'annotations' / f'{split}.json' for split in ('train', 'val')]
    return files_key(files) if all(file.is_file() for file in files) else None


def _link_detector(job: Job, demo: Path) -> None:
    job.folder.mkdir(parents=True, exist_ok=True)
    for file in sorted((demo / 'train').glob('epoch_*.pth')):
        (job.folder / file.name).unlink(missing_ok=True)
        (job.folder / file.name).symlink_to(file.resolve())
    job.write_record(_seconds(demo), done=True, reused=str(demo.resolve()))


def _seconds(demo: Path) -> float:
    """What the demo says that its training took; 0 where it says nothing."""
    try:
        return float(json.loads((demo / 'summary.json').read_text())['seconds']['train'])
    except (FileNotFoundError, KeyError, RecursionError, TypeError, ValueError):
        return 0.0
