"""MaskProp's training step on a pair against that of mmdet's MaskTrack R-CNN, and what saves memory and time.

    python tools/benchmarks/training_step.py [--size 360 640] [--instances 4] [--cases checkpointing bf16 ...]

A step is forward, backward and optimizer step on one pair, Mask R-CNN ResNet-50-FPN with the paper's propagation
branch against the same detector with mmdet's track head, its RPN mended (``MendedMaskTrackRCNN``). Both have the
same weights, frozen parts and random samples: the script fails if their detection losses differ. Memory is by how
much the model, its optimizer and the two first steps make it grow at most, libraries not counted. The cases are
MaskProp's step with gradient checkpointing, gradient accumulation, bf16 or, if asked for, torch.compile, which
takes minutes to begin. The curves are those of the demo's small model in fp32 and bf16. Without --cases, bf16 is
left out on a CPU that has no instructions for it, where a step takes many times as long.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from functools import partial
from statistics import median

import common
import models
import torch
from training_pairs import Batch, make_batch

import maskprop

maskprop.register_all()

from mmengine.config import Config  # noqa: E402
from mmengine.optim import OptimWrapper, build_optim_wrapper  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from maskprop.engine.bf16 import Bf16OptimWrapper  # noqa: E402
from maskprop.engine.compile_hook import compile_parts  # noqa: E402
from maskprop.engine.num_classes import fit_num_classes  # noqa: E402

DETECTION_LOSSES = ('loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox', 'loss_mask')
TOLERANCE = 1e-4  # relative
SEED = 0
PEER = 'mmdet MaskTrack R-CNN'
CASES = ('checkpointing', 'accumulation', 'bf16', 'compile')
STEPS = 2  # while memory is measured: the second has the optimizer's state
ACCUMULATED = 2
WINDOW = 10  # steps that a smoothed loss is the mean of


class Step:
    """One training step of a model, always on the same pair and the same random samples."""

    def __init__(self, model: nn.Module, batch: Batch, wrapper: OptimWrapper, forwards: int = 1) -> None:
        self.model, self.batch, self.wrapper, self.forwards = model.train(), batch, wrapper, forwards

    def losses(self) -> dict[str, Tensor]:
        torch.manual_seed(SEED)
        return self.model.loss(*self.batch)

    def __call__(self) -> None:
        for _ in range(self.forwards):
            with self.wrapper.optim_context(self.model):
                total, _ = self.model.parse_losses(self.losses())
            self.wrapper.update_params(total)


def build_step(name: str, args: argparse.Namespace) -> Step:
    """The step of :data:`PEER`, of ``'MaskProp'``, or MaskProp's in a case of :data:`CASES`."""
    cfg = models.mmdet_mask_track_cfg() if name == PEER else models.maskprop_cfg()
    cfg.detector.backbone.with_cp = name == 'checkpointing'
    model = models.build(cfg, args.device)
    accumulate = ACCUMULATED if name == 'accumulation' else 1
    # the rate is so small that the work stays the same
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9, weight_decay=1e-4)
    kind = Bf16OptimWrapper if name == 'bf16' else OptimWrapper
    wrapper = kind(optimizer=optimizer, clip_grad=dict(max_norm=35), accumulative_counts=accumulate)
    # as mmengine's loops do: how many iterations there will be decides the last factor of the losses
    wrapper.initialize_count_status(model, 0, accumulate * 10**6)
    if name == 'compile':
        compile_parts(model, backend=args.backend)
    return Step(model, make_batch(1, args.size, args.instances, device=args.device), wrapper, accumulate)


def check_detectors(ours: Step, peer: Step) -> float:
    """The largest relative difference of the detection losses, of equal weights and samples.

    Raises:
        BenchmarkError: it is above 1e-4, or the detectors don't train the same parameters.
    """
    models.share_detector(ours.model, peer.model)
    trained = [{n for n, p in s.model.detector.named_parameters() if p.requires_grad} for s in (ours, peer)]
    if trained[0] != trained[1]:
        raise common.BenchmarkError(f'only one side trains {sorted(trained[0] ^ trained[1])[:5]}')
    found = []
    for step in (ours, peer):
        with torch.no_grad(), common.full_precision():
            losses = step.losses()
        found.append({name: _total(losses[name]) for name in DETECTION_LOSSES})
    return _check_equal(*found)


def first_compiled_step(eager: Step, compiled: Step) -> float:
    """Seconds of the first forward and backward pass of a compiled step; BenchmarkError if its losses differ."""
    begin = time.perf_counter()
    losses = compiled.losses()
    compiled.model.parse_losses(losses)[0].backward()
    common.synchronize(compiled.batch[0].device.type)
    seconds = time.perf_counter() - begin
    compiled.wrapper.zero_grad()
    with torch.no_grad():
        expected = eager.losses()
    names = [name for name in expected if 'loss' in name]
    _check_equal(*({name: _total(found[name]) for name in names} for found in (losses, expected)))
    return seconds


def _check_equal(found: dict[str, float], expected: dict[str, float]) -> float:
    apart = max(abs(found[name] - value) / abs(value) for name, value in expected.items())
    if not apart <= TOLERANCE:
        raise common.BenchmarkError(f'the losses differ by {apart:.1e}: {found} and {expected}')
    return apart


def _total(loss: Tensor | Sequence[Tensor]) -> float:
    return (sum(loss) if isinstance(loss, list) else loss).item()


def warmed_up(name: str, args: argparse.Namespace, eager: Step | None = None) -> tuple[Step, dict[str, float]]:
    """A step after :data:`STEPS` steps; of the compiled one, :func:`first_compiled_step` too."""
    step, extra = build_step(name, args), {}
    if name == 'compile':
        step.model.load_state_dict(eager.model.state_dict())  # which has made steps
        extra = dict(first_s=first_compiled_step(eager, step))
    for _ in range(STEPS):
        step()
    return step, extra


def step_rows(args: argparse.Namespace) -> list[dict]:
    """Seconds per pair and memory of both sides and the cases; ``ratio`` to the peer's, a case's to MaskProp's."""
    small = argparse.Namespace(**vars(args) | dict(size=(64, 96)))
    warmed_up(PEER, small)  # threads and kernels are there before memory is looked at
    steps: dict[str, Step] = {}
    rows = {}
    for name in ('MaskProp', PEER, *args.cases):
        make = partial(warmed_up, name, args, steps.get('MaskProp'))
        (steps[name], extra), mib = common.memory_growth(make, args.device)
        rows[name] = dict(name=name, mib=mib, **extra)
    apart = check_detectors(steps['MaskProp'], steps[PEER])
    print(f'largest relative difference of the detection losses: {apart:.1e}')
    seconds = common.in_turns(steps, args.runs, args.device, warm_up=False)
    seconds = {name: [s / steps[name].forwards for s in found] for name, found in seconds.items()}
    for name, row in rows.items():
        base = PEER if name in ('MaskProp', PEER) else 'MaskProp'
        row.update(base=base, seconds=seconds[name], difference=apart)
        row['ratios'] = common.ratios(seconds[name], seconds[base])
        row['memory_ratio'] = None if row['mib'] is None else row['mib'] / rows[base]['mib']
    return list(rows.values())


def step_table(rows: Sequence[dict]) -> list[str]:
    """Lines of the table of :func:`step_rows`."""
    cells = []
    for row in rows:
        ratios = ['', '']
        if row['name'] != row['base']:
            share = row['memory_ratio']
            ratios = [common.spread(row['ratios']), '' if share is None else f'{share:.2f}']
        name = row['name'] if row['base'] == PEER else f'MaskProp, {row["name"]}'
        cells.append([name, common.spread(row['seconds']), ratios[0], common.mebibytes(row['mib']), ratios[1]])
    head = ['step', 's per sample', 'ratio', 'memory, MiB', 'ratio']
    lines = common.table(head, cells)
    for row in rows:
        lines += ['', f'The first step, which compiles: {row["first_s"]:.0f} s.'] if 'first_s' in row else []
    return lines


def train_curve(wrapper: str, steps: int, device: str, nudge: float = 0.0) -> list[float]:
    """Losses of the demo's small model, trained from a fixed seed on eight pairs, two a step.

    Args:
        wrapper: type of the optim wrapper.
        steps: of training.
        device: of the model.
        nudge: relative size of a random change of the first weights.
    """
    cfg = Config.fromfile(models.CONFIGS / 'demo/maskprop_tiny_synthetic.py')
    fit_num_classes(cfg.model, 3)
    model = models.build(cfg.model, device).train()
    for parameter in model.parameters():
        parameter.data.mul_(1 + nudge * torch.randn_like(parameter))
    optim = dict(cfg.optim_wrapper, type=wrapper)
    optim['optimizer'] = dict(optim['optimizer'], lr=1e-3)
    wrapped = build_optim_wrapper(model, optim)
    batches = [make_batch(2, (96, 160), 3, seed=seed, classes=3, device=device) for seed in range(4)]
    totals = []
    for index in range(steps):
        torch.manual_seed(index)
        with wrapped.optim_context(model):
            total, _ = model.parse_losses(model.loss(*batches[index % len(batches)]))
        wrapped.update_params(total)
        totals.append(total.item())
    return totals


def curve_rows(args: argparse.Namespace) -> list[dict]:
    """Mean losses over windows of steps in fp32, bf16, and fp32 from weights that differ by a rounding of bf16."""
    kinds = dict(fp32=('OptimWrapper', 0.0), bf16=('Bf16OptimWrapper', 0.0), nudged=('OptimWrapper', 2**-9))
    curves = {name: train_curve(kind, args.steps, args.device, nudge) for name, (kind, nudge) in kinds.items()}
    rows = []
    for start in range(0, args.steps - WINDOW + 1, WINDOW):
        means = {name: sum(curve[start : start + WINDOW]) / WINDOW for name, curve in curves.items()}
        apart = {f'{name}_apart': abs(means[name] / means['fp32'] - 1) for name in ('bf16', 'nudged')}
        rows.append(dict(first=start + 1, last=start + WINDOW, **means, **apart))
    return rows


def curve_table(rows: Sequence[dict]) -> list[str]:
    """Lines of the table of :func:`curve_rows`."""
    cells = []
    for row in rows:
        losses = [f'{row[name]:.3f}' for name in ('fp32', 'bf16', 'nudged')]
        apart = [f'{row[f"{name}_apart"]:.1%}' for name in ('bf16', 'nudged')]
        cells.append([f'{row["first"]} to {row["last"]}', *losses, *apart])
    head = [
        'steps',
        'fp32',
        'bf16',
        'fp32, initial weights perturbed',
        'bf16: difference',
        'perturbed: difference',
    ]
    worst = {name: max(row[f'{name}_apart'] for row in rows) for name in ('bf16', 'nudged')}
    text = f'Largest relative difference to fp32: bf16 {worst["bf16"]:.1%}, perturbed {worst["nudged"]:.1%}.'
    return [*common.table(head, cells), '', text]


def parse_args(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = common.parser(__doc__, runs=3)
    parser.add_argument('--size', type=int, nargs=2, default=(360, 640), metavar=('H', 'W'), help='of the frames')
    parser.add_argument('--instances', type=int, default=4, help='in each frame; default: %(default)s')
    parser.add_argument(
        '--cases', nargs='*', choices=CASES, help='default: all but compile, bf16 where the device has it'
    )
    parser.add_argument('--backend', default='inductor', help='of torch.compile; default: %(default)s')
    parser.add_argument('--steps', type=int, default=60, help='of the loss curves, 0: none; default: %(default)s')
    args = parser.parse_args(words)
    args.without_bf16 = args.cases is None and not common.has_bf16(args.device)
    if args.cases is None:
        args.cases = [name for name in CASES[:3] if name != 'bf16' or not args.without_bf16]
    return args


def main() -> None:
    args = parse_args()
    common.start(args)
    rows = step_rows(args)
    lines = step_table(rows)
    curves = curve_rows(args) if args.steps >= WINDOW and not args.without_bf16 else []
    if curves:
        lines += ['', *curve_table(curves)]
    if args.without_bf16:
        lines += ['', 'This CPU has no instructions for bf16, so it was left out.']
    common.finish(args, dict(steps=rows, curves=curves, step_s=median(rows[0]['seconds'])), lines)


if __name__ == '__main__':
    main()
