"""Mask propagation: its exact fast form against the paper's, and the whole branch against the detector.

    python tools/benchmarks/propagation.py

1. Logits of one target frame from the same parameters (linear fusion, dilations 3, 6, 12), for 1 to 50 instances:
   torchvision's deformable convolution of every instance's masked features (``literal``) against the fast form,
   whose time includes folding the kernels and the value maps, which a video needs once per frame only. Fails if
   logits or gradients differ by more than 1e-5 of the largest. Peak memory is that of a process of its own.
2. The whole branch of one frame at 640x384 (its code, offsets for 12 neighbours, look-ups of 8 instances, softmax)
   against one frame of Mask R-CNN ResNet-50-FPN with 8 injected detections, pasted and encoded; with MaskTrack
   R-CNN's 200 proposals, and with the paper's 1000.

The literal form takes seconds per instance. Above ``--rounds-up-to`` instances it runs once, without a warm-up,
and its forward time is read inside that run; above ``--backward-up-to`` it runs forward only. With the defaults
the script takes three minutes on two cores. ``--compile`` also times torch.compile.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
import torch.nn.functional as F
from common import (
    BenchmarkError,
    finish,
    full_precision,
    in_turns,
    parser,
    ratios,
    spread,
    start,
    synchronize,
    table,
)
from torch import Tensor

from maskprop.ops.propagation import fold_kernels, propagate_features, propagate_values

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
    """(N, H, W) logits by look-ups."""
    values = F.conv2d(features[None], fold_kernels(weights, projection))
    return propagate_values(values.unflatten(1, (1, -1))[0], masks, offsets, DILATIONS)[0, :, 0]


FORMS = dict(literal=literal, fast=fast)


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
    """Both forms' times, ratios and difference for a number of instances."""
    inputs = make_inputs(count, args.channels, *args.size, args.device)
    backward = count <= args.backward_up_to
    passes = PASSES[: 1 + backward]
    with full_precision():
        expected, first = run('literal', inputs, backward)
        found = run('fast', inputs, backward)[0]
    difference = largest_difference(expected, found)
    if not difference <= TOLERANCE:
        raise BenchmarkError(f'{count} instances: the forms differ by {difference:.1e}, more than {TOLERANCE}')
    del expected, found
    rounds = args.runs if count <= args.rounds_up_to else 1
    slow = [run('literal', inputs, backward)[1] for _ in range(rounds)] if count <= args.rounds_up_to else [first]
    # a forward pass without gradients takes another path of the fast form: each pass is timed by itself
    quick = in_turns(
        {name: lambda b=name != 'forward': run('fast', inputs, b) for name in PASSES},
        max(rounds, 5),
        args.device,
        repeats=dict(forward=10),
    )
    row = dict(instances=count, rounds=rounds, difference=difference)
    for index, name in enumerate(passes):
        times = [seconds[index] for seconds in slow]
        row[name] = dict(
            literal=times,
            fast=quick[name],
            ratio=ratios([statistics.median(times)] * len(quick[name]), quick[name]),
        )
    if not backward:
        row[PASSES[1]] = dict(literal=None, fast=quick[PASSES[1]], ratio=None)
    return row


def peak_growth(form: str, args: argparse.Namespace) -> list[float]:
    """MiB by which each pass grows memory at most."""
    run(form, make_inputs(1, 8, 12, 12, args.device), True)  # threads and kernels are there
    inputs = make_inputs(args.peak_at, args.channels, *args.size, args.device)
    grown = []
    for backward in (False, True):
        before = memory(args.device, 'VmRSS:')
        run(form, inputs, backward)
        grown.append(memory(args.device, 'VmHWM:') - before)
    return grown


def memory(device: str, name: str) -> float:
    """MiB, now (VmRSS:) or at most so far (VmHWM:); on a GPU of its tensors."""
    if device != 'cpu':
        used = torch.cuda.memory_allocated() if name == 'VmRSS:' else torch.cuda.max_memory_allocated()
        return used / 2**20
    with open('/proc/self/status', encoding='ascii') as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name)) / 1024


def peaks(args: argparse.Namespace) -> dict[str, list[float]]:
    """:func:`peak_growth` of each form, in a process of its own; empty where there is no /proc."""
    if args.device == 'cpu' and not Path('/proc/self/status').exists():
        return {}
    # what is freed goes back to the system at once, so that the peak is that of what is in use
    env = os.environ | dict(MALLOC_MMAP_THRESHOLD_='65536')

    def peak_alone(form: str) -> list[float]:
        command = [sys.executable, __file__, *args.argv, '--peak-of', form]
        out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=env).stdout
        return [float(word) for word in out.split()[-2:]]

    with ThreadPoolExecutor() as pool:  # what they take does not depend on how long it takes
        return dict(zip(FORMS, pool.map(peak_alone, FORMS), strict=True))


def look_up_lines(rows: list[dict], peak: dict[str, list[float]], args: argparse.Namespace) -> list[str]:
    """Tables of times and of memory."""
    body = []
    for row in rows:
        for name in PASSES:
            slow, quick, ratio = (row[name][key] for key in ('literal', 'fast', 'ratio'))
            cells = ['not run', milliseconds(quick), ''] if slow is None else None
            cells = cells or [milliseconds(slow), milliseconds(quick), f'{spread(ratio)}x']
            body.append([row['instances'], name, *cells, f'{row["difference"]:.0e}'])
    head = ('instances', 'pass', 'literal, ms', 'fast, ms', 'ratio', 'largest difference')
    height, width = args.size
    lines = [f'Look-ups of one target frame, {args.channels} channels, {height}x{width} cells:', '']
    lines += table(head, body)
    if peak:
        body = [[name, *(f'{peak[form][i]:.0f}' for form in FORMS)] for i, name in enumerate(PASSES)]
        lines += ['', f'Peak memory, {args.peak_at} instances, beside inputs:', '']
        lines += table(('pass', 'literal, MiB', 'fast, MiB'), body)
    return lines


def milliseconds(seconds: list[float]) -> str:
    """Their spread."""
    return spread([1e3 * value for value in seconds])


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Arguments; ``argv`` is kept for child processes."""
    result = parser(__doc__, runs=3)
    result.add_argument('--instances', type=int, nargs='+', default=(1, 8, 20, 50))
    result.add_argument('--channels', type=int, default=256)
    result.add_argument('--size', type=int, nargs=2, default=(45, 80), metavar=('H', 'W'), help='cells')
    result.add_argument('--rounds-up-to', type=int, default=1, metavar='N', help='instances; default: %(default)s')
    result.add_argument(
        '--backward-up-to', type=int, default=8, metavar='N', help='instances; default: %(default)s'
    )
    result.add_argument('--peak-at', type=int, default=8, metavar='N', help='instances; default: %(default)s')
    result.add_argument('--peak-of', choices=FORMS, help='print the MiB by which this form grows memory, only')
    result.add_argument('--no-branch', action='store_true', help='the look-ups only')
    result.add_argument('--image', type=int, nargs=2, default=(384, 640), metavar=('H', 'W'), help='of the branch')
    result.add_argument('--compile', action='store_true', help='time torch.compile of the branch too')
    argv = sys.argv[1:] if argv is None else argv
    args = result.parse_args(argv)
    args.argv = argv
    return args


def main(argv: list[str] | None = None) -> None:
    """Run it."""
    args = parse_args(argv)
    if args.peak_of:
        torch.set_num_threads(args.threads)
        print(*peak_growth(args.peak_of, args))
        return
    start(args)
    rows = [look_ups(count, args) for count in args.instances]
    peak = peaks(args)
    lines = look_up_lines(rows, peak, args)
    result = dict(look_ups=rows, peak_mib=peak)
    if not args.no_branch:
        from propagation_branch import branch_lines, time_branch

        result['branch'] = time_branch(args)
        lines += ['', *branch_lines(result['branch'], args)]
    finish(args, result, lines)


if __name__ == '__main__':
    main()
