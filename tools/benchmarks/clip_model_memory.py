"""Peak memory of Mask2Former-VIS on videos of several lengths: streamed, and as mmdet's own class takes them.

    python tools/benchmarks/clip_model_memory.py [--config CONFIG] [--frames 50 500] [--peer-frames 50]

Random weights and noise; each row is a process of its own. The memory before the first frame (PyTorch, weights) is
taken off. mmdet's class needs the whole video at once.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import common
import torch
from mmengine.config import Config

import maskprop

maskprop.register_all()

from mmdet.registry import MODELS  # noqa: E402
from mmdet.structures import DetDataSample, TrackDataSample  # noqa: E402

from maskprop.engine.num_classes import fit_num_classes  # noqa: E402

CONFIG = Path(__file__).parents[2] / 'configs/mask2former_vis/mask2former_vis_r50_ytvis2021.py'


def build(config: str, peer: bool) -> torch.nn.Module:
    """The model of a config, or mmdet's own class with the same parts."""
    cfg = Config.fromfile(config).model
    fit_num_classes(cfg, 40)
    if peer:
        cfg.track_head.pixel_decoder.type = 'MSDeformAttnPixelDecoder'
        cfg.track_head.loss_cls.class_weight = [1.0] * 41
        keys = ('backbone', 'track_head', 'data_preprocessor')
        cfg = dict(type='Mask2FormerVideo', **{key: cfg[key] for key in keys})
    torch.manual_seed(0)
    return MODELS.build(cfg).eval()


def meta(size: tuple[int, int], frame: int, frames: int) -> dict:
    return dict(img_shape=size, ori_shape=size, batch_input_shape=size, scale_factor=(1.0, 1.0),
                frame_id=frame, video_length=frames)  # fmt: skip


@torch.no_grad()
def measure(config: str, peer: bool, frames: int, size: tuple[int, int]) -> dict:
    """Peak MiB above what was there before the first frame, and seconds a frame."""
    model = build(config, peer)
    before = common.peak_memory()
    begin = time.perf_counter()
    if peer:
        sample = TrackDataSample()
        sample.video_data_samples = [DetDataSample(metainfo=meta(size, t, frames)) for t in range(frames)]
        model.predict(torch.randn(1, frames, 3, *size), [sample])
    else:
        stream = model.start_video()
        for t in range(frames):
            stream.step(torch.randn(1, 3, *size), meta(size, t, frames))
        stream.finish()
    seconds = (time.perf_counter() - begin) / frames
    return dict(peer=peer, frames=frames, peak_mib=common.peak_memory() - before, frame_s=seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--config', default=str(CONFIG))
    parser.add_argument('--frames', type=int, nargs='+', default=[50, 500])
    parser.add_argument('--peer-frames', type=int, nargs='*', default=[50])
    parser.add_argument('--size', type=int, nargs=2, default=(96, 160), metavar=('HEIGHT', 'WIDTH'))
    parser.add_argument('--one', choices=['ours', 'mmdet'], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.config, args.one == 'mmdet', args.frames[0], tuple(args.size))))
        return
    print('| | frames | peak MiB | s per frame |\n|---|---|---|---|')
    jobs = [('ours', count) for count in args.frames] + [('mmdet', count) for count in args.peer_frames]
    for which, count in jobs:
        command = [sys.executable, __file__, '--config', args.config, '--one', which, '--frames', str(count)]
        done = subprocess.run(
            [*command, '--size', *map(str, args.size)], stdout=subprocess.PIPE, text=True, check=True
        )
        row = json.loads(done.stdout.splitlines()[-1])
        print(f'| {which} | {count} | {row["peak_mib"]:.0f} | {row["frame_s"]:.2f} |', flush=True)


if __name__ == '__main__':
    main()
