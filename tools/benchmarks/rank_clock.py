"""Hooks that write what each process of a training or test did, and when; used by scale_out.py."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

OUT = 'RANK_CLOCK_OUT'  # environment variable: the folder that rank_<n>.json is written to


@HOOKS.register_module()
class RankClock(Hook):
    """Keeps the end of each iteration, how long all other hooks took after it, and the samples.

    Writes after training: ``ends`` and ``hooks`` (seconds, by iteration), ``samples`` (the frames of each, and
    whether flipped) and ``weights``, sums that are equal on all ranks if the weights are. Writes after a test:
    ``frames`` and ``stages`` (seconds).
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.start = 0.0
        self.ends: list[float] = []
        self.hooks: list[float] = []
        self.samples: list[list] = []

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        self.ends.append(time.perf_counter())
        self.hooks.append(self.ends[-1] - self.start)
        for sample in data_batch['data_samples']:
            metas = [frame.metainfo for frame in sample.video_data_samples]
            self.samples.append([*(str(meta['img_path']) for meta in metas), bool(metas[0]['flip'])])

    def after_train(self, runner: Runner) -> None:
        weights = [float(parameter.detach().double().sum()) for parameter in runner.model.parameters()]
        _write(ends=self.ends, hooks=self.hooks, samples=self.samples, weights=weights)

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        _write(frames=len(runner.test_dataloader), stages=dict(runner.test_loop.clock.seconds))


@HOOKS.register_module()
class RankClockStart(Hook):
    """Tells :class:`RankClock` when the model was done and the first of the other hooks began."""

    priority = 'HIGHEST'

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        clock = next(hook for hook in runner.hooks if isinstance(hook, RankClock))
        clock.start = time.perf_counter()


def _write(**content: Any) -> None:
    Path(os.environ[OUT], f'rank_{get_rank()}.json').write_text(json.dumps(content))
