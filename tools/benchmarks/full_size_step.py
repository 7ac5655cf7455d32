"""Training steps and test frames of the full-size configs: seconds, memory and the rate that is reached.

    python tools/benchmarks/full_size_step.py [CONFIG.py ...] --device cuda [--wrappers Bf16OptimWrapper test]

A step is forward, backward and optimizer step of the config's batch on made-up frames: seconds at the mean size of
training, memory at the largest, each config and wrapper in a process of its own. The rate is FLOPs, as cost_table
counts them, by seconds: give it to that script (--peaks RATE --utilisation 1 1) to plan with what this GPU does.
FLOPs of trainings that propagate objects (OSMN, FEELVOS) are not counted. The wrapper ``test`` is a test frame of
640x360 of a video in progress. Weights are random, so at test the objects are injected as detections.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import common
import cost_table
import torch
from mmengine.config import Config
from models import InjectedDetections
from training_pairs import Batch, make_batch, make_frame

import maskprop

maskprop.register_all()

from mmdet.registry import MODELS  # noqa: E402
from mmengine.logging import MMLogger  # noqa: E402
from mmengine.optim import build_optim_wrapper  # noqa: E402

from maskprop.engine.num_classes import fit_num_classes  # noqa: E402

WRAPPERS = ('OptimWrapper', 'Bf16OptimWrapper')
TEST = 'test'
TEST_SIZE = (360, 640)


def build(cfg: Config, device: str) -> torch.nn.Module:
    """The config's model with random weights."""
    MMLogger.get_instance('benchmarks', log_level='ERROR')  # init_weights says every parameter
    torch.manual_seed(0)
    fit_num_classes(cfg.model, 40)
    forget_weights(cfg.model)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model.to(device)


def forget_weights(part: Any) -> None:
    """Take the checkpoints to begin with out of a model's config, in place."""
    if isinstance(part, dict):
        if (part.get('init_cfg') or {}).get('type') == 'Pretrained':
            part['init_cfg'] = None
        if part.get('vgg'):
            part['vgg'] = None
    for value in part.values() if isinstance(part, dict) else part if isinstance(part, list | tuple) else ():
        forget_weights(value)


class Step:
    """A config's training step, with this type of optim wrapper."""

    def __init__(self, cfg: Config, wrapper: str, args: argparse.Namespace) -> None:
        self.model = build(cfg, args.device).train()
        optim = dict(cfg.optim_wrapper, type=wrapper)
        # the rate is so small that the work stays the same
        optim['optimizer'] = dict(optim['optimizer'], lr=1e-8)
        self.wrapper = build_optim_wrapper(self.model, optim)
        self.pairs, self.objects, self.device = cfg.train_dataloader.batch_size, args.objects, args.device
        self.with_reference = cfg.train_dataloader.dataset.pipeline[0].type == 'SampleReferenceAndPair'

    def take(self, size: tuple[int, int]) -> None:
        """Take a batch of frames of this (height, width) in pixels from now on."""
        batch = make_batch(self.pairs, size, self.objects)
        inputs, samples = with_reference(batch) if self.with_reference else with_support(self.model, batch)
        self.batch = inputs.to(self.device), [sample.to(self.device) for sample in samples]

    def __call__(self) -> None:
        with self.wrapper.optim_context(self.model):
            total, _ = self.model.parse_losses(self.model.loss(*self.batch))
        self.wrapper.update_params(total)


def with_support(model: torch.nn.Module, batch: Batch) -> Batch:
    """The batch with the support frames that a model with an aggregator takes: copies of each frame."""
    inputs, samples = batch
    count = getattr(model.aggregator, 'num_support', 0)
    order = [0, 1, *[0] * count, *[1] * count]
    return inputs[:, order], samples


def with_reference(batch: Batch) -> Batch:
    """The batch with a third frame before its pairs, a copy of their first."""
    inputs, samples = batch
    for sample in samples:
        frames = sample.video_data_samples
        sample.video_data_samples = [frames[0], *frames]
    return inputs[:, [0, 0, 1]], samples


class Frame:
    """A test frame: the next one of a video in progress, always of the same objects."""

    def __init__(self, cfg: Config, args: argparse.Namespace) -> None:
        self.stream = build(cfg, args.device).eval()
        InjectedDetections(self.stream.detector, args.objects, TEST_SIZE)
        labels = torch.arange(args.objects)
        image, sample = make_frame(TEST_SIZE, labels, 0.0, torch.Generator().manual_seed(0))
        self.stream = self.stream.start_video()
        self.image, self.meta = image[None].to(args.device), sample.metainfo

    def __call__(self) -> None:
        self.stream.step(self.image, self.meta)


def measure(config: Path, args: argparse.Namespace) -> dict:
    """A config's row: FLOPs, and for each wrapper seconds of each round and MiB."""
    cfg = Config.fromfile(config)
    mean, largest = cost_table.training_sizes(cfg)
    row = dict(config=config.stem, batch=cfg.train_dataloader.batch_size, mean=mean, largest=largest)
    if not propagates_objects(cfg):
        row['flops'] = cost_table.count_step(cfg, args.objects).flops
    for wrapper in args.wrappers:
        words = [sys.executable, __file__, str(config), '--child', wrapper, '--objects', str(args.objects)]
        words += ['--runs', str(args.runs), '--threads', str(args.threads), '--device', args.device]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
        row[wrapper] = json.loads(done.stdout.splitlines()[-1])
        print(config.stem, wrapper, row[wrapper], flush=True)
    return row


def propagates_objects(cfg: Config) -> bool:
    """Whether the branch is one of objects, whose training cost_table can't count."""
    branch = cfg.model.get('propagation_head')
    return bool(branch) and hasattr(MODELS.get(branch.type), 'frame_products')


def run_child(args: argparse.Namespace) -> None:
    """What a process of :func:`measure` does."""
    cfg = Config.fromfile(args.configs[0])
    if args.child == TEST:
        seconds = common.in_turns(dict(frame=Frame(cfg, args)), args.runs, args.device)['frame']
    else:
        mean, largest = cost_table.training_sizes(cfg)
        step = Step(cfg, args.child, args)
        step.take(mean)
        seconds = common.in_turns(dict(step=step), args.runs, args.device)['step']
        step.take(largest)
        for _ in range(2):
            step()
    mib = common.peak_memory() if args.device == 'cpu' else torch.cuda.max_memory_allocated() / 2**20
    print(json.dumps(dict(seconds=seconds, mib=mib)))


def tables(rows: list[dict], args: argparse.Namespace) -> list[str]:
    """A line for each config and wrapper."""
    cells = []
    for row in rows:
        for wrapper in args.wrappers:
            seconds, gigabytes = row[wrapper]['seconds'], row[wrapper]['mib'] * 2**20 / 1e9
            batch, size, flops = row['batch'], row['mean'], row.get('flops')
            if wrapper == TEST:
                batch, size, flops = 1, TEST_SIZE, None
            cells.append([f'`{row["config"]}`', wrapper, batch, '{1}x{0}'.format(*size)])
            cells[-1] += [common.spread([1e3 * s for s in seconds])]
            cells[-1] += [f'{flops / median(seconds) / 1e12:.3g}' if flops else '', f'{gigabytes:.1f}']
    head = [
        'config',
        'optim wrapper',
        'samples',
        'mean size',
        'ms per step',
        'TFLOPs per second',
        'GB at the largest',
    ]
    return [f'{args.objects} objects per frame:', '', *common.table(head, cells)]


def main() -> None:
    parser = common.parser(__doc__, runs=5)
    parser.add_argument(
        'configs', nargs='*', type=Path, default=[cost_table.FOLDER / name for name in cost_table.CONFIGS]
    )
    parser.add_argument('--wrappers', nargs='+', default=WRAPPERS, choices=(*WRAPPERS, TEST))
    parser.add_argument('--objects', type=int, default=2, help='in a frame; default: %(default)s')
    parser.add_argument('--child', choices=(*WRAPPERS, TEST), help=argparse.SUPPRESS)
    args = parser.parse_args()
    common.start(args)
    if args.child:
        run_child(args)
        return
    rows = [measure(config, args) for config in args.configs]
    common.finish(args, rows, tables(rows, args))


if __name__ == '__main__':
    main()
