"""ObjProp's propagation of object maps against the dense affinity matrix: time and peak memory.

    python tools/benchmarks/inter_frame_attention.py

A frame of 384x640 pixels has 48x80 = 3840 cells at stride 8, and the affinity of two frames 3840 x 3840 entries.
The forms: ``attention`` is maskprop/methods/objprop/inter_frame_attention.py; ``dense`` makes a matrix for each
history frame, one after the other, used by all objects; ``dense, batched`` makes those of all history frames at
once. Memory is by how much it grows at most, the result included. Fails if the forms differ by more than 1e-5.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from common import BenchmarkError, finish, in_turns, mebibytes, memory_growth, parser, ratios, spread, start, table
from torch import Tensor

from maskprop.methods.objprop.inter_frame_attention import propagate_maps, spatial_weight

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


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    result = parser(__doc__, runs=5)
    result.add_argument('--size', type=int, nargs=2, default=(384, 640), metavar=('H', 'W'), help='pixels')
    result.add_argument('--stride', type=int, default=8)
    result.add_argument('--channels', type=int, default=256)
    result.add_argument('--objects', type=int, default=10)
    result.add_argument('--frames', type=int, default=24, help='of the history')
    result.add_argument('--spatial-weight', action='store_true', help=f'multiply by it, sigma {SIGMA:g} cells')
    return result.parse_args(argv)


def check(inputs: tuple, device: str) -> tuple[float, dict[str, float | None]]:
    """Largest difference of a form from ``dense``, and the MiB of each; BenchmarkError above the tolerance."""
    found = {name: memory_growth(lambda f=form: f(*inputs), device) for name, form in FORMS.items()}
    difference = max(float((result - found['dense'][0]).abs().max()) for result, _ in found.values())
    if not difference <= TOLERANCE:
        raise BenchmarkError(f'the forms differ by {difference:.1e}, more than {TOLERANCE}')
    return difference, {name: mib for name, (_, mib) in found.items()}


def tabulate(rows: dict) -> list[str]:
    """Lines of times, peaks, and ratios to ``attention``."""
    body = []
    for name in FORMS:
        own, other = rows['attention'], rows[name]
        cells = [spread([1e3 * value for value in other['seconds']])]
        cells.append(f'{spread(ratios(other["seconds"], own["seconds"]))}x')
        known = own['peak_mib'] is not None
        cells += [mebibytes(other['peak_mib']), f'{other["peak_mib"] / own["peak_mib"]:.1f}x' if known else '']
        body.append([name, *cells])
    head = ('form', 'ms', 'time / attention', 'memory, MiB', 'memory / attention')
    title = '{objects} objects, {frames} history frames, {channels} channels, {cells} cells:'.format(**rows)
    return [title, '', *table(head, body), '', f'Largest difference: {rows["difference"]:.0e}.']


@torch.no_grad()
def main(argv: list[str] | None = None) -> None:
    """Run it."""
    args = parse_args(argv)
    inputs = (*make_inputs(args), SIGMA if args.spatial_weight else None)
    start(args)
    attention(*(x[..., :2, :2].clone() for x in inputs[:3]), inputs[3])  # threads and kernels are there
    difference, mib = check(inputs, args.device)
    rows = dict(objects=args.objects, frames=args.frames, channels=args.channels)
    rows.update(cells=inputs[2].shape[-2:].numel(), difference=difference)
    forms = {name: lambda f=form: f(*inputs) for name, form in FORMS.items()}
    seconds = in_turns(forms, args.runs, args.device, warm_up=False)
    rows.update({name: dict(seconds=seconds[name], peak_mib=mib[name]) for name in FORMS})
    finish(args, rows, tabulate(rows))


if __name__ == '__main__':
    main()
