"""SipMask's mask assembly against the loop over sub-regions: time, and peak memory with gradients.

    python tools/benchmarks/mask_assembly.py

A frame of 384x640 pixels has basis maps of 192 x 320 cells. The forms: ``assembly`` is
maskprop/methods/sipmask/mask_assembly.py; ``loop, slices`` goes over boxes and their sub-regions and computes each
on its slice of the basis maps; ``loop, whole maps`` goes over the four sub-regions and computes each one's maps of
all boxes on all cells, as the published code does, whose crop is a CUDA kernel. Boxes have 5 to 55 % of the
frame's sides. Memory is by how much it grows at most in a forward and backward pass. Fails if the forms differ by
more than 1e-5, or their gradients by more than 1e-4 of the largest.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from common import BenchmarkError, finish, in_turns, mebibytes, memory_growth, parser, ratios, spread, start, table
from torch import Tensor

from maskprop.methods.sipmask.mask_assembly import EXTRA, REGIONS, assemble_masks

TOLERANCE, GRADIENT_TOLERANCE = 1e-5, 1e-4


def halves(low: Tensor, high: Tensor, size: int) -> Tensor:
    """(N, 2, size) bool: the cells of N intervals' halves."""
    places = torch.arange(size, device=low.device, dtype=low.dtype)
    second = (places - low[:, None]) / ((high - low + EXTRA) / 2)[:, None] >= 1
    inside = (places >= low[:, None]) & (places < high[:, None])
    return torch.stack([inside & ~second, inside & second], 1)


def loop_slices(coefficients: Tensor, basis: Tensor, boxes: Tensor) -> Tensor:
    columns = halves(boxes[:, 0], boxes[:, 2], basis.shape[2]).cpu()
    rows = halves(boxes[:, 1], boxes[:, 3], basis.shape[1]).cpu()
    masks = []
    for n, weights in enumerate(coefficients.unflatten(1, (REGIONS, -1))):
        mask = basis.new_zeros(basis.shape[1:])
        for region in range(REGIONS):
            ys, xs = rows[n, region // 2].nonzero()[:, 0], columns[n, region % 2].nonzero()[:, 0]
            if len(ys) and len(xs):
                place = (slice(int(ys[0]), int(ys[-1]) + 1), slice(int(xs[0]), int(xs[-1]) + 1))
                mask[place] = torch.einsum('k,khw->hw', weights[region], basis[:, place[0], place[1]]).sigmoid()
        masks.append(mask)
    return torch.stack(masks)


def loop_whole_maps(coefficients: Tensor, basis: Tensor, boxes: Tensor) -> Tensor:
    columns = halves(boxes[:, 0], boxes[:, 2], basis.shape[2])
    rows = halves(boxes[:, 1], boxes[:, 3], basis.shape[1])
    masks = basis.new_zeros(len(boxes), *basis.shape[1:])
    for region, weights in enumerate(coefficients.unflatten(1, (REGIONS, -1)).unbind(1)):
        inside = rows[:, region // 2, :, None] & columns[:, region % 2, None]
        masks = masks + torch.einsum('nk,khw->nhw', weights, basis).sigmoid() * inside
    return masks


FORMS: dict[str, Callable] = {
    'assembly': assemble_masks,
    'loop, slices': loop_slices,
    'loop, whole maps': loop_whole_maps,
}


def make_inputs(args: argparse.Namespace, count: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    height, width = (side // 2 for side in args.size)
    coefficients = torch.randn(count, REGIONS * args.bases, generator=generator)
    basis = torch.rand(height, width, args.bases, generator=generator).permute(2, 0, 1)  # the head's layout
    size = torch.tensor([width, height])
    centres = torch.rand(count, 2, generator=generator) * size
    sides = (0.05 + 0.5 * torch.rand(count, 2, generator=generator)) * size
    boxes = torch.cat([centres - sides / 2, centres + sides / 2], 1)
    return tuple(x.to(args.device) for x in (coefficients, basis, boxes))


def step(form: Callable, inputs: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Gradients of the squared masks' sum."""
    coefficients, basis = (x.detach().requires_grad_() for x in inputs[:2])
    return torch.autograd.grad(form(coefficients, basis, inputs[2]).square().sum(), (coefficients, basis))


@torch.no_grad()
def check(inputs: tuple[Tensor, Tensor, Tensor]) -> float:
    """Largest difference of a form's masks from ``assembly``'s; BenchmarkError above a tolerance."""
    own = assemble_masks(*inputs)
    difference = max(float((form(*inputs) - own).abs().max()) for form in FORMS.values())
    if not difference <= TOLERANCE:
        raise BenchmarkError(f'the forms differ by {difference:.1e}, more than {TOLERANCE}')
    with torch.enable_grad():
        gradients = {name: step(form, inputs) for name, form in FORMS.items()}
    for found in gradients.values():
        for value, expected in zip(found, gradients['assembly'], strict=True):
            apart = float((value - expected).abs().max() / expected.abs().max())
            if not apart <= GRADIENT_TOLERANCE:
                raise BenchmarkError(f'the gradients differ by {apart:.1e} of the largest')
    return difference


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    result = parser(__doc__, runs=5)
    result.add_argument('--size', type=int, nargs=2, default=(384, 640), metavar=('H', 'W'), help='pixels')
    result.add_argument('--bases', type=int, default=32)
    result.add_argument('--boxes', type=int, nargs='+', default=[10, 100], help='detections, or points of a frame')
    return result.parse_args(argv)


def measure(args: argparse.Namespace, count: int) -> dict:
    """Seconds of each form without and with gradients, and MiB with them."""
    inputs = make_inputs(args, count)
    rows = dict(boxes=count, difference=check(inputs))
    with torch.no_grad():
        forward = in_turns({n: lambda f=f: f(*inputs) for n, f in FORMS.items()}, args.runs, args.device)
    both = in_turns({n: lambda f=f: step(f, inputs) for n, f in FORMS.items()}, args.runs, args.device)
    for name, form in FORMS.items():
        mib = memory_growth(lambda f=form: step(f, inputs), args.device)[1]
        rows[name] = dict(forward=forward[name], step=both[name], peak_mib=mib)
    return rows


def tabulate(all_rows: list[dict]) -> list[str]:
    body = []
    for rows in all_rows:
        for name in FORMS:
            cells = [rows['boxes'], name]
            for kind in ('forward', 'step'):
                own, other = rows['assembly'][kind], rows[name][kind]
                cells += [spread([1e3 * value for value in other]), f'{spread(ratios(other, own))}x']
            body.append([*cells, mebibytes(rows[name]['peak_mib'])])
    head = ('boxes', 'form', 'forward, ms', '/ assembly', 'with gradients, ms', '/ assembly', 'memory, MiB')
    largest = max(rows['difference'] for rows in all_rows)
    return [*table(head, body), '', f'Largest difference: {largest:.0e}.']


def main(argv: list[str] | None = None) -> None:
    """Run it."""
    args = parse_args(argv)
    start(args)
    rows = [measure(args, count) for count in args.boxes]
    finish(args, rows, tabulate(rows))


if __name__ == '__main__':
    main()
