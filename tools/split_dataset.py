"""Make mini-train and mini-val out of an annotated set, by whole videos, each category in its share.

    python tools/split_dataset.py data/youtube_vis_2019/annotations/train.json --val-videos 238 --seed 0

The public validation sets of YouTube-VIS have no annotations; mini-val is what a training is validated on.
"""

from __future__ import annotations

import argparse
import sys

from maskprop.datasets.splits import write_split
from maskprop.utils import boundary


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.partition('\n')[0], epilog='Writes mini_train.json and mini_val.json.'
    )
    parser.add_argument('gt', help='annotation file in YouTube-VIS format')
    parser.add_argument('--val-videos', type=int, required=True, help='number of videos in mini-val')
    parser.add_argument('--seed', type=int, default=0, help='another seed gives another split (default: 0)')
    parser.add_argument('--out-dir', help='folder to write to (default: that of the annotation file)')
    parser.add_argument('--overwrite', action='store_true', help='replace the files of another split')
    args = parser.parse_args()
    try:
        train, val, table = write_split(args.gt, args.val_videos, args.seed, args.out_dir, args.overwrite)
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(f'{table}\n\nwrote {train}\nwrote {val}')
    return 0


if __name__ == '__main__':
    sys.exit(boundary.run(main))
