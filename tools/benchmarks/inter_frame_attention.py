"""ObjProp's propagation of object maps against the dense affinity matrix: time and peak memory.

    python tools/benchmarks/inter_frame_attention.py [--objects 10] [--frames 24] [--json out.json]

A frame of 384x640 pixels has 48x80 = 3840 cells at stride 8, and the affinity of two frames 3840 x 3840 entries.
The forms: ``attention`` is maskprop/ops/inter_frame_attention.py; ``dense`` makes a matrix for each history frame,
one after the other, used by all objects; ``dense, batched`` makes those of all history frames at once. Prints
medians, their range, ratios, and by how much memory grew at most; fails if the forms differ by more than 1e-5.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from maskprop.evaluation.results_io import write_json
from maskprop.ops.inter_frame_attention import propagate_maps, spatial_weight

TOLERANCE = 1e-5
SIGMA = 8.0


def attention(current: Tensor, reference: Tensor, maps: Tensor, sigma: float | None) -> Tensor:
    return torch.stack(propagate_maps(current, reference, maps, sigma=sigma))


def dense_batched(current: Tensor, reference: Tensor, maps: Tensor, sigma: float | None) -> Tensor:
    affinity = (reference.flatten(2).mT @ current.flatten(2)).softmax(1)  # [B, reference, current]
    if sigma is not None:
        affinity = affinity * spatial_weight(*maps.shape[-2:], sigma, device=maps.device)
    values = torch.stack([maps, 1 - maps]).flatten(3)  # [2, B, N, reference]
    return (values @ affinity).view(2, *maps.shape)


def dense(current: Tensor, reference: Tensor, maps: Tensor, sigma: float | None) -> Tensor:
    pairs = zip(reference.split(1), maps.split(1), strict=True)
    return torch.cat([dense_batched(current, *pair, sigma) for pair in pairs], 1)


FORMS: dict[str, Callable] = {'attention': attention, 'dense': dense, 'dense, batched': dense_batched}


def make_inputs(args: argparse.Namespace) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    size = [side // args.stride for side in args.size]
    scale = 2 * args.channels**-0.5  # logits of a few units
    current = scale**0.5 * torch.randn(1, args.channels, *size, generator=generator)
    reference = scale**0.5 * torch.randn(args.frames, args.channels, *size, generator=generator)
    maps = (torch.rand(args.frames, args.objects, *size, generator=generator) > 0.9).float()
    return tuple(x.to(args.device) for x in (current, reference, maps))


def measure(function: Callable, inputs: tuple, runs: int) -> list[float]:
    """Seconds of each run, after one to warm up."""
    seconds = []
    for _ in range(runs + 1):
        synchronize(inputs[0])
        start = time.perf_counter()
        function(*inputs)
        synchronize(inputs[0])
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def synchronize(tensor: Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize()


def peak_growth(function: Callable, inputs: tuple) -> float:
    """MiB by which memory grew at most in one call, the result included; on a CPU of this whole process."""
    if inputs[0].is_cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function(*inputs)
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    before = resident('VmRSS:')
    function(*inputs)
    return resident('VmHWM:') - before


def resident(name: str) -> float:
    """MiB, now (VmRSS:) or at most so far (VmHWM:)."""
    with open('/proc/self/status', encoding='ascii') as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name)) / 1024


def peak_alone(form: str, args: argparse.Namespace) -> float | None:
    """:func:`peak_growth` of a form in a process of its own; None where there is no /proc."""
    if args.device == 'cpu' and not Path('/proc/self/status').exists():
        return None
    command = [sys.executable, __file__, *args.argv, '--peak-of', form]
    # what is freed goes back to the system at once, so that the peak is that of what is in use
    env = os.environ | dict(MALLOC_MMAP_THRESHOLD_='65536')
    return float(subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout.split()[-1])


def parse_args(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, nargs=2, default=(384, 640), metavar=('H', 'W'), help='pixels')
    parser.add_argument('--stride', type=int, default=8)
    parser.add_argument('--channels', type=int, default=256)
    parser.add_argument('--objects', type=int, default=10)
    parser.add_argument('--frames', type=int, default=24, help='of the history')
    parser.add_argument('--spatial-weight', action='store_true', help=f'multiply by it, sigma {SIGMA:g} cells')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--runs', type=int, default=5)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--json', type=Path)
    parser.add_argument('--peak-of', choices=FORMS, help='print the MiB by which this form grows memory, only')
    args = parser.parse_args(argv)
    args.argv = argv
    return args


@torch.no_grad()
def main() -> None:
    args = parse_args(sys.argv[1:])
    torch.set_num_threads(args.threads)
    inputs = (*make_inputs(args), SIGMA if args.spatial_weight else None)
    if args.peak_of:
        attention(*(x[..., :2, :2].clone() for x in inputs[:3]), inputs[3])  # threads and kernels are there
        print(peak_growth(FORMS[args.peak_of], inputs))
        return
    cells = inputs[2].shape[-2:].numel()
    device = 'CPU' if args.device == 'cpu' else torch.cuda.get_device_name()
    print(f'torch {torch.__version__}, {args.threads} threads, {device}')
    print(f'{args.objects} objects, {args.frames} history frames, {args.channels} channels, {cells} cells')
    expected = dense(*inputs)
    rows = dict(objects=args.objects, frames=args.frames, channels=args.channels, cells=cells, device=device)
    rows['difference'] = float((attention(*inputs) - expected).abs().max())
    print(f'largest difference from the dense form: {rows["difference"]:.1e}')
    for name, form in FORMS.items():
        times, peak = measure(form, inputs, args.runs), peak_alone(name, args)
        rows[name] = dict(seconds=statistics.median(times), peak_mib=peak)
        low, high = 1e3 * min(times), 1e3 * max(times)
        grown = '' if peak is None else f'   memory +{peak:.0f} MiB'
        print(f'{name:15s} {1e3 * rows[name]["seconds"]:9.2f} ms   ({low:.2f} to {high:.2f}){grown}')
    for name in ('dense', 'dense, batched'):
        own, other = rows['attention'], rows[name]
        memory = '' if own['peak_mib'] is None else f', memory {other["peak_mib"] / own["peak_mib"]:.1f}x'
        print(f'{name} / attention: time {other["seconds"] / own["seconds"]:.2f}x{memory}')
    if args.json:
        write_json(args.json, rows)
    if rows['difference'] > TOLERANCE:
        raise SystemExit(f'the forms differ by {rows["difference"]:.1e}, more than {TOLERANCE}')


if __name__ == '__main__':
    main()
