"""See a training and the failures of its results: pictures (PNG), tables (CSV) and a page, DIR/report.html.

    maskprop analyze results SET.json RESULTS.json --out DIR [--images FOLDER] [--worst 5]
    maskprop analyze curves RUN [RUN ...] --out DIR [--names NAME ...]
    maskprop analyze compare SET.json A.json B.json --out DIR [--images FOLDER] [--resamples N] [--seed S]

results: AP of each video, film strips of the worst ones, classes, precision over recall, errors by kind and what
AP would gain without them. curves: losses, learning rates and AP of trainings, RUN being their work folders.
compare: the difference of every number of two results files, with paired bootstrap over the videos. results and
compare also take [--min-score .3] [--frame-stride N] [--frame-range START STOP]. See docs/analysis.md.
"""

from __future__ import annotations

import argparse

from maskprop.analysis.results import AnalysisOptions
from maskprop.datasets.ytvis_json import AnnotationError
from maskprop.evaluation.validation import EvalInputError
from maskprop.utils import boundary, numeric
from maskprop.utils.files import check_writable
from maskprop.utils.text import escaped


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Arguments of ``maskprop analyze``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='command', required=True)
    curves = commands.add_parser('curves', help='losses, learning rates and AP of trainings')
    curves.add_argument('runs', nargs='+', metavar='RUN', help='work folder of a training, or its scalars.json')
    curves.add_argument('--names', nargs='+', help='of the runs (default: their folders)')
    results = commands.add_parser('results', help='failures of a results file')
    results.add_argument('set', help='annotation file in YouTube-VIS format')
    results.add_argument('results', help='results.json, or the submission zip')
    compare = commands.add_parser('compare', help='differences of two results files')
    compare.add_argument('set', help='annotation file in YouTube-VIS format')
    compare.add_argument('a', metavar='A.json', help='results, or a submission zip')
    compare.add_argument('b', metavar='B.json', help='others')
    compare.add_argument(
        '--resamples', type=numeric.resamples, default=1000, help='of the videos (default %(default)s)'
    )
    compare.add_argument('--seed', type=numeric.seed, default=0, help='of the resamples')
    for command in (results, compare):
        command.add_argument(
            '--images', metavar='FOLDER', help='of the frames: draw film strips of the videos listed'
        )
        command.add_argument(
            '--worst', type=numeric.whole(0), default=5, help='how many videos to list (default %(default)s)'
        )
        command.add_argument(
            '--min-score',
            type=numeric.share,
            default=0.3,
            help='of the tracks counted as true or false, and drawn',
        )
        command.add_argument(
            '--frame-stride', type=numeric.stride, default=1, help='the results are of every N-th frame'
        )
        numeric.add_frame_range(command)
    for command in (curves, results, compare):
        command.add_argument('--out', required=True, metavar='DIR', help='folder of the files')
    return parser.parse_args(argv)


def options_of(args: argparse.Namespace) -> AnalysisOptions:
    """What the reports of results and comparisons share."""
    return AnalysisOptions(args.images, args.worst, args.min_score, args.frame_stride, args.frame_range)


def run_curves(args: argparse.Namespace) -> None:
    """``maskprop analyze curves``."""
    from maskprop.analysis.curves import report_curves

    print(f'report: {escaped(report_curves(args.runs, args.out, args.names))}')


def run_results(args: argparse.Namespace) -> None:
    """``maskprop analyze results``."""
    from maskprop.analysis.report import percent
    from maskprop.analysis.results import report_results

    path, found = report_results(args.set, args.results, args.out, options_of(args))
    summary = found.summary
    ap = percent(found.video_ap['AP'])
    print(f'AP {ap}, AP50 {percent(summary.ap50)}. Without the errors of a kind:')
    for kind, gain in sorted(summary.gains.items(), key=lambda item: -item[1]):
        print(f'  {kind:<13} {summary.counts[kind]:>6}   AP50 {percent(gain, sign=True)}')
    if not args.images:
        print('no film strips: give the folder of the frames by --images')
    print(f'report: {escaped(path)}')


def run_compare(args: argparse.Namespace) -> None:
    """``maskprop analyze compare``."""
    from maskprop.analysis.compare import report_comparison
    from maskprop.analysis.report import percent

    options = options_of(args)
    path, found = report_comparison(args.set, args.a, args.b, args.out, options, n=args.resamples, seed=args.seed)
    for name in ('AP', 'AP50', 'AP75'):
        d = found[name]
        interval = '' if d.low != d.low else f' ({percent(d.low, sign=True)} to {percent(d.high, sign=True)})'
        print(f'{name:<5} {percent(d.a):>5} -> {percent(d.b):>5}   {percent(d.b - d.a, sign=True)}{interval}')
    clear = [name for name, d in found.items() if d.clear]
    print(f'{len(clear)} of {len(found)} numbers differ clearly (95 % interval without 0)')
    print(f'report: {escaped(path)}')


COMMANDS = {'curves': run_curves, 'results': run_results, 'compare': run_compare}


def main(argv: list[str] | None = None) -> int:
    """Do ``maskprop analyze``; its exit status."""
    args = parse_args(argv)
    try:
        check_writable(args.out, '--out', folder=True)
        COMMANDS[args.command](args)
    except (AnnotationError, EvalInputError, OSError, ValueError) as error:
        boundary.say(error)
        return 1
    return 0
