"""Write the frames of videos as pictures, upright, in a folder for each video.

    maskprop extract my_video.mp4 data/my_videos/images
    maskprop extract folder_of_videos data/my_videos/images --stride 5

Frames are named by their numbers in the video, from 0: 00000.jpg, 00005.jpg, ... A folder of pictures is taken
as one video, and written upright and in natural order.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from maskprop.apis.frame_extraction import extract_frames
from maskprop.utils import numeric
from maskprop.utils.text import plural


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Arguments of ``maskprop extract``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=Path, metavar='VIDEO|FOLDER', help='a video file, or a folder of videos')
    parser.add_argument('out', type=Path, help='gets a folder for each video')
    parser.add_argument(
        '--stride', type=numeric.stride, default=1, metavar='S', help='take every S-th frame (default: 1)'
    )
    parser.add_argument(
        '--start',
        type=numeric.whole(0),
        default=0,
        metavar='N',
        help='take frames from number N on (default: 0)',
    )
    parser.add_argument(
        '--stop', type=numeric.positive, metavar='N', help='take frames before number N (default: all)'
    )
    parser.add_argument('--png', action='store_true', help='write PNGs, larger and without loss')
    parser.add_argument('--overwrite', action='store_true', help='replace folders of videos that are there')
    return parser.parse_args(argv)


def extract(args: argparse.Namespace) -> None:
    """Do as the arguments say."""
    extract_frames(
        args.source,
        args.out,
        args.stride,
        (args.start, args.stop),
        '.png' if args.png else '.jpg',
        args.overwrite,
        lambda name, count: print(f'{args.out / name}: {plural(count, "frame")}', flush=True),
    )


def main() -> None:
    """Do ``maskprop extract``."""
    extract(parse_args())
