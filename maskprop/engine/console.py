"""What a training and a test show on screen: what is done, in a few lines; progress; and what to do next."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import CheckpointHook, Hook, LoggerHook
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop, FlexibleRunner, Runner

from maskprop.engine.checks import describe, videos_of
from maskprop.utils.progress import progress_bar
from maskprop.utils.quiet import is_quiet, say_on_screen
from maskprop.utils.text import plural

_BAR = '{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{postfix}'
_LINE = '{desc}: {n_fmt}/{total_fmt}{postfix}'


def show_on_screen(runner: Runner | FlexibleRunner) -> None:
    """Let the first process show progress, in place of mmengine's lines, which go to the log file alone."""
    if is_quiet() and is_main_process():
        runner.register_hook(ConsoleHook(), 'LOWEST')


class ConsoleHook(Hook):
    """Shows what is trained or tested, progress, and the results."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._frames: Any = None

    def before_train(self, runner: Runner) -> None:
        say_on_screen(as_block(training_facts(runner)))

    def before_train_epoch(self, runner: Runner) -> None:
        loop = runner.train_loop
        title, total, done = 'training', runner.max_iters, runner.iter
        if isinstance(loop, EpochBasedTrainLoop):
            title, total = f'epoch {runner.epoch + 1}/{runner.max_epochs}', len(loop.dataloader)
            done -= runner.epoch * total
        self._bar = _open_bar(title, total, done, every=_log_interval(runner))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        first = self._bar.n == self._bar.initial
        self._bar.set_postfix_str(_numbers(runner), refresh=False)
        self._bar.update()
        if first and self._bar.last_print_n < self._bar.n:  # not shown yet
            self._bar.refresh()

    def after_train_epoch(self, runner: Runner) -> None:
        self._bar.close()

    def after_train(self, runner: Runner) -> None:
        say_on_screen('\n'.join(closing_words(runner)))

    def before_test(self, runner: Runner) -> None:
        say_on_screen(as_block(test_facts(runner)))

    def before_val_epoch(self, runner: Runner) -> None:
        self._frames = _open_bar('validation', len(runner.val_dataloader), unit='frame')

    def before_test_epoch(self, runner: Runner) -> None:
        self._frames = _open_bar('test', len(runner.test_dataloader), unit='frame')

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self._count_frame()

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self._count_frame()

    def _count_frame(self) -> None:
        self._frames.update()
        if self._frames.n == self._frames.total:  # the table comes before the epoch's end
            self._frames.close()

    def after_val_epoch(self, runner: Runner, metrics: Any = None) -> None:
        self._frames.close()  # of a process without a frame

    def after_test_epoch(self, runner: Runner, metrics: Any = None) -> None:
        self._frames.close()

    def after_test(self, runner: Runner) -> None:
        say_on_screen(f'log: {runner.logger.log_file}')


def _open_bar(title: str, total: int, done: int = 0, unit: str = 'it', every: int | None = None) -> Any:
    if unit == 'frame':
        return progress_bar(desc=title, total=total, unit=unit, leave=False)
    return progress_bar(desc=title, total=total, initial=done, bar_format=_BAR, line=_LINE, every=every)


def _log_interval(runner: Runner) -> int:
    """Iterations between two lines of the log: ``default_hooks.logger.interval``."""
    return next((hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)), 50)


def _numbers(runner: Runner) -> str:
    """Loss (the mean of the last 50 iterations), time left and memory."""
    hub = runner.message_hub
    seconds = int(hub.get_info('eta') or 0)
    left = f'{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}'
    known = 'train/loss' in hub.log_scalars  # of what models of others log, there may be none
    loss = f'loss {hub.get_scalar("train/loss").mean(50):.4g}, ' if known else ''
    return f'{loss}{left} left, {_memory()}'


def _memory() -> str:
    """The most that was taken so far: of the GPU, without one by this process."""
    if torch.cuda.is_available():
        return f'{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB of GPU memory'
    unit = 1 if sys.platform == 'darwin' else 2**10
    return f'{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30:.1f} GiB of memory'


def as_block(facts: Sequence[tuple[str, str]]) -> str:
    """Names and values in two columns, a line each."""
    width = max(len(name) for name, _ in facts)
    return '\n'.join(f'{name:{width}}  {value}' for name, value in facts)


def training_facts(runner: Runner) -> list[tuple[str, str]]:
    """(name, value) of what a user wants to see before hours of training."""
    loop = runner.train_loop
    length = plural(runner.max_iters, 'iteration')
    if isinstance(loop, EpochBasedTrainLoop):
        length = f'{plural(runner.max_epochs, "epoch")} of {plural(len(loop.dataloader), "iteration")}'
    validation = _data(runner.val_dataloader.dataset) if runner.val_loop else 'none'
    return [
        ('config', str(runner.cfg.filename)),
        ('training set', _data(loop.dataloader.dataset)),
        ('validation set', validation),
        ('model', _model(runner)),
        ('weights', _weights(runner)),
        ('devices', _devices()),
        ('batch', _batch(runner)),
        ('length', length),
        ('learning rate', _rate(runner)),
        ('work folder', f'{runner.work_dir} (checkpoints, the whole config)'),
        ('log', str(runner.logger.log_file)),
    ]


def test_facts(runner: Runner) -> list[tuple[str, str]]:
    """(name, value) of what a user wants to see before a test."""
    return [
        ('config', str(runner.cfg.filename)),
        ('test set', _data(runner.test_dataloader.dataset)),
        ('model', _model(runner)),
        ('weights', str(runner._load_from)),
        ('devices', _devices()),
    ]


test_facts.__test__ = False  # type: ignore[attr-defined]  # no test of pytest's


def _data(dataset: Any) -> str:
    parts = getattr(dataset, 'datasets', [dataset])
    videos = [frames for part in parts if hasattr(part, 'get_data_info') for _, frames in videos_of(part).values()]
    inner = ', '.join(describe(part) for part in parts)
    counts = plural(len(dataset), 'sample')
    if videos:
        counts = f'{plural(len(videos), "video")}, {plural(sum(videos), "frame")}'
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    return f'{inner}: {counts}' + (f', {plural(len(classes), "class")}' if classes else '')


def _model(runner: Runner) -> str:
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    whole, trained = sum(size for size, _ in sizes), sum(size for size, wanted in sizes if wanted)
    frozen = f', {_millions(trained)} of them trained' if trained != whole and model.training else ''
    return f'{type(model).__name__}, {_millions(whole)} parameters{frozen}'


def _millions(count: int) -> str:
    return f'{count / 1e6:.3g} M'


def _weights(runner: Runner) -> str:
    if not runner._load_from:
        return 'random, or those of init_cfg (no load_from)'
    if runner._resume:
        return f'continued from {runner._load_from} at epoch {runner.epoch + 1}, iteration {runner.iter + 1}'
    return str(runner._load_from)


def _devices() -> str:
    processes = get_world_size()
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else 'CPU'
    return name if processes == 1 else f'{name}, {processes} processes'


def _batch(runner: Runner) -> str:
    one, processes = runner.train_dataloader.batch_size or 1, get_world_size()
    steps = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
    factors = [f'{one} per process']
    factors += [f'{processes} processes'] if processes > 1 else []
    factors += [f'{steps} iterations a step'] if steps > 1 else []
    return plural(one * processes * steps, 'sample') + (f' ({" x ".join(factors)})' if len(factors) > 1 else '')


def _rate(runner: Runner) -> str:
    optimizer = next(_optimizers(runner))
    group = optimizer.param_groups[0]
    scale = runner.cfg.get('auto_scale_lr') or {}
    scaled = f', scaled from a batch of {scale["base_batch_size"]}' if scale.get('enable') else ''
    return f'{group.get("initial_lr", group["lr"]):.4g}{scaled}, {type(optimizer).__name__}'


def _optimizers(runner: Runner) -> Iterator[torch.optim.Optimizer]:
    wrappers = runner.optim_wrapper
    for wrapper in wrappers.values() if hasattr(wrappers, 'values') else [wrappers]:
        if hasattr(wrapper, 'optimizer'):
            yield wrapper.optimizer


def closing_words(runner: Runner) -> list[str]:
    """The best checkpoint, or the last one, and the commands that take it."""
    score, best = _best(runner)
    note = Path(runner.work_dir) / 'last_checkpoint'
    last = note.read_text().strip() if note.is_file() else None
    lines = ['']
    if best:
        lines.append(f'{score}: {best}')
    if last:
        lines.append(f'last checkpoint: {last}')
    if chosen := best or last:
        config = Path(runner.work_dir) / Path(runner.cfg.filename or 'config.py').name
        lines += [
            'next:',
            f'  maskprop test {config} {chosen}',
            f'  maskprop infer {config} {chosen} VIDEO.mp4 --out out',
            f'  maskprop analyze curves {runner.work_dir} --out {runner.work_dir}/curves',
        ]
    return lines


def _best(runner: Runner) -> tuple[str, str | None]:
    """The best number, as the table has it, and its checkpoint."""
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and (best := getattr(hook, 'best_ckpt_path', None)):
            name, score = hook.key_indicators[0], float(runner.message_hub.get_info('best_score'))
            in_percent = name.rpartition('/')[2].startswith(('AP', 'AR'))
            return f'best {name} ' + (f'{100 * score:.1f}' if in_percent else f'{score:.4g}'), best
    return '', None
