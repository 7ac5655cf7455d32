"""Score a results file with video AP and temporal stability; needs neither mmengine nor torch.

    python tools/eval_results.py GT.json RESULTS.json [--out metrics.json]

RESULTS may also be the submission zip. metrics.json holds AP, AP50, AP75, APs, APm, APl, AR1, AR10, AR100, ARs,
ARm, ARl and per_category ({category id: AP}) as numbers in 0..1 at full precision; -1 where there is nothing to
count. Its entry "stability" has the numbers of docs/stability.md, null where there is nothing to count.
"""

from __future__ import annotations

import argparse
import sys
import warnings

from maskprop.evaluation import EvalInputError, load_ground_truth, read_results, score_results
from maskprop.evaluation.stability import MIN_SCORE
from maskprop.utils import boundary
from maskprop.utils.files import check_writable, write_json


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('gt', help='annotation file in YouTube-VIS format')
    parser.add_argument('results', help='results.json, or the submission zip that holds it')
    parser.add_argument('--out', help='write the numbers to this JSON file')
    parser.add_argument(
        '--frame-stride',
        type=int,
        default=1,
        metavar='N',
        help='the results are of frames 0, N, 2N, ... of every video (default 1)',
    )
    parser.add_argument(
        '--frame-range',
        type=float,
        nargs=2,
        default=(0.0, 1.0),
        metavar=('START', 'STOP'),
        help='the results are of this part of every video, in fractions of it (default 0 1)',
    )
    parser.add_argument('--class-agnostic', action='store_true', help='take all categories as one')
    parser.add_argument('--no-stability', action='store_true', help='measure video AP only')
    parser.add_argument(
        '--stability-min-score',
        type=float,
        default=MIN_SCORE,
        metavar='S',
        help='predictions of a lower score take no part in the stability (default %(default)s)',
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    warnings.formatwarning = lambda message, *_, **__: f'warning: {message}\n'
    try:
        if args.out:
            check_writable(args.out, '--out')
        truth = load_ground_truth(args.gt, args.frame_stride, tuple(args.frame_range))
        result = score_results(
            truth,
            read_results(args.results),
            class_agnostic=args.class_agnostic,
            stability=not args.no_stability,
            min_score=args.stability_min_score,
            results_name=args.results,
        )
    except (EvalInputError, OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(result.table())
    if args.out:
        write_json(args.out, result.to_dict())
    return 0


if __name__ == '__main__':
    sys.exit(boundary.run(main))
