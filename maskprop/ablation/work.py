"""What each kind of job does."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

from mmengine.config import Config

from maskprop.ablation.jobs import TRAININGS, Job
from maskprop.ablation.scheduler import JobFailed, Runner
from maskprop.ablation.settings import whole_batch
from maskprop.ablation.testing import test
from maskprop.utils.files import replace_when_done
from maskprop.utils.processes import child_environment

SYNTHETIC = ('-m', 'maskprop', 'synthetic')


@dataclass(frozen=True)
class Workers:
    """How jobs are done.

    Attributes:
        processes: of a training, by torchrun on this machine; its whole batch (``auto_scale_lr.base_batch_size``)
            is spread over them. A config that doesn't give it is trained by one.
    """

    processes: int = 1

    def runners(self) -> Mapping[str, Runner]:
        """What does the jobs of each level."""
        return dict(set=make_set, **dict.fromkeys(TRAININGS, self.train), test=test, table=tabulate)

    def train(self, job: Job) -> None:
        """Train by maskprop train, from the last checkpoint in the folder if there is one."""
        cfg: Config = deepcopy(job.details['cfg'])
        processes = self.processes if whole_batch(cfg) else 1
        scale_rate = spread_batch(cfg, processes)
        cfg.update(val_cfg=None, val_dataloader=None, val_evaluator=None)  # the tests come later
        cfg.default_hooks.checkpoint.max_keep_ckpts = -1 if job.level == 'detector' else 2
        save_epochs(cfg.default_hooks.checkpoint, job.details['outputs'])
        config = job.folder / 'config.py'
        with replace_when_done(config) as temporary:
            temporary.write_text(cfg.pretty_text, encoding='utf-8')
        command = [
            *('-m', 'maskprop', 'train'),
            str(config),
            '--work-dir',
            str(job.folder),
            '--seed',
            str(job.details['seed']),
        ]
        if processes > 1:
            launcher = ['-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={processes}']
            command = [*launcher, *command, '--launcher', 'pytorch']
        if scale_rate:
            command.append('--auto-scale-lr')
        run_python([*command, '--resume'], job.name)


def spread_batch(cfg: Config, processes: int) -> bool:
    """Spread the whole batch over processes, none of which gets more at once than the config gives it.

    Where that is not all, gradients of several iterations are accumulated, so that a step has the whole batch.
    Warm-ups, which are counted in iterations, are prolonged accordingly.

    Returns:
        whether a step has another number of samples than the learning rate is for, so that it must be scaled.
    """
    whole = whole_batch(cfg)
    if not whole:
        return False
    loader = cfg.train_dataloader
    loader.batch_size = max(min(loader.batch_size, whole // processes), 1)
    at_once = loader.batch_size * processes
    cfg.auto_scale_lr.enable = False
    if at_once != whole and (whole % at_once or cfg.train_cfg.get('max_iters')):
        print(f'a step has {at_once} samples, the learning rate is for {whole}: it is scaled')
        return True
    iterations = whole // at_once
    cfg.optim_wrapper.accumulative_counts = iterations
    if iterations > 1:
        print(f'a step has {whole} samples: {iterations} iterations of {at_once}')
    schedulers = cfg.get('param_scheduler') or []
    for scheduler in schedulers if isinstance(schedulers, list) else [schedulers]:
        if not scheduler.get('by_epoch', True):
            scheduler.update({key: iterations * scheduler[key] for key in ('begin', 'end') if key in scheduler})
    return False


def save_epochs(hook: Config, outputs: Sequence[str]) -> None:
    """Let a checkpoint hook write ``epoch_N.pth`` of all outputs, also if it saves by iteration or more rarely."""
    found = [re.fullmatch(r'epoch_(\d+)\.pth', name) for name in outputs]
    epochs = [int(match[1]) for match in found if match]
    step = hook.get('interval', -1)
    by_epoch = hook.get('by_epoch', True) and step > 0
    if epochs and not (by_epoch and not any(epoch % step for epoch in epochs[:-1])):  # the last is always saved
        hook.update(by_epoch=True, interval=1)


def make_set(job: Job) -> None:
    """Make a synthetic set by maskprop synthetic, or see that this very set is there."""
    command = [*SYNTHETIC, str(job.folder), *job.details['arguments'], '--no-report']
    # a set that is reused is never written over
    reused = (job.folder / 'annotations').is_symlink()
    run_python(command if reused else [*command, '--overwrite'], job.name)
    if 'pasted' in job.details:
        source = str(job.folder / 'annotations/train.json')
        command = [*SYNTHETIC, str(job.folder / 'pasted'), '--from', source, '--val-videos=0']
        run_python([*command, *job.details['pasted'], '--no-report', '--overwrite'], job.name)


def run_python(arguments: list[str], name: str) -> None:
    """Run a command of the package, ``-m maskprop NAME ...``, in a process of its own.

    Raises:
        JobFailed: it ended with an error.
    """
    print('$ python ' + ' '.join(arguments), flush=True)
    # one thread a process: small convolutions gain nothing from more
    env = {'OMP_NUM_THREADS': '1', **child_environment()}
    command, parent = [sys.executable, *arguments], os.getpid()
    if subprocess.run(command, env=env, preexec_fn=lambda: _end_with(parent)).returncode:
        raise JobFailed(f'{name}: this command failed: python {" ".join(arguments)}')


def _end_with(parent: int) -> None:
    """In a new process on Linux: end when ``parent`` ends, whose lock others may then take over."""
    if sys.platform == 'linux':
        # by SIGTERM, which torchrun passes on to its workers
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # ended already
            os._exit(1)


def tabulate(job: Job) -> None:
    """Score all rows and write table.md, table.csv and plot.png."""
    from maskprop.ablation.plots import write_plot
    from maskprop.ablation.tables import score_study, write_tables

    scores = score_study(job)
    write_plot(job.folder / 'plot.png', job.details['study'], scores)
    write_tables(job, scores)
