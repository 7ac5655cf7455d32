"""Several methods' results on the same videos, a film strip each: rows of frames and of each method (Figure 7).

    maskprop compare-videos ANN.json IMAGES --results A.json B.json --names A B --videos 3 5 --out DIR
    maskprop compare-videos ANN.json IMAGES --results A.json B.json --out DIR --ground-truth --columns 8

Writes DIR/video_ID.png. A track has one colour over time; a method's tracks have the colours of the tracks of the
methods before it that they overlap most. Results of a part of the frames need --frame-stride and --frame-range.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from maskprop.engine.errors import ConfigError
from maskprop.utils import numeric
from maskprop.utils.files import check_writable


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Arguments of ``maskprop compare-videos``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('annotations', metavar='ANN.json')
    parser.add_argument('images', help='folder of the file names in ANN.json')
    parser.add_argument('--results', nargs='+', required=True, metavar='RESULTS.json')
    parser.add_argument('--names', nargs='+', help='titles of the rows (default: names of the files)')
    parser.add_argument('--videos', type=int, nargs='+', metavar='ID', help='default: all')
    parser.add_argument('--out', required=True, metavar='DIR')
    parser.add_argument('--ground-truth', action='store_true', help='a row of ground truth above the methods')
    parser.add_argument(
        '--min-score', type=numeric.share, default=0.3, help='tracks that score less are not drawn'
    )
    parser.add_argument('--columns', type=numeric.positive, default=6, help='evenly spaced frames')
    parser.add_argument('--cell-width', type=numeric.whole(32), default=320, help='pixels')
    parser.add_argument('--no-labels', action='store_true', help='no classes and scores on the objects')
    parser.add_argument(
        '--frame-stride', type=numeric.stride, default=1, help='the results are of every N-th frame'
    )
    numeric.add_frame_range(parser)
    args = parser.parse_args(argv)
    args.names = args.names or [Path(file).stem for file in args.results]
    if len(args.names) != len(args.results) or len(set(args.names)) < len(args.names):
        parser.error(f'--names {" ".join(args.names)}: expected {len(args.results)} different names')
    numeric.check_strip(parser, args.columns, args.cell_width)
    return args


def draw(args: argparse.Namespace) -> list[Path]:
    """Do as ``args`` say; the files written."""
    from maskprop.visualization.comparison import TRUTH, compare_videos

    if args.ground_truth and TRUTH in args.names:
        raise ConfigError(f'--names: "{TRUTH}" is the name of the row of ground truth; take another')
    if Path(args.out).exists():  # else it is made once all is checked
        check_writable(args.out, '--out', folder=True)
    written = []
    for path in compare_videos(
        args.annotations,
        args.images,
        dict(zip(args.names, args.results, strict=True)),
        args.out,
        args.videos,
        show_truth=args.ground_truth,
        min_score=args.min_score,
        num_columns=args.columns,
        cell_width=args.cell_width,
        show_labels=not args.no_labels,
        frame_stride=args.frame_stride,
        frame_range=args.frame_range,
    ):
        print(path, flush=True)
        written.append(path)
    return written


def main() -> None:
    """Do ``maskprop compare-videos``."""
    draw(parse_args())
