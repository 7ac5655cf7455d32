"""Segment and track the objects of your own videos. Memory does not grow with their length.

Run:
    maskprop infer mask_rcnn_r50_coco my_video.mp4 --out out          # a published model: maskprop models
    maskprop infer CONFIG CHECKPOINT my_video.mp4 --out out
    maskprop infer CONFIG CHECKPOINT 'clips/*.mp4' other_folder_of_images --out out
    maskprop infer CONFIG CHECKPOINT 0 --out out                      # a camera; Ctrl-C ends it
    maskprop infer CONFIG CHECKPOINT rtsp://HOST/STREAM --out out

Writes overlay.mp4 (each object in a colour of its own, with id, class and score) and results.json (YouTube-VIS
result format, video_id 1; equal to maskprop test on the same frames) into the folder; with several videos, into a
folder of its own for each, named like the video.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from maskprop.apis.saved_formats import NAMES
from maskprop.apis.video_arguments import VideoJob, plan_videos
from maskprop.engine import cli
from maskprop.utils import boundary, numeric
from maskprop.utils.text import escaped, plural

MOST_NAMED = 10  # of the videos that failed


def parse_args() -> argparse.Namespace:
    """Arguments of ``maskprop infer``."""
    parser = cli.ModelParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_model_arguments(parser)
    parser.add_argument(
        'videos',
        nargs='+',
        metavar='VIDEO',
        help="a video file, a folder of images (taken in natural order), a pattern such as 'clips/*.mp4', the "
        'index of a camera, or an address (rtsp://, http://)',
    )
    parser.add_argument('--out', required=True, type=Path, metavar='DIR', help='folder to write to')
    parser.add_argument(
        '--score-thr',
        type=numeric.share,
        default=0.3,
        help='draw and save objects of this score or more (default: 0.3)',
    )
    parser.add_argument('--device', help='cpu, cuda, cuda:1, ... (default: the first GPU, else the CPU)')
    parser.add_argument(
        '--frame-stride',
        type=numeric.stride,
        default=1,
        metavar='S',
        help='take every S-th frame (default: 1, all)',
    )
    parser.add_argument(
        '--every-frame',
        action='store_true',
        help='of a camera or stream: take every frame, late if need be (default: the newest one each time)',
    )
    parser.add_argument(
        '--variant', metavar='NAME', help="link objects as this one of the config's variants does (docs/coco.md)"
    )
    parser.add_argument(
        '--scale',
        type=numeric.positive,
        default=1,
        metavar='N',
        help='draw the overlay N times as large as the video',
    )
    parser.add_argument('--no-video', action='store_true', help='write no overlay.mp4')
    parser.add_argument(
        '--save',
        nargs='+',
        choices=NAMES,
        default=[],
        metavar='FORMAT',
        help=f'write the objects of --score-thr or more in these formats too: {", ".join(NAMES)}',
    )
    parser.add_argument(
        '--cfg-options', nargs='+', action=cli.ConfigOptions, metavar='KEY=VALUE', help='override config keys'
    )
    return parser.parse_args()


def infer(args: argparse.Namespace) -> None:
    """Do as the arguments say."""
    failed: list[str] = []

    def leave_out(name: str, error: Exception) -> None:
        boundary.tell(error)
        failed.append(name)

    jobs = plan_videos(
        args.videos, args.out, args.frame_stride, not args.no_video, args.save, args.scale, on_error=leave_out
    )
    total = len(jobs) + len(failed)
    if jobs:
        # torch and mmdet, which take seconds, come after what can be seen to be wrong without them
        from maskprop.apis import init_model

        model = init_model(args.config, args.checkpoint, args.device, args.cfg_options, args.variant)
        failed += [job.folder.name for job in jobs if not run(model, job, args)]
    if failed:
        sys.exit(1 if total == 1 else escaped(f'{boundary.tool()}: error: {_summary(failed, total)}'))


def _summary(failed: list[str], total: int) -> str:
    named = ', '.join(failed[:MOST_NAMED]) + (', ...' if len(failed) > MOST_NAMED else '')
    return f'{len(failed)} of {plural(total, "video")} failed: {named}'


def run(model: Any, job: VideoJob, args: argparse.Namespace) -> bool:
    """Run one video and print what became of it, an error too; False then, so that others continue."""
    from maskprop.apis import infer_video_to_folder

    if job.source.live:
        print(f'{job.source.name}: Ctrl-C ends it and writes its files', file=sys.stderr)
    try:
        report = infer_video_to_folder(
            model,
            job.source,
            job.folder,
            score_thr=args.score_thr,
            every_frame=args.every_frame,
            write_video=not args.no_video,
            upscale=args.scale,
            save=args.save,
        )
    except Exception as error:  # also what is no fault of the user's: the other videos may be good
        boundary.tell(error)
        return False
    except KeyboardInterrupt:
        sys.exit(escaped(f'{boundary.tool()}: {job.source.name}: interrupted; nothing of it was written'))
    print(report, flush=True)
    return True


def main() -> None:
    """Do ``maskprop infer``."""
    infer(parse_args())
