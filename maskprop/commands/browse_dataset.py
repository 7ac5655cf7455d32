"""Look at a data set: annotated videos, and samples after augmentation as the training gets them.

    maskprop browse CONFIG.py --out page.html            # one page; or --out FOLDER: pictures
    maskprop browse CONFIG.py --split val --number 20 --seed 3 --out shown
    maskprop browse ANN.json --images FOLDER --out page.html

Of a config's training set --number videos and as many samples (pairs or clips of frames) are drawn, of its other
sets and of an annotation file the videos.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from maskprop.engine import cli
from maskprop.engine.model_files import find_config_file
from maskprop.utils import numeric
from maskprop.utils.text import plural


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Arguments of ``maskprop browse``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', metavar='CONFIG|ANN.json', help='a config, or an annotation file')
    parser.add_argument('--out', required=True, metavar='FOLDER|PAGE.html', help='pictures, or one page of them')
    parser.add_argument('--number', type=numeric.positive, default=8, help='of videos, and of samples')
    parser.add_argument('--seed', type=numeric.seed, default=0, help='of the choice and of the augmentation')
    parser.add_argument('--images', metavar='FOLDER', help='of the frames of ANN.json')
    parser.add_argument('--split', choices=('train', 'val', 'test'), default='train', help='of a config')
    parser.add_argument('--cfg-options', nargs='+', action=cli.ConfigOptions, metavar='KEY=VALUE')
    return parser.parse_args(argv)


def browse(args: argparse.Namespace) -> None:
    """Draw as the arguments say, after seeing that the source is there."""
    if not args.source.endswith('.json'):
        find_config_file(args.source)
    elif not Path(args.source).is_file():
        raise FileNotFoundError(f'{args.source}: no such annotation file')
    from maskprop.analysis.browse import browse

    written = browse(
        args.source,
        args.out,
        number=args.number,
        seed=args.seed,
        images=args.images,
        split=args.split,
        cfg_options=args.cfg_options,
    )
    print(
        f'written: {written[0]}'
        if len(written) == 1
        else f'{plural(len(written), "picture")} written to {args.out}'
    )


def main() -> None:
    """Do ``maskprop browse``."""
    browse(parse_args())
