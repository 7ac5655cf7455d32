"""What trainings cost: memory, seconds per step, hours on 8 and 64 GPUs, network; from counts, without a GPU.

    python tools/benchmarks/cost_table.py [CONFIG.py ...] [--peaks 156 312] [--utilisation 0.1 0.4]

Counted, from shapes (maskprop/apis/model_cost.py): parameters, bytes that the backward pass needs of backbone,
STSN and FPN, FLOPs of a step (`TrainingStep`). Estimated: seconds, as those FLOPs by the GPU's peak rate and the
share of it that is reached, and what follows from them. Every cell says which it is: c or e.
"""

from __future__ import annotations

import copy
import re
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import common
import torch
from mmengine.config import Config
from torch import nn

import maskprop

CONFIGS = (
    *(f'maskprop/maskprop_htc_{name}_fpn_20e_ytvis2019.py' for name in ('r50', 'r101', 'x101', 'stsn_x101')),
    'masktrack_rcnn/masktrack_rcnn_r50_fpn_12e_ytvis2019.py',
    'objprop/objprop_r50_fpn_12e_ytvis2019.py',
)
FOLDER = Path(__file__).resolve().parents[2] / 'configs'
ASPECT = 16 / 9  # of nearly all videos of YouTube-VIS
BACKWARD = 2  # a backward pass costs two forward ones: gradients of inputs and of weights
FLOAT = 4  # bytes
PROBES = (2, 6, 10)  # instances, at which FLOPs are counted; and at none, where parts may be left out
GB = 1e9


@dataclass
class TrainingStep:
    """Counts of one step on one GPU.

    Attributes:
        parameters, trainable: numbers of them. in_units: of those that FSDP2 gathers apart; largest_unit: of one.
        states: values that the optimizer keeps for a parameter.
        activations: bytes at the largest training size, of the whole batch.
        flops: forward and backward at the size that is the mean of the training sizes.
        batch: pairs. epochs: of the schedule.
    """

    parameters: int
    trainable: int
    in_units: int
    largest_unit: int
    states: int
    activations: int
    flops: float
    batch: int
    epochs: int


def main() -> None:
    parser = common.parser(__doc__, runs=1)
    parser.add_argument('configs', nargs='*', type=Path, default=[FOLDER / name for name in CONFIGS])
    parser.add_argument('--gpu', default='A100', help="the GPU's name in the table; default: %(default)s")
    parser.add_argument(
        '--peaks', type=float, nargs='+', default=[156, 312], help='TFLOPS: TF32 and bf16; default: %(default)s'
    )
    parser.add_argument(
        '--utilisation', type=float, nargs=2, default=(0.1, 0.4), metavar=('LEAST', 'MOST'), help='of the peak'
    )
    parser.add_argument('--pairs', type=int, default=61845, help='in an epoch: frames with an object')
    parser.add_argument('--annotations', help='count the pairs in this file (YouTube-VIS JSON) instead')
    parser.add_argument('--objects', type=int, default=2, help='annotated in a frame; default: %(default)s')
    parser.add_argument('--gpus', type=int, nargs='+', default=[8, 64], help='the last one is planned for')
    parser.add_argument('--network', type=float, default=200, help='Gbit/s of a node; default: %(default)s')
    args = parser.parse_args()
    common.start(args)
    if args.annotations:
        args.pairs = count_pairs(args.annotations)
    steps = {config.stem: count_step(Config.fromfile(config), args.objects) for config in args.configs}
    rows = [dict(config=name, **row(step, args)) for name, step in steps.items()]
    common.finish(args, rows, tables(rows, args))


def count_pairs(annotations: str) -> int:
    """Pairs of an epoch, as the data set counts them."""
    maskprop.register_all()
    from maskprop.datasets.ytvis_dataset import YouTubeVISJsonDataset

    dataset = YouTubeVISJsonDataset(ann_file=annotations, keep_empty_frames=False, pipeline=[])
    return sum(len(frames) for frames in dataset.key_frames())


def count_step(cfg: Config, objects: int) -> TrainingStep:
    """Count a config's training step.

    Raises:
        BenchmarkError: The model's parts can't be counted.
    """
    maskprop.register_all()
    from maskprop.apis.model_cost import model_cost

    if cfg.model.type != 'VideoMaskRCNN':
        raise common.BenchmarkError(f'{cfg.filename}: only the parts of a VideoMaskRCNN can be counted')
    mean, largest = training_sizes(cfg)
    flops = {n: model_cost(build(cfg), mean, n).flops for n in (0, *PROBES)}
    for part, middle in flops[PROBES[1]].items():
        if 2 * middle != flops[PROBES[0]][part] + flops[PROBES[2]][part]:
            raise common.BenchmarkError(f'{cfg.filename}: FLOPs of {part} are not linear in the instances')
    model = build(cfg).train()
    activations = model_cost(build(cfg), largest, 0).train_bytes
    batch = cfg.train_dataloader.batch_size
    sizes = [count(unit) for unit in fsdp_units(model)]
    return TrainingStep(
        parameters=count(model),
        trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
        in_units=sum(sizes),
        largest_unit=max(sizes, default=0),
        states={'SGD': 1, 'AdamW': 2, 'Adam': 2}[cfg.optim_wrapper.optimizer.type],
        activations=batch * activations,
        flops=batch * (1 + BACKWARD) * forward_flops(cfg, model, flops, objects),
        batch=batch,
        epochs=cfg.train_cfg.max_epochs,
    )


def build(cfg: Config) -> nn.Module:
    """The config's model without weights."""
    from mmdet.registry import MODELS

    from maskprop.engine.num_classes import fit_num_classes

    model = copy.deepcopy(cfg.model)
    fit_num_classes(model, 40)
    with torch.device('meta'):
        return MODELS.build(model)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def fsdp_units(model: nn.Module) -> list[nn.Module]:
    """The modules that FSDP2Strategy gathers apart by default."""
    from maskprop.engine.fsdp import UNITS

    named = [(name, m) for name, m in model.named_modules() if not isinstance(m, nn.ModuleList)]
    return [module for name, module in named if any(re.fullmatch(unit, name) for unit in UNITS)]


def training_sizes(cfg: Config) -> tuple[tuple[int, int], tuple[int, int]]:
    """(height, width) in pixels of a 16:9 frame: of mean area over the sizes drawn, and the largest."""
    broadcaster = next(t for t in cfg.train_dataloader.dataset.pipeline if t.type == 'TransformBroadcaster')
    resize = next(t for t in broadcaster.transforms if 'Resize' in t.type)
    scales = resize.scale if isinstance(resize.scale, list) else [resize.scale]
    if len(scales) == 2:  # drawn evenly between the two
        (long, first), (_, last) = scales
        scales = [(long, short) for short in range(first, last + 1)]
    heights = [min(min(scale), max(scale) / ASPECT) for scale in scales]
    mean = (sum(height**2 for height in heights) / len(heights)) ** 0.5
    crop = next(
        (t.crop_size for t in broadcaster.transforms if t.type == 'RandomCrop'), (max(heights), max(scales[-1]))
    )
    sides = [(round(min(h, crop[0])), round(min(h * ASPECT, crop[1]))) for h in (mean, max(heights))]
    return sides[0], sides[1]


def forward_flops(cfg: Config, model: nn.Module, counted: dict[int, dict[str, int]], objects: int) -> float:
    """FLOPs of one pair's forward pass, from those of a test frame with none and with ``PROBES`` instances."""
    detector = cfg.model.detector
    rcnn = detector.train_cfg.rcnn
    sampler = (rcnn[0] if isinstance(rcnn, list) else rcnn).sampler
    detected = 1 if model.detect_on == 'key' else 2
    supports = window = 0
    if model.aggregator is not None:
        supports, window = model.aggregator.num_support, model.aggregator.window

    def part(name: str, instances: float = 0) -> float:
        few, most = (counted[n].get(name, 0) for n in (PROBES[0], PROBES[-1]))
        return few + (instances - PROBES[0]) * (most - few) / (PROBES[-1] - PROBES[0])

    encoded = counted[0].get('propagation', 0)
    clip = 2 * model.stream.clip_radius + 1  # frames at test; in training t and t + delta
    return (
        part('backbone') * 2 * (1 + supports)
        + part('STSN') * 2 * (1 + supports) / (2 * window + 1)
        + part('FPN') * 2
        + part('RPN') * detected
        + part('box heads') * detected * sampler.num / detector.test_cfg.rpn.max_per_img
        + part('mask heads', sampler.num * sampler.pos_fraction) * detected
        + 2 * encoded
        + (part('propagation', objects) - encoded) * 2 / clip
        + part('refinement', objects)
        + part('tracking', objects) * 2
        + part('attention') * 2
    )


def row(step: TrainingStep, args: Namespace) -> dict[str, Any]:
    """A config's numbers: bytes, FLOPs; seconds and hours as [least, most] for each peak."""
    ranks = args.gpus[-1]
    share = (ranks - 1) / ranks
    weights, gradients = FLOAT * step.parameters, FLOAT * step.trainable
    states = weights + gradients * (1 + step.states)
    root = step.parameters - step.in_units
    gathered = 2 * FLOAT * (root + step.largest_unit)  # with their gradients
    # the root's parameters stay gathered from the forward to the backward pass, the units' come twice
    fsdp_sent = share * (FLOAT * (root + 2 * step.in_units) + gradients)
    result = dict(
        **vars(step),
        single_bytes=states + step.activations,
        ddp_bytes=states + gradients + step.activations,
        fsdp_bytes=states / ranks + gathered + step.activations,
        ddp_sent=2 * share * gradients,
        fsdp_sent=fsdp_sent,
        seconds={},
        hours={},
        network={},
    )
    bandwidth = args.network * 1e9 / 8
    result['network'] = {kind: result[f'{kind}_sent'] / bandwidth for kind in ('ddp', 'fsdp')}
    for peak in args.peaks:
        seconds = sorted(step.flops / (share * peak * 1e12) for share in args.utilisation)
        result['seconds'][f'{peak:g}'] = seconds
        for gpus in args.gpus:
            steps = step.epochs * args.pairs / (gpus * step.batch)
            result['hours'][f'{peak:g}, {gpus}'] = [steps * s / 3600 for s in seconds]
    return result


def tables(rows: list[dict[str, Any]], args: Namespace) -> list[str]:
    """The tables of cost and of the plan, with what stands behind their cells."""
    peaks = [f'{peak:g}' for peak in args.peaks]
    cost_head = ['config', 'samples per GPU', 'memory, GB', 'TFLOPs per step']
    cost_head += [f'seconds per step, {peak} TFLOPS' for peak in peaks]
    cost_head += [f'hours, {n} GPUs, {peak} TFLOPS' for peak in peaks for n in args.gpus]
    cost, plan = [], []
    for r in rows:
        cost.append([
            f'`{r["config"]}`', r['batch'], f'{r["single_bytes"] / GB:.1f} c', f'{r["flops"] / 1e12:.2f} c',
            *(between(r['seconds'][peak]) for peak in peaks),
            *(between(r['hours'][f'{peak}, {n}']) for peak in peaks for n in args.gpus),
        ])  # yapf: disable # fmt: skip
        plan += [plan_row(r, kind, peaks) for kind in ('ddp', 'fsdp')]
    plan_head = ['config', 'strategy', 'memory per GPU, GB', 'sent per GPU and step, MB', 'seconds of network']
    plan_head += [f'steps per hour, {peak} TFLOPS' for peak in peaks]
    plan_head += [f'network / computing, {peak} TFLOPS' for peak in peaks]
    source = args.annotations or 'assumed, all listed frames of the training set'
    low, high = args.utilisation
    return [
        f'c: counted; e: estimated for one {args.gpu} at {high:.0%} and at {low:.0%} of the peak named. '
        f'{args.pairs} samples per epoch ({source}), {args.objects} objects per frame, epochs of the config.',
        '', *common.table(cost_head, cost), '',
        f'The same on {args.gpus[-1]} GPUs, nodes joined at {args.network:g} Gbit/s:',
        '', *common.table(plan_head, plan),
    ]  # yapf: disable # fmt: skip


def plan_row(r: dict[str, Any], kind: str, peaks: list[str]) -> list[str]:
    """A config's row of the plan; two thirds of a step, the backward pass, hide the network."""
    network = r['network'][kind]
    times = {
        peak: [s + max(0.0, network - s * BACKWARD / (1 + BACKWARD)) for s in r['seconds'][peak]] for peak in peaks
    }
    return [
        f'`{r["config"]}`', dict(ddp='DDP', fsdp='FSDP2')[kind], f'{r[f"{kind}_bytes"] / GB:.1f} c',
        f'{r[f"{kind}_sent"] / 1e6:.0f} c', f'{network:.3f} e',
        *(between([3600 / s for s in times[peak]], digits=0) for peak in peaks),
        *(between([network / s for s in r['seconds'][peak]], digits=2) for peak in peaks),
    ]  # yapf: disable # fmt: skip


def between(values: list[float], digits: int | None = None) -> str:
    """``least to most e``."""
    texts = [f'{value:.2g}' if digits is None else f'{value:.{digits}f}' for value in values]
    return f'{texts[0]} to {texts[1]} e'


if __name__ == '__main__':
    main()
