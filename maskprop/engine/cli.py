"""The command line of the tools: arguments that they share, and errors that end in one line.

Imports no torch, so that a wrong argument is told at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from maskprop.datasets.layouts import find_sets
from maskprop.engine.cfg_options import ConfigOptions
from maskprop.engine.model_files import check_model_files, find_config_file, is_whole_model
from maskprop.engine.size_option import frame_size
from maskprop.utils import boundary, numeric
from maskprop.utils.files import check_not_read
from maskprop.utils.processes import LAUNCHERS
from maskprop.utils.text import plural
from maskprop.zoo import did_you_mean

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.runner import FlexibleRunner, Runner


class ModelParser(argparse.ArgumentParser):
    """A parser whose first arguments are CONFIG CHECKPOINT, for which the name of one model may stand.

    It sees that both are there, before torch is imported: :func:`maskprop.engine.model_files.check_model_files`.
    """

    _first: str | None = None  # positional argument

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        args = list(sys.argv[1:] if args is None else args)
        place = self._first_positional(args)
        self._first = args[place] if place is not None else None
        if place is not None and is_whole_model(args[place]) and not _is_checkpoint(args[place + 1 : place + 2]):
            args.insert(place + 1, args[place])
        found, rest = super().parse_known_args(args, namespace)
        check_model_files(found.config, found.checkpoint)
        return found, rest

    def error(self, message: str) -> NoReturn:
        """As argparse; if a positional argument is missing, that the first is no model, which counts as two."""
        missing = message.removeprefix('the following arguments are required: ')
        first = self._first
        if missing != message and not missing.startswith('-') and first and not is_whole_model(first):
            message = (
                f'{message}. CONFIG and CHECKPOINT come first, and {first} is not a model that stands for both'
                f'{did_you_mean(first) or "."} maskprop models lists them'
            )
        super().error(message)

    def _first_positional(self, args: Sequence[str]) -> int | None:
        place = 0
        while place < len(args):
            if not args[place].startswith('-'):
                return place
            action = self._option_string_actions.get(args[place])
            place += 1
            if action is None:  # --option=value, or unknown
                continue
            if action.nargs in ('+', '*', '?'):
                while place < len(args) and not args[place].startswith('-'):
                    place += 1
            else:
                place += 1 if action.nargs is None else int(action.nargs)
        return None


def _is_checkpoint(following: Sequence[str]) -> bool:
    """Whether the argument after a model's name is other weights for it."""
    return any(
        is_whole_model(text) or '://' in text or text.endswith(('.pth', '.pt', '.safetensors'))
        for text in following
    )


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """CONFIG and CHECKPOINT."""
    parser.add_argument(
        'config',
        help='config file, or its name (maskprop configs ls). The name of a published model (maskprop models) or '
        'a published file stands for both, CONFIG and CHECKPOINT (docs/model_zoo.md)',
    )
    parser.add_argument('checkpoint', help='its weights: a file, a URL, or the name of a model')


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that training and test share."""
    parser.add_argument(
        '--work-dir', type=not_empty, help='folder of logs and checkpoints (default: work_dirs/CONFIG_NAME)'
    )
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


def add_data_arguments(parser: argparse.ArgumentParser, meaning: str) -> None:
    """--data and --size, which training and test share."""
    parser.add_argument(
        '--data',
        type=not_empty,
        metavar='FOLDER|FILE',
        help=f"in place of the config's data sets: a folder with annotations and frames (docs/data.md), {meaning}",
    )
    parser.add_argument(
        '--size',
        type=frame_size,
        metavar='640x360|360p',
        help='size of frames in validation and test; sizes in training change in proportion',
    )


def add_test_set_arguments(parser: argparse.ArgumentParser) -> None:
    """--data and --cfg-options of the commands that read the test set of a config: :func:`load_test_config`."""
    parser.add_argument(
        '--data',
        metavar='FOLDER|FILE',
        help="in place of the config's test set: a folder with annotations and frames, or an annotation file "
        '(docs/data.md)',
    )
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, metavar='KEY=VALUE')


def load_test_config(args: argparse.Namespace) -> Config:
    """The config that ``args`` name, with the test set of ``--data`` and then ``--cfg-options``.

    Everything is registered afterwards.

    Raises:
        ConfigError, AnnotationError: the config, or the set, cannot be read.
        FileExistsError: ``--out`` is a file that is read.
    """
    sets = None if args.data is None else find_sets(args.data, 'test')
    import maskprop

    maskprop.register_all()
    from maskprop.engine.config import files_read, load_config
    from maskprop.engine.data_option import use_data
    from maskprop.utils.processes import say

    def change(cfg: Config) -> None:
        if sets is not None:
            say('\n'.join(use_data(cfg, sets)))

    cfg = load_config(args.config, args.cfg_options, change=change)
    if args.out:
        check_not_read(args.out, '--out', [*files_read(cfg), args.checkpoint])
    return cfg


def not_empty(text: str) -> str:
    """An argument's ``type``: any text but an empty one, as of a variable of the shell that is not set."""
    if not text.strip():
        raise argparse.ArgumentTypeError('is empty')
    return text


def train_parser(description: str | None = None) -> argparse.ArgumentParser:
    """Arguments of maskprop train."""
    parser = _parser(description)
    parser.add_argument('config', help='config file, or its name (maskprop configs ls)')
    add_common_arguments(parser)
    add_data_arguments(parser, 'or an annotation file, to train without validation')
    parser.add_argument(
        '--epochs',
        type=numeric.positive,
        metavar='N',
        help='length of the training; the schedule changes in proportion, the warm-up stays',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        type=not_empty,
        const=True,
        default=False,
        metavar='CHECKPOINT',
        help='continue from CHECKPOINT, or without one from the last in the work folder (if any)',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the batch size over all processes / auto_scale_lr.base_batch_size',
    )
    parser.add_argument(
        '--seed', type=numeric.seed, help='of weights, data order and augmentation (default: the config)'
    )
    return parser


def test_parser(description: str | None = None) -> argparse.ArgumentParser:
    """Arguments of maskprop test."""
    parser = _parser(description, ModelParser)
    add_common_arguments(parser)
    add_model_arguments(parser)
    add_data_arguments(parser, 'or an annotation file')
    parser.add_argument('--split', choices=('val', 'test'), default='test', help='which set (default: test)')
    parser.add_argument('--out', metavar='RESULTS.json', help='write the results in the YouTube-VIS format')
    parser.add_argument(
        '--submission', metavar='RESULTS.zip', help='write the zip that the YouTube-VIS server takes'
    )
    parser.add_argument(
        '--metrics', metavar='METRICS.json', help='write video AP, AP by category and temporal stability'
    )
    parser.add_argument(
        '--show-dir', metavar='DIR', help='draw the results: frames, an mp4 and a film strip for each video'
    )
    return parser


def _parser(description: str | None, kind: type = argparse.ArgumentParser) -> argparse.ArgumentParser:
    return kind(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def train(args: argparse.Namespace) -> Runner | FlexibleRunner:
    """:func:`~maskprop.engine.runs.train` as ``args`` (of :func:`train_parser`) say."""
    keywords = _keywords(args)
    find_config_file(args.config)  # before the seconds that torch takes
    if args.data is not None:
        keywords['data'] = find_sets(args.data, 'train')
    from maskprop.engine import runs

    return runs.train(**keywords)


def test(args: argparse.Namespace) -> dict[str, Any]:
    """:func:`~maskprop.engine.runs.test` as ``args`` (of :func:`test_parser`) say."""
    keywords = _keywords(args)
    if args.data is not None:
        keywords['data'] = find_sets(args.data, args.split)
    from maskprop.engine import runs

    return runs.test(**keywords)


def _keywords(args: argparse.Namespace) -> dict[str, Any]:
    return {name: value for name, value in vars(args).items() if name != 'local_rank'}


def print_progress(done: int, total: int) -> None:
    """Print how many videos are done, every ten and at the end; a ``progress`` for :mod:`maskprop.apis`."""
    if done % 10 == 0 or done == total:
        print(f'{done} of {plural(total, "video")}', flush=True)


def run(
    function: Callable[[argparse.Namespace], Any],
    args: argparse.Namespace | Callable[[], argparse.Namespace],
) -> None:
    """Call ``function(args)``; every error ends in one line: :func:`maskprop.utils.boundary.run`.

    Args:
        function: what the tool does. args: its arguments, or what parses them, for which ``--debug`` is known.
    """
    boundary.run(lambda: function(args() if callable(args) else args))
