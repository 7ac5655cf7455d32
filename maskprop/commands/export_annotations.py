"""Write an annotation set, or results on it, in another format (docs/formats.md).

    maskprop export data/my_videos/val.json OUT --to cvat
    maskprop export data/my_videos/val.json OUT --to mots --results results.json --score-thr 0.3

coco and csv write a file, the others a folder. What is written is read by maskprop import.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from maskprop.datasets.formats import WRITERS
from maskprop.datasets.formats.finding import WRITABLE
from maskprop.datasets.formats.sets import categories_of, drop_scores_below, frames_of_set
from maskprop.datasets.ytvis_json import AnnotationError, load_ytvis, subsample_frames
from maskprop.engine.errors import ConfigError
from maskprop.evaluation.checked_results import read_checked_results
from maskprop.utils import numeric
from maskprop.utils.files import check_writable
from maskprop.utils.text import escaped


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Arguments of ``maskprop export``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('gt', type=Path, help='annotation file in YouTube-VIS format')
    parser.add_argument('out', type=Path, help='a file for coco and csv, a folder for others')
    parser.add_argument('--to', required=True, choices=WRITABLE, help='the format')
    parser.add_argument('--results', type=Path, metavar='JSON', help='write these results in place of annotations')
    parser.add_argument(
        '--score-thr', type=numeric.share, default=0.0, help='leave out results of a lower score (default: 0)'
    )
    stride = 'write frames 0, S, 2S, ... only, as those that the results are of'
    parser.add_argument('--frame-stride', type=numeric.stride, default=1, metavar='S', help=stride)
    parser.add_argument('--overwrite', action='store_true', help='OUT may be there already')
    return parser.parse_args(argv)


def convert(args: argparse.Namespace) -> None:
    """Do as the arguments say."""
    form = WRITABLE[args.to]
    if args.out.exists() and not args.overwrite and not (args.out.is_dir() and not any(args.out.iterdir())):
        raise ConfigError(f'{args.out} exists: pass --overwrite, or give another name')
    folder = form.folder and args.out.suffix.lower() != '.xml'
    check_writable(args.out, 'OUT', folder, sources=(args.gt, args.results))
    gt = load_ytvis(args.gt, require_annotations=args.results is None)
    gt = subsample_frames(gt, args.frame_stride)
    results = read_checked_results(args.results, gt, args.gt) if args.results else None
    videos = frames_of_set(gt, results, str(args.results or args.gt))
    if args.score_thr > 0:
        videos = drop_scores_below(videos, args.score_thr)
    try:
        written = WRITERS[args.to](args.out, videos, categories_of(gt))
    except UnicodeEncodeError as error:  # half of a character, as JSON may hold and no file's text
        found = f'a name has {error.object[error.start]!a}, which is no character'
        raise AnnotationError(f'{args.gt}: {found}; rename it, or use --to coco') from None
    for path in written:
        print(f'{escaped(path)}: written')


def main() -> None:
    """Do ``maskprop export``."""
    convert(parse_args())
