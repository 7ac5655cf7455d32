"""Make mini-train and mini-val out of an annotated set, by whole videos, each category in its share.

    maskprop split data/youtube_vis_2019/annotations/train.json --val-videos 238 --seed 0
    maskprop split data/my_videos/all.json --val-share 0.2

The public validation sets of YouTube-VIS have no annotations; mini-val is what a training is validated on.
"""

from __future__ import annotations

import argparse

from maskprop.datasets.splits import videos_of_share, write_split
from maskprop.utils import boundary, numeric
from maskprop.utils.text import escaped


def main() -> int:
    """Do ``maskprop split``; its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition('\n')[0], epilog='Writes mini_train.json and mini_val.json.'
    )
    parser.add_argument('gt', help='annotation file in YouTube-VIS format')
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument('--val-videos', type=numeric.positive, help='number of videos in mini-val')
    size.add_argument('--val-share', type=numeric.share, help='share of the videos in mini-val, such as 0.2')
    parser.add_argument(
        '--seed', type=numeric.seed, default=0, help='another seed gives another split (default: 0)'
    )
    parser.add_argument('--out-dir', help='folder to write to (default: that of the annotation file)')
    parser.add_argument('--overwrite', action='store_true', help='replace the files of another split')
    args = parser.parse_args()
    try:
        count = args.val_videos if args.val_share is None else videos_of_share(args.gt, args.val_share)
        train, val, table = write_split(args.gt, count, args.seed, args.out_dir, args.overwrite)
    except (OSError, ValueError) as error:
        boundary.say(error)
        return 1
    print(f'{table}\n\nwrote {escaped(train)}\nwrote {escaped(val)}')
    return 0
