"""Trainings that go on with another number of processes, batch size or accumulation."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from mmengine.hooks import Hook
from mmengine.optim import ReduceOnPlateauParamScheduler, _ParamScheduler
from mmengine.runner import Runner


class ChangedSetupHook(Hook):
    """Keeps what a step and an epoch are, and on ``--resume`` leaves out rates of a checkpoint with others.

    mmengine loads learning rates and schedules over those of the config, also where the rate was just scaled to
    another batch (``--auto-scale-lr``) or an epoch has another number of iterations now. Here they stay those of
    the config; :meth:`catch_up` then brings them to where the training is. Momentum and the like are loaded.
    """

    priority = 'VERY_HIGH'
    KEYS = ('iters_per_epoch', 'accumulative_counts')  # in the message hub, hence in checkpoints

    def __init__(self) -> None:
        self._changed = False

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if not runner._resume or 'optimizer' not in checkpoint:  # weights only
            return
        kept = (checkpoint.get('message_hub') or {}).get('runtime_info') or {}
        now = dict(zip(self.KEYS, self._setup(runner), strict=True))
        self._changed = any(int(kept.get(key, now[key])) != now[key] for key in self.KEYS)
        if not self._changed:
            return
        groups = runner.optim_wrapper.optimizer.param_groups
        before = checkpoint['optimizer']['param_groups']
        for saved, fresh in zip(before, groups, strict=False):  # whether they are as many is seen when they load
            saved.update((key, value) for key, value in fresh.items() if key != 'params')
        checkpoint['param_schedulers'] = [scheduler.state_dict() for scheduler in _schedulers(runner)]

    def keep(self, runner: Runner) -> None:
        """From now on checkpoints say what a step and an epoch are."""
        for key, value in zip(self.KEYS, self._setup(runner), strict=True):
            runner.message_hub.update_info(key, value)

    def catch_up(self, runner: Runner, epochs: int, iterations: int) -> None:
        """Bring the rates to where they would be now, had the training had this setup from its start.

        Args:
            epochs: that are done.
            iterations: that are done, those of the epochs among them.
        """
        if not self._changed:
            return
        # counted anew: losses are divided by the iterations of a step, which may be fewer in the last
        runner.optim_wrapper.initialize_count_status(runner.model, iterations, runner.max_iters)
        length = len(runner.train_dataloader)
        schedulers = [s for s in _schedulers(runner) if not isinstance(s, ReduceOnPlateauParamScheduler)]
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # the optimizer has made no step yet
            for iteration in range(1, iterations + 1):  # in the order of ParamSchedulerHook
                _step(s for s in schedulers if not s.by_epoch)
                if iteration % length == 0 and iteration <= epochs * length:
                    _step(s for s in schedulers if s.by_epoch)
        runner.logger.warning(
            'A step or an epoch is not what it was when the checkpoint was saved (processes, batch size, '
            "accumulation or data set): learning rates and schedules are this config's, at "
            f'{runner.optim_wrapper.optimizer.param_groups[0]["lr"]:.3g} now.'
        )

    @staticmethod
    def _setup(runner: Runner) -> tuple[Any, ...]:
        return len(runner.train_dataloader), runner.optim_wrapper._accumulative_counts


def _schedulers(runner: Runner) -> list[_ParamScheduler]:
    return list(runner.param_schedulers or [])


def _step(schedulers: Iterable[_ParamScheduler]) -> None:
    for scheduler in schedulers:
        scheduler.step()
