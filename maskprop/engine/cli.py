"""What tools/train.py and tools/test.py do."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.dist import is_main_process
from mmengine.model import is_model_wrapper
from mmengine.runner import FlexibleRunner, Runner, TestLoop, ValLoop

import maskprop
from maskprop.datasets.ytvis_json import AnnotationError
from maskprop.engine.build_errors import explain_build_errors
from maskprop.engine.checkpoint import CheckpointError
from maskprop.engine.config import ConfigError, check_config_file, load_config, prepare_testing, prepare_training
from maskprop.engine.launch import LAUNCHERS, LaunchError, setup_distributed
from maskprop.evaluation.results_io import check_writable, write_json
from maskprop.evaluation.validation import EvalInputError

USER_ERRORS = (
    AnnotationError,
    CheckpointError,
    ConfigError,
    EvalInputError,
    LaunchError,
    OSError,
)


class ConfigOptions(DictAction):
    """argparse's action of ``--cfg-options KEY=VALUE ...``: a dict."""

    def __call__(self, parser: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> None:
        try:
            super().__call__(parser, *args, **kwargs)
        except (AssertionError, IndexError, ValueError) as error:
            parser.error(f'--cfg-options {" ".join(args[1])}: expected KEY=VALUE ... ({error})')


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that training and test share."""
    parser.add_argument('config', help='config file, e.g. configs/maskprop/....py')
    parser.add_argument('--work-dir', help='folder of logs and checkpoints (default: work_dirs/CONFIG_NAME)')
    parser.add_argument('--amp', action='store_true', help='mixed precision')
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none', help='how the processes were started')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=ConfigOptions,
        metavar='KEY=VALUE',
        help="override config keys, e.g. train_dataloader.batch_size=2 model.clip_radius=4 'key=[a,b]'",
    )
    # torchrun gives the rank by environment variables; older launchers by this argument
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def positive(text: str) -> int:
    """An argument's ``type``: an integer of 1 or more."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'{text}: expected 1 or more')
    return value


def train_parser(description: str | None = None) -> argparse.ArgumentParser:
    """Arguments of tools/train.py."""
    parser = _parser(description)
    add_common_arguments(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from CHECKPOINT, or without one from the last in the work folder (if any)',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the batch size over all processes / auto_scale_lr.base_batch_size',
    )
    parser.add_argument('--seed', type=int, help='of weights, data order and augmentation (default: the config)')
    return parser


def test_parser(description: str | None = None) -> argparse.ArgumentParser:
    """Arguments of tools/test.py."""
    parser = _parser(description)
    add_common_arguments(parser)
    parser.add_argument('checkpoint', help='weights that tools/train.py wrote')
    parser.add_argument('--out', metavar='RESULTS.json', help='write the results in the YouTube-VIS format')
    parser.add_argument(
        '--submission', metavar='RESULTS.zip', help='write the zip that the YouTube-VIS server takes'
    )
    parser.add_argument(
        '--metrics', metavar='METRICS.json', help='write video AP, AP by category and temporal stability'
    )
    parser.add_argument(
        '--show-dir', metavar='DIR', help='draw the results: frames, an mp4 and a strip for each video'
    )
    return parser


def _parser(description: str | None) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def train(args: argparse.Namespace) -> Runner | FlexibleRunner:
    """Train as ``args`` (of :func:`train_parser`) say. Returns the Runner, after training."""
    cfg = _start(args, 'train')
    prepare_training(cfg, args)
    with explain_build_errors(cfg):
        datasets = _check(cfg, ('train', 'val'))
        runner = build_runner(cfg)
        if 'val' in datasets:
            _check_stream(runner, datasets['val'])
            _check_metrics(runner.val_loop)
        with explain_build_errors(cfg, values=True):
            _ = runner.train_loop  # built by this
        runner.train()
    return runner


def build_runner(cfg: Config) -> Runner | FlexibleRunner:
    """The Runner of a config: mmengine's FlexibleRunner where it has a ``strategy``.

    Raises:
        ConfigError: a value of the config is refused by what it is for.
    """
    with explain_build_errors(cfg, values=True):
        if not cfg.get('strategy'):
            return Runner.from_cfg(cfg)
        runner = FlexibleRunner.from_cfg(cfg)
        runner.model = runner.strategy.build_model(runner.model)  # now, as Runner does
        return runner


def test(args: argparse.Namespace) -> dict[str, Any]:
    """Test as ``args`` (of :func:`test_parser`) say. Returns the metrics."""
    cfg = _start(args, 'test')
    prepare_testing(cfg, args)
    cfg.pop('strategy', None)  # each process tests whole videos, with a whole model
    with explain_build_errors(cfg):
        datasets = _check(cfg, ('test',))
        runner = build_runner(cfg)
        _check_stream(runner, datasets['test'])
        _check_metrics(runner.test_loop)
        metrics = runner.test()
    if args.metrics and is_main_process():
        write_json(args.metrics, {**metrics, **_per_category(runner)})
        runner.logger.info(f'metrics written to {args.metrics}')
    return metrics


def _per_category(runner: Runner) -> dict[str, Any]:
    """The metric's whole result, with AP by category, as tools/eval_results.py writes it."""
    results = [getattr(metric, 'last_result', None) for metric in runner.test_evaluator.metrics]
    return next((result.to_dict() for result in results if result is not None), {})


def _start(args: argparse.Namespace, split: str) -> Config:
    check_config_file(args.config)  # before the seconds that the imports take
    maskprop.register_all()
    cfg = load_config(args.config, args.cfg_options, args.work_dir)
    missing = [key for key in ('model', f'{split}_dataloader', f'{split}_cfg') if not cfg.get(key)]
    if missing:
        raise ConfigError(f'config {args.config}: {", ".join(missing)} is not set')
    check_writable(cfg.work_dir, 'work_dir', folder=True)
    setup_distributed(args.launcher, cfg)
    return cfg


def _check(cfg: Config, splits: Sequence[str]) -> dict[str, Any]:
    # Imported here: mmdet must not be imported before register_all.
    from maskprop.engine.checks import check_datasets

    return check_datasets(cfg, tuple(splits))


def _check_stream(runner: Runner, dataset: Any) -> None:
    """Find out now, not at the first validation, if linker, propagator or detections can't be used."""
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    if not hasattr(model, 'start_video'):
        return
    with explain_build_errors(runner.cfg, values=True):
        model.start_video()
        if hasattr(model, 'check_classes'):
            model.check_classes(dataset.metainfo['classes'])


def _check_metrics(loop: ValLoop | TestLoop) -> None:
    """Find out now if the metrics, which are built with the loop, don't fit the data set."""
    from maskprop.engine.checks import check_metrics

    check_metrics(loop.evaluator.metrics, loop.dataloader.dataset)


def print_progress(done: int, total: int) -> None:
    """Print how many videos are done, every ten and at the end; a ``progress`` for :mod:`maskprop.apis`."""
    if done % 10 == 0 or done == total:
        print(f'{done} of {total} videos', flush=True)


def run(function: Callable[[argparse.Namespace], Any], args: argparse.Namespace) -> None:
    """Call ``function(args)``; errors that the user can mend end in one line, not in a traceback."""
    try:
        function(args)
    except USER_ERRORS as error:
        print(f'\n{Path(sys.argv[0]).name}: error: {error}', file=sys.stderr)
        raise SystemExit(1) from None
