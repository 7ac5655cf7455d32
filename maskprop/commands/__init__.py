"""The command line. ``maskprop NAME``, ``python -m maskprop NAME`` and the scripts in ``tools/`` are the same.

Each module here is one command: its docstring and ``parse_args`` are the help, ``main`` does the work. A module is
imported when its command is called. It imports torch after it has checked its arguments, which takes no time.
"""

from __future__ import annotations

import sys
from difflib import get_close_matches
from importlib import import_module
from typing import NamedTuple

from maskprop.utils import boundary


class Command(NamedTuple):
    """The module of a command, and what it does in a few words."""

    module: str
    summary: str


GROUPS: dict[str, dict[str, Command]] = {
    'Models': {
        'train': Command('train', 'train a model, with validation by video AP'),
        'test': Command('test', 'test a model: video AP, results file, submission, pictures'),
        'infer': Command('infer_video', 'segment and track the objects of your videos'),
        'models': Command('models', 'list the models with published weights'),
        'configs': Command('configs', 'list, print, copy or check the configs'),
        'publish': Command('publish_model', 'make a small file of weights, config and model card'),
        'cost': Command('model_cost', 'count parameters, FLOPs and memory'),
    },
    'Data sets': {
        'check': Command('check_dataset', 'list every fault of an annotation file'),
        'split': Command('split_dataset', 'split off a validation set'),
        'import': Command('import_annotations', 'annotations of CVAT, labelme, SAM 2, MOTS, DAVIS or COCO'),
        'export': Command('export_annotations', 'annotations or results in those formats'),
        'extract': Command('extract_frames', 'frames of video files'),
        'browse': Command('browse_dataset', 'pictures of annotations and of training samples'),
        'synthetic': Command('make_synthetic', 'make a synthetic set'),
        'stills': Command('stills_to_ytvis', 'COCO or OpenImages as still images of YouTube-VIS classes'),
    },
    'Results': {
        'eval': Command('eval_results', 'score or check a results file'),
        'analyze': Command('analyze', 'reports: training curves, failures, differences of two results'),
        'compare-variants': Command('compare_variants', 'score ways of tracking the same detections'),
        'compare-videos': Command('compare_videos', 'pictures of several results side by side'),
        'eval-propagation': Command('eval_propagation', 'mask quality by the number of frames propagated over'),
        'oracle': Command('oracle', 'how much AP each kind of error costs'),
        'detect': Command('detect_frames', 'write the detections of single frames'),
        'plot-features': Command('plot_features', 'pictures of propagated features'),
    },
    'Studies and installation': {
        'demo': Command('demo', 'track, draw and train on synthetic videos: three minutes on two cores'),
        'demo-full': Command('demo_full', 'train from scratch, track, score and draw: 15 to 20 minutes'),
        'ablate': Command('ablate', 'run the studies of docs/ablations.md'),
        'doctor': Command('doctor', 'versions, devices and what is wrong with the installation'),
        'verify-goldens': Command('verify_goldens', "compare with reference codes' numbers"),
    },
}
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}


def run(name: str) -> None:
    """Do a command with the arguments ``sys.argv[1:]``.

    Errors end in one line: :func:`maskprop.utils.boundary.run`.

    Raises:
        SystemExit: the command failed, or found faults: its exit status.
    """
    if status := boundary.run(lambda: import_module(f'maskprop.commands.{COMMANDS[name].module}').main()):
        sys.exit(status)


def main() -> None:
    """The console command: ``maskprop NAME [ARGUMENTS]``."""
    name, *arguments = sys.argv[1:] or ['--help']
    if name in ('-h', '--help', 'help'):
        print(usage())
        sys.exit(0)
    if name in ('-V', '--version'):
        import maskprop

        print(f'maskprop {maskprop.__version__}')
        sys.exit(0)
    if name not in COMMANDS:
        close = get_close_matches(name, COMMANDS, 1)
        hint = f'did you mean {close[0]}?' if close else 'see maskprop --help'
        sys.exit(f'maskprop: error: there is no command {name!r}; {hint}')
    sys.argv = [f'maskprop {name}', *arguments]
    run(name)


def usage() -> str:
    """The help of ``maskprop``: every command in a line."""
    width = max(map(len, COMMANDS))
    lines = ['usage: maskprop COMMAND [ARGUMENTS]      maskprop COMMAND --help says more', '']
    for group, commands in GROUPS.items():
        lines += [f'{group}:', *(f'  {name:{width}}  {command.summary}' for name, command in commands.items()), '']
    lines.append('Every command takes --verbose (what libraries log too) and --debug (tracebacks of errors).')
    return '\n'.join([*lines, 'maskprop --version prints the version.'])
