"""The oracle study: video AP when boxes, then classes, masks and ids come from the ground truth (docs/oracle.md).

    maskprop oracle CONFIG.py CHECKPOINT.pth
    maskprop oracle CONFIG.py CHECKPOINT.pth --out rows.json --box-iou 0.5 --frame-stride 3

On the test set of the config, which needs annotations. Prints the rows of ObjProp's Table 1 beside the paper's
numbers and, with ``--out``, writes them as JSON.
"""

from __future__ import annotations

import argparse

from maskprop.engine import cli
from maskprop.utils import numeric


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Arguments of ``maskprop oracle``."""
    parser = cli.ModelParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_model_arguments(parser)
    parser.add_argument('--out', metavar='ROWS.json', help='write the rows: all metrics in 0..1, full precision')
    parser.add_argument(
        '--box-iou',
        type=numeric.share,
        default=0.5,
        help='a detection takes a ground-truth box from this IoU on',
    )
    parser.add_argument(
        '--frame-stride', type=numeric.stride, metavar='N', help="use every N-th frame (default: the config's)"
    )
    cli.add_test_set_arguments(parser)
    args = parser.parse_args(argv)
    if not 0 < args.box_iou <= 1:
        parser.error(f'--box-iou {args.box_iou}: expected an IoU above 0, and 1 at most')
    return args


def study(args: argparse.Namespace) -> list[dict]:
    """Run the study as ``args`` say; the rows."""
    from maskprop.engine.errors import ConfigError
    from maskprop.utils.files import check_writable, write_json

    if args.out:
        check_writable(args.out, '--out')
    cfg = cli.load_test_config(args)
    from maskprop.apis.model import init_model, require_same_classes
    from maskprop.apis.oracle import count_unseen, format_table, oracle_results, score_rows
    from maskprop.engine.checks import build_annotated_test_set
    from maskprop.evaluation import load_ground_truth

    missing = [key for key in ('model', 'test_dataloader') if not cfg.get(key)]
    if missing:
        raise ConfigError(f'config {args.config}: {", ".join(missing)} is not set')
    if args.frame_stride is not None:
        cfg.test_dataloader.dataset.frame_stride = args.frame_stride
    dataset = build_annotated_test_set(cfg)
    truth = load_ground_truth(dataset.ann_file, dataset.frame_stride, dataset.frame_range)
    model = init_model(cfg, args.checkpoint)
    require_same_classes(model, dataset)

    rows = score_rows(truth, oracle_results(model, dataset, args.box_iou, cli.print_progress))
    print(f'\n{format_table(rows)}')
    if unseen := count_unseen(truth):
        print(
            f'{dataset.ann_file}: objects without a mask in any frame: {unseen}; no result can match them, so the '
            'last row stays below 100'
        )
    if args.out:
        settings = dict(box_iou=args.box_iou, frame_stride=dataset.frame_stride)
        write_json(args.out, [{**row, **settings} for row in rows])
    return rows


def main() -> None:
    """Do ``maskprop oracle``."""
    study(parse_args())
