"""Parameters, FLOPs and memory of configs, as Markdown tables; computed from shapes, in seconds.

    maskprop cost configs/maskprop/*.py
    maskprop cost CONFIG.py --size 1280 720 --instances 5 --out cost.md
    maskprop cost CONFIG.py --cfg-options model.aggregator.window=13

What is counted and what is not: docs/models.md.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from maskprop.engine import cli
from maskprop.engine.model_files import find_config_file
from maskprop.utils import numeric


def parse_args() -> argparse.Namespace:
    """Arguments of ``maskprop cost``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('configs', nargs='+', metavar='CONFIG')
    parser.add_argument(
        '--size',
        type=numeric.whole(1, numeric.MOST_SIDE),
        nargs=2,
        default=(640, 360),
        metavar=('WIDTH', 'HEIGHT'),
        help='of a frame, in pixels',
    )
    parser.add_argument('--instances', type=numeric.whole(0, 10_000), default=10, help='detections in a frame')
    parser.add_argument(
        '--num-classes', type=numeric.whole(1, 100_000), default=40, help='of the set; 40 in YouTube-VIS'
    )
    parser.add_argument(
        '--cfg-options', nargs='+', action=cli.ConfigOptions, metavar='KEY=VALUE', help='of every config'
    )
    parser.add_argument('--out', type=Path, metavar='FILE.md', help='write the tables here too')
    return parser.parse_args()


def count(args: argparse.Namespace) -> None:
    """Do as the arguments say."""
    for config in args.configs:
        find_config_file(config)
    from maskprop.engine.config import load_config
    from maskprop.utils.files import check_writable, replace_when_done

    if args.out:
        check_writable(args.out, '--out', sources=args.configs)
    import maskprop

    maskprop.register_all()
    from mmdet.registry import MODELS

    from maskprop.apis.model_cost import can_be_counted, model_cost
    from maskprop.apis.model_cost_tables import cost_tables
    from maskprop.engine.num_classes import fit_num_classes

    costs = {}
    for path in args.configs:
        cfg = load_config(path, args.cfg_options)
        if not cfg.get('model'):
            raise SystemExit(f'{path}: model is not set, so there is nothing to count')
        fit_num_classes(cfg.model, args.num_classes)
        model = MODELS.build(cfg.model)
        if not can_be_counted(model):
            raise SystemExit(
                f'{path}: model.type is {cfg.model.type}; counted are VideoMaskRCNN and models with a count_frame'
            )
        costs[Path(path).stem] = model_cost(model, tuple(args.size[::-1]), args.instances)
        print(f'{path}: done', file=sys.stderr, flush=True)
    text = f'    maskprop cost {shlex.join(sys.argv[1:])}\n\n{cost_tables(costs)}'
    print(text)
    if args.out:
        with replace_when_done(args.out) as temporary:
            temporary.write_text(text + '\n', encoding='utf-8')


def main() -> None:
    """Do ``maskprop cost``."""
    count(parse_args())
