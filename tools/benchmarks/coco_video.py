"""What a frame costs on a CPU with mmdet's COCO detectors and each way to link them, in seconds of one core.

    python tools/benchmarks/coco_video.py [--size 360 640] [--short-sides 360 480] [--objects 8] [--doc PAGE]

Detectors: a frame of a video of this size, resized to a shorter side, from pixels to boxes and masks, with random
weights; what is found is thrown away. Links: the variants of ``configs/coco`` on moving ellipses in place of
detections, from the frame's masks to ids; RAFT has random weights too. Seconds are those that all
threads of the process compute, so that other work on the machine counts little; the first frames warm up.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import common
import cv2
import numpy as np
import pycocotools.mask as mask_utils
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from torch import nn

from maskprop.apis import init_model
from maskprop.apis.session import VideoSession
from maskprop.structures import View

FOLDER = Path(__file__).resolve().parents[2] / 'configs/coco'
DETECTORS = (
    'rtmdet_ins_tiny',
    'rtmdet_ins_s',
    'rtmdet_ins_m',
    'rtmdet_ins_l',
    'mask_rcnn_r50',
    'htc_r50',
    'htc_x101',
)
WARM_UP = 2  # frames
FILM = 8  # frames that are linked


def build(name: str, short_side: int) -> nn.Module:
    """The model of a config of ``configs/coco``, with random weights; ``short_side``: of its input, in pixels."""
    cfg = Config.fromfile(FOLDER / f'{name}_coco.py')
    cfg.test_dataloader.dataset.pipeline[0].transforms[1].scale = (1333, short_side)
    cfg.variants.flow_raft.propagator.flow.weights = None
    MMLogger.get_instance('benchmarks', log_level='ERROR')  # init_weights says every parameter
    return init_model(cfg, device='cpu')


def film(size: tuple[int, int], frames: int) -> Iterator[np.ndarray]:
    """(height, width, 3) uint8 frames of noise that moves by two pixels each."""
    noise = np.random.default_rng(0).integers(0, 255, (size[0] // 8, size[1] // 8 + 2, 3), np.uint8)
    wide = cv2.resize(noise, (size[1] + 2 * frames, size[0]), interpolation=cv2.INTER_CUBIC)
    for frame in range(frames):
        yield np.ascontiguousarray(wide[:, 2 * frame : 2 * frame + size[1]])


def ellipses(size: tuple[int, int], count: int, frame: int) -> list[dict]:
    """Instances of a frame, as annotations have them: they move as the film does."""
    height, width = size
    found = []
    for number in range(count):
        centre = (int(width * (number + 0.5) / count) - 2 * frame, int(height * (0.3 + 0.4 * (number % 2))))
        mask = np.zeros(size, np.uint8)
        cv2.ellipse(mask, centre, (width // (3 * count), height // 6), 0, 0, 360, 1, -1)
        rle = mask_utils.encode(np.asfortranarray(mask))
        x, y, w, h = mask_utils.toBbox(rle).tolist()
        found.append(dict(bbox=[x, y, x + w, y + h], bbox_label=number % 80, mask=rle, score=0.9))
    return found


def seconds(function: Callable[[], Any]) -> float:
    """Of all threads together."""
    begin = time.process_time()
    function()
    return time.process_time() - begin


@torch.no_grad()
def views(model: nn.Module, size: tuple[int, int], frames: int) -> Iterator[tuple[View, float]]:
    """The film's frames as the network sees them, and the seconds of preparing and detecting each."""
    session = VideoSession(model)
    seen: list[View] = []

    def step(image: torch.Tensor, meta: dict) -> list:
        seen[:] = model.start_features().step(image, meta)
        model.frame_detector.detect(seen[0].feats, [meta])
        return []

    session.stream.step = step
    for frame in film(size, frames):
        taken = seconds(lambda frame=frame: session.step(frame))
        yield seen[0], taken


@torch.no_grad()
def link_seconds(model: nn.Module, seen: list[View], size: tuple[int, int], count: int) -> dict[str, float]:
    """Of each variant, the median over the frames of a stream in its steady state."""
    found = {}
    for name, overrides in model.cfg.variants.items():
        stream = model.start_video(**overrides)
        taken = []
        for index, view in enumerate(seen):
            frame = model.encode(view, needs=stream.needs, instances=ellipses(size, count, index))
            taken.append(seconds(lambda stream=stream, frame=frame: stream.push(frame)))
        found[name] = statistics.median(taken[2 * stream.radius + 1 :])
    return found


def measure(args: argparse.Namespace, short_side: int) -> dict[str, float]:
    """Seconds by detector and by link, with the network's input of this shorter side."""
    size, found = tuple(args.size), {}
    for name in args.detectors:
        model = build(name, short_side)
        found[name] = statistics.median([spent for _, spent in views(model, size, args.runs + WARM_UP)][WARM_UP:])
        print(short_side, name, found[name], flush=True)
    model = build('rtmdet_ins_tiny', short_side)
    return found | link_seconds(model, [view for view, _ in views(model, size, FILM)], size, args.objects)


def main() -> None:
    parser = common.parser(__doc__, runs=3)
    parser.add_argument('--size', type=int, nargs=2, default=(360, 640), metavar=('HEIGHT', 'WIDTH'))
    parser.add_argument('--short-sides', type=int, nargs='+', default=(360, 480), help="of the network's input")
    parser.add_argument('--objects', type=int, default=8, help='in each frame; default: %(default)s')
    parser.add_argument('--detectors', nargs='+', choices=DETECTORS, default=DETECTORS)
    args = parser.parse_args()
    common.start(args)
    cv2.setNumThreads(args.threads)
    found = {short_side: measure(args, short_side) for short_side in args.short_sides}
    first = next(iter(found.values()))
    lines = []
    for title, names in (('detector', args.detectors), ('link', [n for n in first if n not in args.detectors])):
        cells = [[f'`{name}`', *(common.short(spent[name], 2) for spent in found.values())] for name in names]
        lines += ['', *common.table([title, *(f'shorter side {side}' for side in found)], cells)]
    common.finish(args, found, lines[1:])


if __name__ == '__main__':
    main()
