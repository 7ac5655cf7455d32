"""Hooks: random states kept in checkpoints, and a check that a checkpoint fits the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from mmengine.dist import all_gather_object, get_dist_info, is_main_process
from mmengine.fileio import BaseStorageBackend
from mmengine.hooks import CheckpointHook, Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn
from torch.distributed.tensor import DTensor

from maskprop.engine.checkpoint import CheckpointError, saved_classes
from maskprop.engine.checkpoint_content import check_content
from maskprop.engine.state_dicts import find_weights, list_some
from maskprop.engine.weights import complete_weights, frozen_at_random, weights_to_begin_with
from maskprop.utils.files import name_in_errors, replace_when_done
from maskprop.utils.random_state import get_random_state, seed_all, set_random_state


@HOOKS.register_module()
class RandomStateHook(Hook):
    """Saves every process's random states in the checkpoint and puts them back on ``--resume``.

    With :class:`~maskprop.engine.loops.VideoTrainLoop`, whose data do not depend on these states, a training
    that was killed and resumed then reaches the weights of an uninterrupted one, bit for bit. mmengine's
    checkpoints hold no random state.

    The states are put back right before the first iteration, after everything that draws numbers at start-up. If
    the number of processes changed they are useless: the hook says so and seeds from (seed, rank, iteration).
    Of batch norm in training mode, a checkpoint within an epoch has the statistics of rank 0 alone, which are the
    mean of all processes' only at an epoch's end.
    """

    # Before CheckpointHook (VERY_LOW), which saves what is gathered here; after all that could draw numbers.
    priority = 'LOW'

    def __init__(self) -> None:
        self._gathered: tuple[int, list] | None = None  # (iterations done, states by rank)
        self._loaded: dict | None = None

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        # Runner.save_checkpoint runs on rank 0 only, so all ranks must meet before it is called.
        if any(_saves_after_iter(runner, hook) for hook in runner.hooks):
            self._gather(runner.iter + 1)

    def after_train_epoch(self, runner: Runner) -> None:
        self._gather(runner.iter)

    def _gather(self, iterations: int) -> None:
        self._gathered = (iterations, all_gather_object(get_random_state()))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        iterations = checkpoint['meta']['iter']
        if self._gathered is not None and self._gathered[0] == iterations:
            states = self._gathered[1]
        else:  # a save at another time than CheckpointHook's: only this process can be asked
            states = [get_random_state()]
        checkpoint['random_states'] = states

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        self._loaded = dict(states=checkpoint.pop('random_states', None))

    def before_train(self, runner: Runner) -> None:
        if runner.iter == 0:  # the checkpoint gave initial weights (load_from); nothing is resumed
            self._loaded = None

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        if self._loaded is None:
            return
        states, self._loaded = self._loaded['states'], None
        rank, world_size = get_dist_info()
        if states is not None and len(states) == world_size:
            set_random_state(states[rank])
            return
        found = f'random states of {len(states or ())} process(es)'
        runner.logger.warning(
            f'The checkpoint holds {found}, this training has {world_size}. It goes on with random numbers '
            f'seeded from (seed {runner.seed}, rank, iteration {runner.iter}), so its weights will not equal '
            'those of an uninterrupted training. To have that, resume with as many processes as before.'
        )
        seed_all(runner.seed, rank, runner.iter)


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's, but a checkpoint has its name when it is whole, and the one that it replaces goes after that.

    So one is there whenever the training is killed, with ``max_keep_ckpts=1`` and of the best ones too. Where a
    validation does not give the metric of ``save_best``, the hook says so and keeps no best one.
    """

    file_backend: Any

    def before_train(self, runner: Runner) -> None:
        super().before_train(runner)
        best = getattr(self, 'best_ckpt_path', None)
        if best and not self.file_backend.isfile(best):  # resumed in a folder that was moved
            self.best_ckpt_path = self.file_backend.join_path(self.out_dir, Path(best).name)

    def _save_checkpoint_with_step(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        note = Path(runner.work_dir, 'last_checkpoint')  # written last
        with self._removing_late(), _saving_whole(runner), name_in_errors(note):
            super()._save_checkpoint_with_step(runner, *args, **kwargs)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        lacking = [key for key in self.save_best or () if key != 'auto' and key not in metrics]
        if lacking:
            runner.logger.warning(
                f'No best checkpoint is kept: default_hooks.checkpoint.save_best is {", ".join(lacking)}, and the '
                f'validation gives {", ".join(metrics)}'
            )
            return
        with self._removing_late(), _saving_whole(runner):
            super()._save_best_checkpoint(runner, metrics)

    @contextmanager
    def _removing_late(self) -> Iterator[None]:
        backend, late = self.file_backend, _LateRemovals(self.file_backend)
        self.file_backend = late
        try:
            yield
        finally:
            self.file_backend = backend
        for remove, path in late.pending:
            remove(path)


@contextmanager
def _saving_whole(runner: Runner) -> Iterator[None]:
    """Checkpoints on this machine's disks are written under another name first, and then given their own."""
    save = runner.save_checkpoint

    def save_whole(out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        if '://' in str(out_dir):
            save(out_dir, filename, *args, **kwargs)
            return
        unfinished = f'.{filename}.tmp'  # of all processes
        file = replace_when_done(Path(out_dir, filename), unfinished) if is_main_process() else nullcontext()
        with file:
            save(out_dir, unfinished, *args, **kwargs)

    runner.save_checkpoint = save_whole
    try:
        yield
    finally:
        runner.save_checkpoint = save


class _LateRemovals:
    """A file backend that keeps in mind what it is to remove."""

    def __init__(self, backend: BaseStorageBackend) -> None:
        self._backend = backend
        self.pending: list[tuple[Callable[[str], None], str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        self.pending.append((self._backend.remove, path))

    def rmtree(self, path: str) -> None:
        self.pending.append((self._backend.rmtree, path))


def _saves_after_iter(runner: Runner, hook: Hook) -> bool:
    """Whether this CheckpointHook saves at the end of the current iteration (its own rule)."""
    if not isinstance(hook, CheckpointHook) or hook.by_epoch:
        return False
    due = hook.every_n_train_iters(runner, hook.interval, hook.save_begin)
    return due or (hook.save_last and hook.is_last_train_iter(runner))


@HOOKS.register_module()
class CheckpointFitHook(Hook):
    """Refuses a checkpoint whose weights don't fit the model.

    mmengine only warns and goes on with random weights in the places that didn't fit. Weights that the model
    has no place for are left to that warning. At test, those of a detector alone are taken as ``model.detector``.
    Class names that differ from the data set's give a warning of their own.

    Raises:
        CheckpointError: weights that the model needs are missing or have another shape.
    """

    priority = 'VERY_HIGH'

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        check_content(checkpoint, runner._load_from, resume=runner._resume)
        model = _unwrapped(runner)
        if runner._resume:
            found = find_weights(checkpoint, f'checkpoint {runner._load_from}')
        else:
            found = checkpoint['state_dict'] = complete_weights(
                model, checkpoint, runner._load_from, runner.logger.info
            )
        problems = _misfits(model.state_dict(), found)
        self._compare_classes(runner, checkpoint)
        if problems:
            listed = '; '.join(problems[:5]) + (f' ... and {len(problems) - 5} more' if len(problems) > 5 else '')
            raise CheckpointError(
                f'the checkpoint does not fit the model of this config: {listed}. Use the config that it was '
                'trained with (its text is in the checkpoint, under meta/cfg) and a data set with the same classes'
            )

    @staticmethod
    def _compare_classes(runner: Runner, checkpoint: dict) -> None:
        trained = saved_classes(checkpoint).get('classes')
        current = (runner.visualizer.dataset_meta or {}).get('classes')
        if trained and current and list(trained) != list(current):
            runner.logger.warning(
                f'The checkpoint was trained on {len(trained)} classes {list(trained)}, the data set has '
                f'{len(current)}: {list(current)}. Labels are matched by their place in these lists.'
            )


@HOOKS.register_module()
class InitialWeightsHook(Hook):
    """Says what a training takes of ``load_from``, and refuses a checkpoint that would leave it at random weights.

    mmengine takes what fits, be it nothing, and only warns. What fits in part, as with another number of classes,
    is taken here too. See :func:`~maskprop.engine.weights.weights_to_begin_with`.

    Args:
        partial: take what fits, however little (the config's key ``load_partial``).

    Raises:
        CheckpointError: too little of it fits, or a part that is not trained has weights from nowhere.
    """

    priority = 'VERY_HIGH'

    def __init__(self, partial: bool = False) -> None:
        self.partial = partial
        self._given: set[str] = set()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        check_content(checkpoint, runner._load_from)
        model = _unwrapped(runner)
        fit = weights_to_begin_with(model, checkpoint, runner._load_from, self.partial, runner.logger.info)
        self._given = set(fit.kept)
        # with the model's own for the others: nothing is left for mmengine to list name by name
        own = {key: value for key, value in model.state_dict().items() if not isinstance(value, DTensor)}
        checkpoint['state_dict'] = {**own, **fit.kept}

    def before_train(self, runner: Runner) -> None:
        model = _unwrapped(runner)
        if lacking := frozen_at_random(model, getattr(model, 'frozen', ()), self._given):
            raise CheckpointError(
                f'model.frozen={tuple(model.frozen)}: {len(lacking)} weights of these parts come from nowhere, as '
                f'load_from={runner._load_from} and their init_cfg lack them or have them in another shape: '
                f'{list_some(lacking)}. Take a checkpoint that has them (with as many classes), or train the part'
            )


def _unwrapped(runner: Runner) -> nn.Module:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def _misfits(wanted: dict, found: dict) -> list[str]:
    problems = []
    for name, tensor in wanted.items():
        if name.endswith('num_batches_tracked'):
            continue
        if name not in found:
            problems.append(f'{name} is missing')
        elif tuple(found[name].shape) != tuple(tensor.shape):
            problems.append(f'{name} is {tuple(found[name].shape)}, the model has {tuple(tensor.shape)}')
    return problems
