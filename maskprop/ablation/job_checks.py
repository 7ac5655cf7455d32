"""Jobs of a study tried before any is done: their models, their streams, the annotations of their tests."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

from maskprop.ablation.jobs import Job, evaluators
from maskprop.ablation.settings import settings_key
from maskprop.datasets.json_files import read_json
from maskprop.engine.config import ConfigError
from maskprop.engine.model_check import check_model


def check_tests(jobs: Sequence[Job], may_lack: bool = False) -> list[str]:
    """See that the sets of the configs' own data can be scored, before anything is trained.

    Args:
        may_lack: annotation files that are not there yet are no error.

    Returns:
        annotation files that are not there.

    Raises:
        ConfigError: an annotation file is missing or has no annotations.
    """
    tests = [job for job in jobs if job.level == 'test' and job.details['study'].synthetic is None]
    several = [part for job in tests for part in evaluators(job.details['cfg'], 'test')]
    files = sorted({str(part['ann_file']) for part in several if 'ann_file' in part})
    lacking = [file for file in files if not Path(file).is_file()]
    if lacking and not may_lack:
        raise ConfigError(f'test_evaluator.ann_file: {lacking[0]}: no such file')
    for file in [file for file in files if file not in lacking]:
        data = read_json(file)
        if not isinstance(data, dict) or not data.get('annotations'):
            raise ConfigError(
                f'test_evaluator.ann_file: {file} has no annotations, so no row can be scored. Set it, '
                'test_dataloader.dataset.ann_file and test_dataloader.dataset.data_prefix.img_path in the study '
                'file to a set that has some, as mini_val: docs/ablations.md'
            )
    return lacking


def check_models(jobs: Sequence[Job]) -> None:
    """See that all models can be built, and that they start the rows' streams, before anything is trained.

    Raises:
        ConfigError: one can't; the message names study, job or row, and key.
    """
    done: set[str] = set()
    for job in jobs:
        study = job.details['study']
        if 'cfg' not in job.details or job.details['seed'] != study.seeds[0]:  # those of others are equal
            continue
        cfg = job.details['cfg']
        rows = {
            f'row {name}: variant': options
            for name, options in job.details.get('rows', {}).items()
            if not job.details['nets'][name]  # whose files are not there yet
        }
        key = settings_key([cfg.model, rows])
        if key in done:
            continue
        done.add(key)
        try:
            check_model(deepcopy(cfg), rows)
        except (ConfigError, ImportError) as error:
            raise ConfigError(f'{study.file}: {job.name}: {error}') from error
