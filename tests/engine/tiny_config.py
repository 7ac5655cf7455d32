"""Configs that train and test in seconds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from yapf.yapflib import yapf_api

CONFIGS = Path(__file__).parents[1] / 'configs'
STAND_IN = CONFIGS / 'tiny_stand_in.py'
MASKPROP = CONFIGS / 'tiny_maskprop.py'
_runs = itertools.count()


def tiny_config(root: str | Path, work_dir: str | Path, file: str | Path = STAND_IN, **options: Any) -> Config:
    """A config on the set at ``root``, with other keys overridden (``train_cfg__max_epochs=3``)."""
    cfg = Config.fromfile(str(file))
    cfg.merge_from_dict({key.replace('__', '.'): value for key, value in options.items()})
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.data_root = f'{root}/'
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        evaluator.ann_file = f'{root}/annotations/val.json'
    cfg.work_dir = str(work_dir)
    # mmengine keeps loggers and message hubs by this name and by the second of the start
    cfg.experiment_name = f'tiny_{next(_runs)}'
    return cfg


@contextmanager
def quick_runs() -> Iterator[None]:
    """One thread, which is faster for models this small, and config texts that yapf has not made pretty."""
    threads, pretty = torch.get_num_threads(), yapf_api.FormatCode
    torch.set_num_threads(1)
    yapf_api.FormatCode = lambda text, **kwargs: (text, False)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        yapf_api.FormatCode = pretty


class Killed(Exception):
    pass


class KillHook(Hook):
    """Ends the training after so many iterations, checkpoint and all."""

    priority = 'LOWEST'

    def __init__(self, iterations: int) -> None:
        self.iterations = iterations

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        if runner.iter + 1 == self.iterations:
            raise Killed
