"""Mask propagation: its exact fast form against the paper's, and the whole branch against the detector.

    python tools/benchmarks/propagation.py

1. Logits of one target frame from the same parameters (linear fusion, dilations 3, 6, 12), for 1 to 50 instances:
   torchvision's deformable convolution of every instance's masked features (``literal``) against the fast form,
   whose time includes folding the kernels and the value maps, which a video needs once per frame only; and by how
   much memory grows at most. Fails if logits or gradients differ by more than 1e-5 of the largest.
2. The whole branch of one frame at 640x384 (encoding, offsets for 12 neighbours, lookups of 8 instances, softmax)
   against one frame of Mask R-CNN ResNet-50-FPN with 8 injected detections, pasted and encoded; with MaskTrack
   R-CNN's 200 proposals, and with the paper's 1000.

The literal form takes seconds per instance. Above ``--rounds-up-to`` instances it runs once, without a warm-up;
above ``--backward-up-to`` it runs forward only. ``--compile`` also times torch.compile.
"""

from __future__ import annotations

import argparse
import statistics
import time
from functools import partial

import torch
import torch.nn.functional as F
from common import (
    BenchmarkError,
    finish,
    full_precision,
    in_turns,
    mebibytes,
    memory_growth,
    parser,
    ratios,
    spread,
    start,
    synchronize,
    table,
)
from torch import Tensor

from maskprop.methods.maskprop.propagation import fold_kernels, propagate_features, propagate_values

DILATIONS = (3, 6, 12)
TOLERANCE = 1e-5  # of the largest value
PASSES = ('forward', 'forward+backward')


def make_inputs(instances: int, channels: int, height: int, width: int, device: str) -> dict[str, Tensor]:
    """Arguments of both forms: features, masks, offsets of several cells, and kernels."""
    generator = torch.Generator().manual_seed(0)
    scale = (channels * 9) ** -0.5
    inputs = dict(
        features=torch.randn(channels, height, width, generator=generator),
        masks=torch.rand(instances, height, width, generator=generator),
        offsets=3 * torch.randn(1, 9 * len(DILATIONS), 2, height, width, generator=generator),
        weights=scale * torch.randn(len(DILATIONS), channels, channels, 3, 3, generator=generator),
        projection=channels**-0.5 * torch.randn(1, channels, generator=generator),
    )
    return {name: value.to(device).requires_grad_() for name, value in inputs.items()}


def literal(features: Tensor, masks: Tensor, offsets: Tensor, weights: Tensor, projection: Tensor) -> Tensor:
    """(N, H, W) logits as the paper writes them."""
    propagated = propagate_features(features, masks, offsets, weights, DILATIONS)[0]
    return F.conv2d(propagated, projection[:, :, None, None])[:, 0]


def fast(features: Tensor, masks: Tensor, offsets: Tensor, weights: Tensor, projection: Tensor) -> Tensor:
    """(N, H, W) logits by lookups."""
    values = F.conv2d(features[None], fold_kernels(weights, projection))
    return propagate_values(values.unflatten(1, (1, -1))[0], masks, offsets, DILATIONS)[0, :, 0]


FORMS = dict(literal=literal, fast=fast)
REPEATS = {'forward': 10, 'forward+backward': 1}  # of the fast form in a round


def run(form: str, inputs: dict[str, Tensor], backward: bool) -> tuple[list[Tensor], list[float]]:
    """Logits and gradients, and the seconds of each pass: forward, forward+backward."""
    device = inputs['features'].device.type
    synchronize(device)
    begin = time.perf_counter()
    with torch.set_grad_enabled(backward):
        out = [FORMS[form](**inputs)]
        synchronize(device)
        seconds = [time.perf_counter() - begin]
        if backward:
            out += torch.autograd.grad(out[0].square().sum(), list(inputs.values()))
            synchronize(device)
            seconds.append(time.perf_counter() - begin)
    return [value.detach() for value in out], seconds


def largest_difference(expected: list[Tensor], found: list[Tensor]) -> float:
    """Of logits and gradients, each relative to its largest value."""
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(expected, found, strict=True))


def look_ups(count: int, args: argparse.Namespace) -> dict:
    """Both forms' times, ratios, memory and difference for a number of instances."""
    inputs = make_inputs(count, args.channels, *args.size, args.device)
    rows = {name: measure_pass(inputs, name, args) for name in PASSES}
    return dict(instances=count, difference=max(row['difference'] for row in rows.values()), **rows)


def measure_pass(inputs: dict[str, Tensor], name: str, args: argparse.Namespace) -> dict:
    """The row of a pass: seconds of both forms and their ratios, MiB of both, the largest difference.

    The literal form's are ``None`` where it does not run.
    """
    index, count = PASSES.index(name), len(inputs['masks'])
    forms = {form: partial(run, form, inputs, name != 'forward') for form in FORMS}
    if name != 'forward' and count > args.backward_up_to:
        del forms['literal']
    found, literal_s, mib = {}, None, dict.fromkeys(FORMS)
    for form, one in forms.items():
        with full_precision():
            (found[form], seconds), mib[form] = memory_growth(one, args.device)
        literal_s = [seconds[index]] if form == 'literal' else literal_s
    difference = largest_difference(found.get('literal', found['fast']), found['fast'])
    if not difference <= TOLERANCE:
        raise BenchmarkError(f'{count} instances: the forms differ by {difference:.1e}, more than {TOLERANCE}')
    rounds = args.runs if count <= args.rounds_up_to else 1
    if literal_s and count <= args.rounds_up_to:  # that was the warm-up
        literal_s = [forms['literal']()[1][index] for _ in range(rounds)]
    quick = dict(fast=forms['fast'])
    fast_s = in_turns(quick, max(rounds, 5), args.device, dict(fast=REPEATS[name]), warm_up=False)['fast']
    ratio = ratios([statistics.median(literal_s)] * len(fast_s), fast_s) if literal_s else None
    return dict(literal=literal_s, fast=fast_s, ratio=ratio, mib=mib, difference=difference)


def look_up_lines(rows: list[dict], args: argparse.Namespace) -> list[str]:
    """The table."""
    body = []
    for row in rows:
        for name in PASSES:
            slow, quick, ratio, mib = (row[name][key] for key in ('literal', 'fast', 'ratio', 'mib'))
            cells = ['not run', milliseconds(quick), ''] if slow is None else None
            cells = cells or [milliseconds(slow), milliseconds(quick), f'{spread(ratio)}x']
            cells += [mebibytes(mib[form]) for form in FORMS]
            body.append([row['instances'], name, *cells, f'{row["difference"]:.0e}'])
    head = ['instances', 'pass', 'literal, ms', 'fast, ms', 'ratio', 'literal, MiB', 'fast, MiB']
    height, width = args.size
    title = f'Lookups of a target frame, {args.channels} channels, {height}x{width} cells; memory beside inputs:'
    return [title, '', *table([*head, 'largest difference'], body)]


def milliseconds(seconds: list[float]) -> str:
    """Their spread."""
    return spread([1e3 * value for value in seconds])


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Arguments."""
    result = parser(__doc__, runs=3)
    result.add_argument('--instances', type=int, nargs='+', default=(1, 8, 20, 50))
    result.add_argument('--channels', type=int, default=256)
    result.add_argument('--size', type=int, nargs=2, default=(45, 80), metavar=('H', 'W'), help='cells')
    result.add_argument('--rounds-up-to', type=int, default=1, metavar='N', help='instances; default: %(default)s')
    result.add_argument(
        '--backward-up-to', type=int, default=8, metavar='N', help='instances; default: %(default)s'
    )
    result.add_argument('--no-branch', action='store_true', help='the lookups only')
    result.add_argument('--image', type=int, nargs=2, default=(384, 640), metavar=('H', 'W'), help='of the branch')
    result.add_argument('--compile', action='store_true', help='time torch.compile of the branch too')
    return result.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Run it."""
    args = parse_args(argv)
    start(args)
    for form in FORMS:  # threads and kernels are there before memory is looked at
        run(form, make_inputs(1, 8, 12, 12, args.device), True)
    rows = [look_ups(count, args) for count in args.instances]
    lines = look_up_lines(rows, args)
    result = dict(look_ups=rows)
    if not args.no_branch:
        from propagation_branch import branch_lines, time_branch

        result['branch'] = time_branch(args)
        lines += ['', *branch_lines(result['branch'], args)]
    finish(args, result, lines)


if __name__ == '__main__':
    main()
