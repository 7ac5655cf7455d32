"""Make a synthetic video set in YouTube-VIS format, and report what it is good for.

    maskprop synthetic data/synthetic --videos 300 --val-videos 80 --seed 0
    maskprop synthetic data/davis16_pasted --videos 120 --val-videos 24 --seed 0 \\
        --from ../shared/davis16_vis --size 144x256 --train-range 0 0.6 --val-range 0.7 1.0
    maskprop synthetic --report-only data/synthetic

What these sets are and aren't: docs/synthetic.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from maskprop.apis.synthetic_report import describe_set, format_report
from maskprop.datasets.synthetic.paste import PastedClips, PasteSettings
from maskprop.datasets.synthetic.procedural import ProceduralClips
from maskprop.datasets.synthetic.scene import SceneSettings
from maskprop.datasets.synthetic.source_videos import find_annotation_file
from maskprop.datasets.synthetic.writer import write_set
from maskprop.datasets.ytvis_json import load_ytvis
from maskprop.utils import boundary, numeric
from maskprop.utils.text import escaped

MOST_GIBIBYTES = 4  # of a video's frames, which are in memory together


def parse_size(text: str) -> tuple[int, int]:
    """An argument's ``type``: HEIGHTxWIDTH in pixels."""
    try:
        height, width = (int(part) for part in text.lower().split('x'))
    except ValueError:
        raise argparse.ArgumentTypeError(f'expected HEIGHTxWIDTH, such as 96x160, found {text!r}') from None
    if not 32 <= min(height, width) <= max(height, width) <= numeric.MOST_SIDE:
        raise argparse.ArgumentTypeError(f'{text}: expected sides of 32 to {numeric.MOST_SIDE} pixels')
    return height, width


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Arguments of ``maskprop synthetic``."""
    defaults = SceneSettings()
    fewest_most: dict[str, Any] = dict(
        type=numeric.whole(1, 100), action=numeric.Ascending, equal=True, metavar=('FEWEST', 'MOST')
    )
    part: dict[str, Any] = dict(type=numeric.share, action=numeric.Ascending, metavar=('FIRST', 'LAST'))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', nargs='?', help='folder of the set')
    parser.add_argument('--videos', type=numeric.whole(0), default=300, help='training videos (default 300)')
    parser.add_argument('--val-videos', type=numeric.whole(0), default=80, help='validation videos (default 80)')
    parser.add_argument('--seed', type=numeric.seed, default=0)
    parser.add_argument('--size', type=parse_size, default=(96, 160), help='HEIGHTxWIDTH (default 96x160)')
    parser.add_argument('--frames', type=numeric.positive, default=36, help='frames a video (default 36)')
    parser.add_argument(
        '--workers',
        type=numeric.whole(1, 256),
        default=2,
        help='processes (default 2); the files do not depend on it',
    )
    parser.add_argument('--overwrite', action='store_true', help='replace a set made with other keys')
    shapes = parser.add_argument_group('procedural sets')
    shapes.add_argument('--categories', type=numeric.positive, default=defaults.categories)
    shapes.add_argument('--objects', **fewest_most, default=defaults.objects)
    shapes.add_argument(
        '--colour-correlation',
        type=numeric.share,
        default=defaults.colour_correlation,
        help='how often hue and texture are those of the category, 0 to 1 (0: shape alone tells)',
    )
    shapes.add_argument(
        '--speed',
        type=numeric.number(0, 10),
        default=defaults.speed,
        help='typical way a frame, in picture heights',
    )
    shapes.add_argument('--crossing-share', type=numeric.share, default=defaults.crossing_share)
    pasted = parser.add_argument_group('sets pasted from real videos')
    pasted.add_argument(
        '--from',
        dest='source',
        metavar='YTVIS_DIR',
        help='paste objects of this set (a folder with annotations/ and JPEGImages/, or one of its JSON files)',
    )
    pasted.add_argument('--pasted', **fewest_most, default=(1, 3))
    for split in ('train', 'val'):
        pasted.add_argument(
            f'--{split}-range',
            **part,
            default=(0.0, 1.0),
            help=f'share of every source video from which {split} clips are made, such as 0 0.6',
        )
    pasted.add_argument('--frame-range', **part, help='the same for both splits')
    report = parser.add_argument_group('report')
    report.add_argument('--report-only', metavar='DIR', help='report on an existing set, make nothing')
    report.add_argument(
        '--strides', type=numeric.stride, nargs='+', default=[1, 4], help='frame strides of the report'
    )
    report.add_argument('--no-report', action='store_true')
    args = parser.parse_args(arguments)
    if (args.out is None) == (args.report_only is None):
        parser.error('give either OUT or --report-only DIR')
    height, width = args.size
    gibibytes = 3 * args.frames * height * width / 2**30
    if gibibytes > MOST_GIBIBYTES:
        parser.error(
            f'--frames {args.frames} --size {height}x{width}: a video would take {gibibytes:.1f} GiB of memory; '
            f'expected {MOST_GIBIBYTES} at most'
        )
    return args


def make_source(args: argparse.Namespace) -> ProceduralClips | PastedClips:
    """What makes the clips: procedural scenes, or objects pasted from real videos."""
    height, width = args.size
    min_area = max(8, round(0.0015 * height * width))
    if args.source:
        ranges = {
            'train': args.frame_range or args.train_range,
            'val': args.frame_range or args.val_range,
        }
        paste = PasteSettings(height=height, width=width, frames=args.frames, pasted=args.pasted, ranges=ranges)
        return PastedClips(str(find_annotation_file(args.source)), paste, args.seed, min_area)
    settings = SceneSettings(
        height=height,
        width=width,
        frames=args.frames,
        categories=args.categories,
        colour_correlation=args.colour_correlation,
        objects=args.objects,
        speed=args.speed,
        crossing_share=args.crossing_share,
    )
    return ProceduralClips(settings, args.seed, min_area)


def show_progress(split: str, done: int, total: int) -> None:
    """Print how many videos of a split are written."""
    if done == total or done % max(1, total // 10) == 0:
        print(f'{split}: {done}/{total} videos', flush=True)


def print_reports(folder: Path, strides: list[int]) -> None:
    """Print what each split of a set holds."""
    paths = sorted((folder / 'annotations').glob('*.json'))
    if not paths:
        sys.exit(escaped(f'{boundary.tool()}: {folder}/annotations: no annotation file there, so no set'))
    for path in paths:
        report = describe_set(dict(load_ytvis(path, require_annotations=True)), strides)
        print(f'\n{escaped(path)}\n{format_report(report)}', flush=True)


def main() -> int:
    """Do ``maskprop synthetic``; its exit status."""
    args = parse_args()
    if args.report_only:
        print_reports(Path(args.report_only), args.strides)
        return 0
    started = time.perf_counter()
    counts = {'train': args.videos, 'val': args.val_videos}
    try:
        written = write_set(args.out, make_source(args), counts, args.workers, args.overwrite, show_progress)
    except (OSError, ValueError, RuntimeError) as error:
        boundary.say(error)
        return 1
    verb = 'written' if written else 'already there, nothing to do'
    print(f'{escaped(Path(args.out))}: {verb} ({time.perf_counter() - started:.1f} s)', flush=True)
    if not args.no_report:
        print('Describing it (--no-report leaves this out) ...', flush=True)
        print_reports(Path(args.out), args.strides)
    return 0
