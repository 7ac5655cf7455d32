"""Propagation quality: mean IoU of ground-truth masks carried over 1 to 10 frames.

    maskprop eval-propagation configs/demo/maskprop_tiny_synthetic.py CHECKPOINT.pth
    maskprop eval-propagation CONFIG.py CHECKPOINT.pth --gaps 1 2 3 --frame-stride 3 --out quality.json

Three ways on the same pairs of frames: propagated by the model, copied unchanged, and shifted by the ground
truth's own centroid motion.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from maskprop.engine import cli
from maskprop.utils import numeric

GROUPS = ((1, 3), (4, 6), (7, 10))


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Arguments of ``maskprop eval-propagation``."""
    parser = cli.ModelParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_model_arguments(parser)
    parser.add_argument('--gaps', type=numeric.positive, nargs='+', default=list(range(1, 11)), help='in frames')
    parser.add_argument(
        '--frame-stride', type=numeric.stride, default=1, help='use every s-th frame of each video'
    )
    parser.add_argument('--every', type=numeric.positive, default=3, help='every how many frames a mask starts')
    parser.add_argument('--out', type=Path, help='write the mean IoU of every gap as JSON')
    cli.add_test_set_arguments(parser)
    return parser.parse_args(argv)


def evaluate(args: argparse.Namespace) -> None:
    """Do as the arguments say."""
    from maskprop.utils.files import check_writable, write_json

    if args.out:
        check_writable(args.out, '--out')
    cfg = cli.load_test_config(args)
    from maskprop.apis import init_model
    from maskprop.apis.propagation_quality import propagation_quality
    from maskprop.engine.checks import build_annotated_test_set

    cfg.test_dataloader.dataset.frame_stride = args.frame_stride
    dataset = build_annotated_test_set(cfg)
    model = init_model(cfg, args.checkpoint)
    quality = propagation_quality(model, dataset, args.gaps, args.every, cli.print_progress)
    if args.out:
        write_json(args.out, quality)
    print('mean IoU   ' + ' '.join(f'gap {a}-{b}'.rjust(9) for a, b in GROUPS))
    for name, by_gap in quality.items():
        means = []
        for low, high in GROUPS:
            found = [value for gap, value in by_gap.items() if low <= gap <= high]
            means.append(f'{sum(found) / len(found):9.3f}' if found else '        -')
        print(f'{name:10s} ' + ' '.join(means))


def main() -> None:
    """Do ``maskprop eval-propagation``."""
    evaluate(parse_args())
