"""Training steps of the full-size configs: seconds, memory and the rate that is reached.

    python tools/benchmarks/full_size_step.py [CONFIG.py ...] --device cuda [--wrappers Bf16OptimWrapper]

A step is forward, backward and optimizer step of the config's batch on made-up frames: seconds at the mean size of
training, memory at the largest, each config and wrapper in a process of its own. The rate is FLOPs, as cost_table
counts them, by seconds: give it to that script (--peaks RATE --utilisation 1 1) to plan with what this GPU does.
Weights are random.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median

import common
import cost_table
import torch
from mmengine.config import Config
from training_pairs import Batch, make_batch

import maskprop

maskprop.register_all()

from mmdet.registry import MODELS  # noqa: E402
from mmengine.logging import MMLogger  # noqa: E402
from mmengine.optim import build_optim_wrapper  # noqa: E402

from maskprop.engine.num_classes import fit_num_classes  # noqa: E402

WRAPPERS = ('OptimWrapper', 'Bf16OptimWrapper')


class Step:
    """A config's training step, with this type of optim wrapper."""

    def __init__(self, cfg: Config, wrapper: str, args: argparse.Namespace) -> None:
        MMLogger.get_instance('benchmarks', log_level='ERROR')  # init_weights says every parameter
        torch.manual_seed(0)
        fit_num_classes(cfg.model, 40)
        for part in (cfg.model.detector, cfg.model.detector.backbone):
            part.init_cfg = None
        self.model = MODELS.build(cfg.model)
        self.model.init_weights()
        self.model.to(args.device).train()
        optim = dict(cfg.optim_wrapper, type=wrapper)
        # the rate is so small that the work stays the same
        optim['optimizer'] = dict(optim['optimizer'], lr=1e-8)
        self.wrapper = build_optim_wrapper(self.model, optim)
        self.pairs, self.objects, self.device = cfg.train_dataloader.batch_size, args.objects, args.device

    def take(self, size: tuple[int, int]) -> None:
        """Take a batch of frames of this (height, width) in pixels from now on."""
        inputs, samples = with_support(self.model, make_batch(self.pairs, size, self.objects))
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


def measure(config: Path, args: argparse.Namespace) -> dict:
    """A config's row: FLOPs, and for each wrapper seconds of each round and MiB."""
    cfg = Config.fromfile(config)
    mean, largest = cost_table.training_sizes(cfg)
    row = dict(config=config.stem, batch=cfg.train_dataloader.batch_size, mean=mean, largest=largest)
    row['flops'] = cost_table.count_step(cfg, args.objects).flops
    for wrapper in args.wrappers:
        words = [sys.executable, __file__, str(config), '--child', wrapper, '--objects', str(args.objects)]
        words += ['--runs', str(args.runs), '--threads', str(args.threads), '--device', args.device]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
        row[wrapper] = json.loads(done.stdout.splitlines()[-1])
        print(config.stem, wrapper, row[wrapper], flush=True)
    return row


def run_child(args: argparse.Namespace) -> None:
    """What a process of :func:`measure` does."""
    cfg = Config.fromfile(args.configs[0])
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
            cells.append([f'`{row["config"]}`', wrapper, row['batch'], '{1}x{0}'.format(*row['mean'])])
            cells[-1] += [common.spread([1e3 * s for s in seconds])]
            cells[-1] += [f'{row["flops"] / median(seconds) / 1e12:.3g}', f'{gigabytes:.1f}']
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
    parser.add_argument('--wrappers', nargs='+', default=WRAPPERS, choices=WRAPPERS)
    parser.add_argument('--objects', type=int, default=2, help='in a frame; default: %(default)s')
    parser.add_argument('--child', choices=WRAPPERS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    common.start(args)
    if args.child:
        run_child(args)
        return
    rows = [measure(config, args) for config in args.configs]
    common.finish(args, rows, tables(rows, args))


if __name__ == '__main__':
    main()
