"""Finds and tracks objects in your own video, streamed: memory does not grow with its length.

Run:
    python tools/infer_video.py CONFIG CHECKPOINT VIDEO_OR_FOLDER --out OUT_DIR

Writes OUT_DIR/overlay.mp4 (each object in a colour of its own, with class and score) and OUT_DIR/results.json
(YouTube-VIS result format, video_id 1; equal to tools/test.py on the same frames).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from maskprop.apis import infer_video_to_folder, init_model
from maskprop.engine import cli


def parse_args() -> argparse.Namespace:
    parser = cli.ModelParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_model_arguments(parser)
    parser.add_argument('video', help='a video file, or a folder of images (taken in natural order)')
    parser.add_argument('--out', required=True, type=Path, metavar='DIR', help='folder to write to')
    parser.add_argument(
        '--score-thr', type=float, default=0.3, help='draw objects of this score or more in a frame (default: 0.3)'
    )
    parser.add_argument('--device', help='cpu, cuda, cuda:1, ... (default: the first GPU, else the CPU)')
    parser.add_argument(
        '--frame-stride', type=int, default=1, metavar='S', help='take every S-th frame (default: 1, all)'
    )
    parser.add_argument(
        '--variant', metavar='NAME', help="link objects as this one of the config's variants does (docs/coco.md)"
    )
    parser.add_argument('--no-video', action='store_true', help='write results.json only')
    parser.add_argument(
        '--cfg-options', nargs='+', action=cli.ConfigOptions, metavar='KEY=VALUE', help='override config keys'
    )
    return parser.parse_args()


def infer(args: argparse.Namespace) -> None:
    """Do as the arguments say."""
    model = init_model(args.config, args.checkpoint, args.device, args.cfg_options, args.variant)
    count = infer_video_to_folder(
        model,
        args.video,
        args.out,
        score_thr=args.score_thr,
        frame_stride=args.frame_stride,
        write_video=not args.no_video,
    )
    print(f'{count} results in {args.out}')


if __name__ == '__main__':
    cli.run(infer, parse_args)
