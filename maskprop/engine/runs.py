"""Training and testing a config, as maskprop train and maskprop test do: all is checked before long work."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, FlexibleRunner, Runner
from torch import nn

import maskprop
from maskprop.datasets.layouts import DataSets, find_sets
from maskprop.engine.build_errors import explain_build_errors, explain_downloads, explain_run, explain_work
from maskprop.engine.config import (
    ConfigError,
    Outputs,
    find_config_file,
    load_config,
    prepare_testing,
    prepare_training,
)
from maskprop.engine.config_types import check_types
from maskprop.engine.data_option import use_data, use_split
from maskprop.engine.launch import setup_distributed
from maskprop.engine.model_files import is_published
from maskprop.engine.rank_watch import DEFAULT, watch_ranks
from maskprop.engine.schedule_option import use_epochs
from maskprop.engine.size_option import Size, frame_size, use_size
from maskprop.utils import boundary
from maskprop.utils.files import check_writable, name_in_errors, write_json
from maskprop.utils.folder_lock import FolderInUse, hold_folder
from maskprop.utils.processes import say
from maskprop.utils.random_state import preserve_random_state


def train(
    config: str | Path | Config,
    *,
    work_dir: str | Path | None = None,
    resume: bool | str | Path = False,
    auto_scale_lr: bool = False,
    seed: int | None = None,
    amp: bool = False,
    data: str | Path | DataSets | None = None,
    size: str | Size | None = None,
    epochs: int | None = None,
    cfg_options: dict | None = None,
    launcher: str = 'none',
) -> Runner | FlexibleRunner:
    """Train a model, as ``maskprop train`` does.

    Args:
        config: a config file, or a config, which is left as it is.
        work_dir: folder of logs and checkpoints; None: the config's, else ``work_dirs/CONFIG_NAME``.
        resume: a checkpoint to go on from; True: the last one in ``work_dir``, if any.
        auto_scale_lr: scale the learning rate by the batch size over ``auto_scale_lr.base_batch_size``.
        seed: of weights, data order and augmentation; None: the config's.
        amp: mixed precision.
        data: a folder with a training and a validation set, or an annotation file to train on without validation,
            in place of the config's sets: :mod:`maskprop.datasets.layouts`, :mod:`maskprop.engine.data_option`.
        size: of frames, ``'640x360'`` or ``'360p'``: :func:`maskprop.engine.size_option.use_size`.
        epochs: of the training: :func:`maskprop.engine.schedule_option.use_epochs`.
        cfg_options: keys of the config to override, ``{'train_dataloader.batch_size': 2}``, after all else.
        launcher: how the processes were started: ``'none'``, ``'pytorch'`` or ``'slurm'``.

    Returns:
        the Runner, after training; ``runner.model`` is the trained model.

    Raises:
        ConfigError: the config names what there is not, or a value that it cannot have.
        AnnotationError, EvalInputError: a data set or its ground truth has errors.
        CheckpointError, OSError: a checkpoint cannot be read or doesn't fit; a folder cannot be written.
    """
    change = _changes('train', data, size, epochs=epochs)
    cfg = _start(config, 'train', work_dir, cfg_options, launcher, change)
    with _sole_training(cfg.work_dir), explain_build_errors(cfg):
        prepare_training(cfg, resume=resume, auto_scale_lr=auto_scale_lr, seed=seed, amp=amp)
        datasets = _check(cfg, ('train', 'val'))
        runner = build_runner(cfg)
        _check_partial(_unwrapped(runner), datasets['train'])
        if 'val' in datasets:
            _check_stream(runner, datasets['val'])
            _check_metrics(cfg, runner, 'val')
            _check_sample(runner.val_loop, cfg, 'val')
        with explain_build_errors(cfg, values=True):
            loop = runner.train_loop  # built by this
        _check_sample(loop, cfg, 'train')
        advice = f'Continue from the last checkpoint: --resume --work-dir {cfg.work_dir}'
        _show_on_screen(runner)
        with watch_ranks(cfg.get('rank_timeout', DEFAULT), advice), explain_run(cfg), explain_downloads(cfg):
            runner.train()
    return runner


def test(
    config: str | Path | Config,
    checkpoint: str | Path,
    *,
    work_dir: str | Path | None = None,
    out: str | Path | None = None,
    submission: str | Path | None = None,
    metrics: str | Path | None = None,
    show_dir: str | Path | None = None,
    amp: bool = False,
    data: str | Path | DataSets | None = None,
    size: str | Size | None = None,
    split: str = 'test',
    cfg_options: dict | None = None,
    launcher: str = 'none',
) -> dict[str, Any]:
    """Test a model on the test set of its config, as ``maskprop test`` does.

    Args:
        config, work_dir, amp, size, cfg_options, launcher: as of :func:`train`.
        data: a folder, whose set ``split`` is tested on, or an annotation file, in place of the config's test set.
        split: 'test', or 'val' for the validation set of the config or of ``data``.
        checkpoint: weights of a training, or their address.
        out: write the results to this file in the YouTube-VIS format (``.json``).
        submission: write the zip that the YouTube-VIS server takes.
        metrics: write what the metric measures, by category too, to this file (``.json``).
        show_dir: draw the results into this folder.

    Returns:
        the metrics by name; none for a test set without annotations.

    Raises:
        ConfigError, AnnotationError, EvalInputError, CheckpointError, OSError: as of :func:`train`.
    """
    change = _changes(split, data, size, split=split)
    cfg = _start(config, 'test', work_dir, cfg_options, launcher, change)
    prepare_testing(cfg, checkpoint, Outputs(out, submission, metrics, show_dir), amp=amp)
    cfg.pop('strategy', None)  # each process tests whole videos, with a whole model
    with explain_build_errors(cfg):
        datasets = _check(cfg, ('test',))
        runner = build_runner(cfg)
        _check_stream(runner, datasets['test'])
        _check_metrics(cfg, runner, 'test')
        _check_sample(runner.test_loop, cfg, 'test')
        _show_on_screen(runner)
        with watch_ranks(cfg.get('rank_timeout', DEFAULT), 'Test again'), explain_run(cfg):
            found, failed = _run_test(runner)
    if metrics and is_main_process():
        try:
            write_json(metrics, {**found, **_per_category(runner)})
            runner.logger.info(f'metrics written to {metrics}')
        except OSError as error:
            failed.append(error)
    _check_written(runner, failed)
    return found


def build_runner(cfg: Config) -> Runner | FlexibleRunner:
    """The Runner of a config: mmengine's FlexibleRunner where it has a ``strategy``.

    Raises:
        ConfigError: a value of the config is refused by what it is for.
    """
    for key in ('val_evaluator', 'test_evaluator'):
        metric = cfg.get(key)
        if isinstance(metric, dict) and metric.get('type') == 'YTVISMetric' and 'metrics' in metric:
            cfg[key] = [
                metric
            ]  # mmengine takes a dict with ``metrics`` for an evaluator, not for a metric of ours
    with explain_build_errors(cfg, values=True):
        if not cfg.get('strategy'):
            return _from_cfg(Runner, cfg)
        runner = _from_cfg(FlexibleRunner, cfg)
        runner.model = runner.strategy.build_model(runner.model)  # now, as Runner does
        return runner


def _from_cfg(kind: Any, cfg: Config) -> Any:
    try:
        return kind.from_cfg(cfg)
    except ImportError as error:  # a back end of the visualizer is no dependency of ours
        raise ConfigError(f'config {cfg.filename}: {error}') from error


def _run_test(runner: Runner) -> tuple[dict[str, Any], list[OSError]]:
    """The metrics of a test, and the error of a file that could not be written, which costs nothing else."""
    try:
        with name_in_errors(runner.work_dir):  # of its logs, which name no file
            return runner.test(), []
    except OSError as error:
        result = _scored(runner)
        if result is None:
            raise
        return dict(result.metrics), [error]


def _check_written(runner: Runner, failed: Sequence[OSError]) -> None:
    """Raise OSError if files or pictures could not be written; by now all else is."""
    lost = [str(error) for error in failed]
    for hook in runner.hooks:
        if getattr(hook, 'failed', None):
            written = '' if failed else '. The results are written'
            lost.append(f'--show-dir {hook.out_dir}: {hook.summary()}{written}')
    if lost:
        raise OSError('; '.join(lost))


def _per_category(runner: Runner) -> dict[str, Any]:
    """The metric's whole result, with AP by category, as maskprop eval writes it."""
    result = _scored(runner)
    return {} if result is None else result.to_dict()


def _scored(runner: Runner) -> Any:
    """What the metric has measured; None before that, or if it only writes files."""
    results = [getattr(metric, 'last_result', None) for metric in runner.test_evaluator.metrics]
    return next((result for result in results if result is not None), None)


def _start(
    config: str | Path | Config,
    split: str,
    work_dir: str | Path | None,
    options: dict | None,
    launcher: str,
    change: Callable[[Config], None],
) -> Config:
    if not isinstance(config, Config) and not is_published(config) and not str(config).startswith('hf://'):
        find_config_file(config)  # before the seconds that the imports take
    maskprop.register_all()
    cfg = load_config(config, options, work_dir, change)
    check_types(cfg)
    missing = [key for key in ('model', f'{split}_dataloader', f'{split}_cfg') if not cfg.get(key)]
    if missing:
        raise ConfigError(f'config {cfg.filename}: {", ".join(missing)} is not set')
    check_writable(cfg.work_dir, 'work_dir', folder=True)
    boundary.log_to(cfg.work_dir)
    setup_distributed(launcher, cfg)
    return cfg


def _changes(
    task: str,
    data: str | Path | DataSets | None,
    size: str | Size | None,
    *,
    epochs: int | None = None,
    split: str = 'test',
) -> Callable[[Config], None]:
    """What --split, --data, --size and --epochs change of a config; what is wrong with them is said now."""
    sets = find_sets(data, task) if isinstance(data, str | Path) else data
    size = frame_size(size) if isinstance(size, str) else size

    def change(cfg: Config) -> None:
        use_split(cfg, split)
        if sets is not None:
            say('\n'.join(use_data(cfg, sets)))
        if size is not None:
            use_size(cfg, size)
        if epochs is not None:
            use_epochs(cfg, epochs)

    return change


@contextmanager
def _sole_training(work_dir: str) -> Iterator[None]:
    """Two trainings in one folder would replace and remove each other's checkpoints: the second is refused."""
    with ExitStack() as stack:
        refused: list[str | None] = [None]
        if is_main_process():
            try:
                stack.enter_context(hold_folder(Path(work_dir), _say_nothing, name='training.lock', wait=False))
            except FolderInUse as error:
                refused = [str(error)]
            except OSError as error:
                warnings.warn(f'{work_dir} cannot be locked against a second training ({error})', stacklevel=2)
        broadcast_object_list(refused)  # or the others would wait for the first process
        if refused[0] is not None:
            raise ConfigError(f'{refused[0]}: another training. Give this one another --work-dir')
        yield


def _say_nothing(_: str) -> None:
    """Of a training that was killed --resume says enough."""


def _show_on_screen(runner: Runner) -> None:
    # Imported here: mmdet must not be imported before register_all.
    from maskprop.engine.console import show_on_screen

    show_on_screen(runner)


def _check(cfg: Config, splits: Sequence[str]) -> dict[str, Any]:
    # Imported here: mmdet must not be imported before register_all.
    from maskprop.engine.checks import check_datasets

    return check_datasets(cfg, tuple(splits))


def _unwrapped(runner: Runner) -> nn.Module:
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def _check_partial(model: nn.Module, dataset: Any) -> None:
    """Losses that don't leave out what annotations leave open would learn it as background."""
    parts = getattr(dataset, 'datasets', [dataset])
    files = [part.ann_file for part in parts if getattr(part, 'is_partial', False)]
    detector = getattr(model, 'frame_detector', None)
    if files and 'detector' not in getattr(model, 'frozen', ()):
        if not getattr(detector, 'takes_partial_labels', False):
            raise ConfigError(
                f'{files[0]} has objects without masks (box_only) or unknown_categories, which only '
                f'two-stage detectors leave out of their losses, not {type(detector or model).__name__}: train '
                'one of those, or convert the set without them (docs/stills.md)'
            )


def _check_stream(runner: Runner, dataset: Any) -> None:
    """Find out now, not at the first validation, if linker, propagator or detections can't be used."""
    model = _unwrapped(runner)
    if not hasattr(model, 'start_video'):
        return
    with explain_build_errors(runner.cfg, values=True):
        model.start_video()
        if hasattr(model, 'check_classes'):
            model.check_classes(dataset.metainfo['classes'])


def _check_metrics(cfg: Config, runner: Runner, split: str) -> None:
    """Find out now if the metrics, which are built with the loop, don't fit the data set."""
    from maskprop.engine.checks import check_metrics

    with explain_build_errors(cfg, values=True):
        loop = getattr(runner, f'{split}_loop')
    check_metrics(loop.evaluator.metrics, loop.dataloader.dataset)


def _check_sample(loop: BaseLoop, cfg: Config, split: str) -> None:
    """Take the first sample now: what is wrong in a pipeline shows here, and not in a worker hours later."""
    loader = loop.dataloader
    order = getattr(loader, 'batch_sampler', None) or loader.sampler
    with preserve_random_state(), explain_work(cfg, f'{split}_dataloader'):
        first = next(iter(order), None)
        first = first[0] if isinstance(first, list) else first
        sample = {} if first is None else loader.dataset[first]
    if first is not None and not (isinstance(sample, dict) and 'inputs' in sample):
        raise ConfigError(
            f'config {cfg.filename}: {split}_dataloader.dataset.pipeline: its samples have no inputs; end it with '
            'PackTrackInputs'
        )
