"""Score a results file, or check that it can be uploaded; needs neither mmengine nor torch.

    maskprop eval GT.json RESULTS.json [--metrics video_ap hota clear identity] [--out M.json]
    maskprop eval SET.json submission.zip --check

RESULTS may also be the submission zip. Without --metrics, video AP and temporal stability are measured.
M.json holds AP, AP50, AP75, APs, APm, APl, AR1, AR10, AR100, ARs, ARm, ARl and per_category ({category id: AP}) as
numbers in 0..1 at full precision, -1 where there is nothing to count; category_names ({category id: name}); and
an entry each for "stability" (docs/stability.md; null where there is nothing to count), "hota", "clear" and
"identity" (docs/metrics.md).

--check needs no annotations. It looks for every video, and at each result's length, sizes, class, score and masks,
prints each fault in one line, and says in one line whether the file can be uploaded. The exit status is 1 if not.
"""

from __future__ import annotations

import argparse
import sys

from maskprop.evaluation import METRICS, EvalInputError, load_ground_truth, read_results, score_results
from maskprop.evaluation.detections import MIN_SCORE
from maskprop.evaluation.ground_truth import load_frames
from maskprop.evaluation.scoring import DEFAULT_METRICS
from maskprop.evaluation.submission import check_submission, most_of
from maskprop.utils import boundary, numeric
from maskprop.utils.files import check_writable, write_json
from maskprop.utils.text import escaped


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Arguments of ``maskprop eval``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('gt', help='annotation file in YouTube-VIS format')
    parser.add_argument('results', help='results.json, or the submission zip that holds it')
    parser.add_argument('--out', help='write the numbers to this JSON file')
    parser.add_argument(
        '--frame-stride',
        type=numeric.stride,
        default=1,
        metavar='N',
        help='the results are of frames 0, N, 2N, ... of every video (default 1)',
    )
    numeric.add_frame_range(parser)
    parser.add_argument('--class-agnostic', action='store_true', help='take all categories as one')
    parser.add_argument(
        '--metrics',
        nargs='+',
        choices=METRICS,
        default=DEFAULT_METRICS,
        help=f'what to measure: {", ".join(METRICS)} (default {" ".join(DEFAULT_METRICS)})',
        metavar='NAME',
    )
    parser.add_argument(
        '--min-score',
        '--stability-min-score',
        type=numeric.share,
        default=MIN_SCORE,
        metavar='S',
        help='predictions of a lower score take part in video AP only (default %(default)s)',
    )
    parser.add_argument(
        '--drop-unknown',
        action='store_true',
        help='leave results of categories that the set does not list out, instead of refusing them',
    )
    check = parser.add_argument_group('checking')
    check.add_argument('--check', action='store_true', help='check the file for an upload instead of scoring it')
    check.add_argument(
        '--allow-missing', action='store_true', help='videos without results are a warning, no fault'
    )
    check.add_argument(
        '--max-size', type=numeric.number(0), metavar='MIB', help='size in MiB that the server takes'
    )
    args = parser.parse_args(argv)
    if args.check and args.out:
        parser.error('--check scores nothing, so there is nothing to write: leave --out out')
    return args


def main(argv: list[str] | None = None) -> int:
    """Do ``maskprop eval``; its exit status."""
    args = parse_args(argv)
    try:
        return check(args) if args.check else score(args)
    except (EvalInputError, OSError, ValueError) as error:
        boundary.say(error)
        return 1


def check(args: argparse.Namespace) -> int:
    """Say whether a results file can be uploaded; 1 if it has faults, else 0."""
    found = check_submission(
        load_frames(args.gt, args.frame_stride, args.frame_range),
        args.results,
        drop_unknown=args.drop_unknown,
        allow_missing=args.allow_missing,
        max_size=args.max_size,
    )
    for kind, lines in (('error', found.faults), ('warning', found.warnings)):
        for line in most_of(lines):
            print(escaped(f'{kind}: {line}'), file=sys.stderr)
    print(escaped(found.summary))
    return 1 if found.faults else 0


def score(args: argparse.Namespace) -> int:
    """Print and write the metrics of a results file; 0."""
    if args.out:
        check_writable(args.out, '--out', sources=(args.gt, args.results))
    result = score_results(
        load_ground_truth(args.gt, args.frame_stride, args.frame_range),
        read_results(args.results),
        metrics=args.metrics,
        class_agnostic=args.class_agnostic,
        min_score=args.min_score,
        results_name=args.results,
        drop_unknown=args.drop_unknown,
    )
    print(result.table())
    if args.out:
        write_json(args.out, result.to_dict())
    return 0
