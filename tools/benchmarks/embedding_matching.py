"""FEELVOS's matching against the dense form, all pairs of cells at once: time and peak memory.

    python tools/benchmarks/embedding_matching.py

A frame of 480x854 pixels has 120x214 = 25,680 cells at stride 4. Global matching compares each of them with all
cells of the reference frame, local matching with those of a window of 31x31 cells in the previous frame.
The forms: ``chunks`` is maskprop/methods/feelvos/matching.py; ``dense`` makes the whole matrix of distances, and
for the windows an unfolded map, ``--band`` rows at a time so that it fits into memory at all (--band 0: all rows).
Memory is by how much it grows at most, the result included. Fails if the forms differ by more than 1e-5.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
import torch.nn.functional as F
from common import BenchmarkError, finish, in_turns, mebibytes, memory_growth, parser, ratios, spread, start, table
from torch import Tensor

from maskprop.methods.feelvos.matching import global_distances, local_distances, make_reference, normalise

TOLERANCE = 1e-5


class Inputs:
    """Two embeddings and the labels of the second.

    Attributes:
        query, frame: (E, h, w) float, not below 0. labels: (h, w) long. objects: with the background.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        generator = torch.Generator().manual_seed(0)
        size = [-(-side // 4) for side in args.size]
        shape = (args.channels, *size)
        base = torch.rand(shape, generator=generator)
        scale = args.channels**-0.5
        self.query = (scale * base).to(args.device)
        self.frame = (scale * (base + 0.1 * torch.rand(shape, generator=generator))).to(args.device)
        self.objects = list(range(args.objects + 1))
        labels = torch.zeros(size, dtype=torch.long)
        width = size[1] // (args.objects + 1)
        for i in self.objects[1:]:
            labels[size[0] // 4 : size[0] // 2, (i - 1) * width : (i - 1) * width + width // 2] = i
        self.labels = labels.to(args.device)
        self.radius, self.band = args.radius, args.band or size[0]


def global_chunks(x: Inputs) -> Tensor:
    reference = make_reference(x.frame, x.labels, x.objects)
    return normalise(global_distances(x.query, [reference], x.objects))


def global_dense(x: Inputs) -> Tensor:
    own, other = (frame.flatten(1) for frame in (x.query, x.frame))
    squared = torch.addmm(other.square().sum(0), own.T, other, alpha=-2)
    distances = squared.add_(own.square().sum(0)[:, None]).clamp_(min=0).div_(2).tanh_()
    labels = x.labels.flatten()
    return torch.stack([distances[:, labels == i].amin(1) for i in x.objects]).unflatten(1, x.labels.shape)


def local_chunks(x: Inputs) -> Tensor:
    return normalise(local_distances(x.query, x.frame, x.labels, x.objects, x.radius))


def local_dense(x: Inputs) -> Tensor:
    """As the released code's form without its custom operation: exact differences over the unfolded window."""
    side, r = 2 * x.radius + 1, x.radius
    padded = F.pad(x.frame, (r, r, r, r))
    near = F.pad(x.labels, (r, r, r, r), value=-1).unfold(0, side, 1).unfold(1, side, 1)  # [h, w, side, side]
    found = []
    for top in range(0, len(x.labels), x.band):
        own = x.query[:, top : top + x.band]
        window = padded[:, top : top + own.shape[1] + 2 * r].unfold(1, side, 1).unfold(2, side, 1)
        distances = normalise((own[..., None, None] - window).square().sum(0))
        labels = near[top : top + x.band]
        found.append(torch.stack([distances.masked_fill(labels != i, 1).amin((-2, -1)) for i in x.objects]))
    return torch.cat(found, 1)


FORMS: dict[str, dict[str, Callable[[Inputs], Tensor]]] = {
    'global': {'chunks': global_chunks, 'dense': global_dense},
    'local': {'chunks': local_chunks, 'dense': local_dense},
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    result = parser(__doc__, runs=3)
    result.add_argument('--size', type=int, nargs=2, default=(480, 854), metavar=('H', 'W'), help='pixels')
    result.add_argument('--channels', type=int, default=100)
    result.add_argument('--objects', type=int, default=3, help='beside the background')
    result.add_argument('--radius', type=int, default=15, help='cells')
    result.add_argument('--band', type=int, default=1, help='rows at once of the dense local form')
    return result.parse_args(argv)


def check(inputs: Inputs, device: str) -> tuple[dict[str, float], dict[str, dict[str, float | None]]]:
    """Largest difference of each matching, and the MiB of each form; BenchmarkError above the tolerance."""
    differences, memory = {}, {}
    for name, forms in FORMS.items():
        found = {form: memory_growth(lambda f=run: f(inputs), device) for form, run in forms.items()}
        differences[name] = float((found['chunks'][0] - found['dense'][0]).abs().max())
        if not differences[name] <= TOLERANCE:
            raise BenchmarkError(f'{name}: the forms differ by {differences[name]:.1e}, more than {TOLERANCE}')
        memory[name] = {form: mib for form, (_, mib) in found.items()}
    return differences, memory


def tabulate(rows: dict) -> list[str]:
    """Lines of times, peaks, and ratios to ``chunks``."""
    body = []
    for name, forms in FORMS.items():
        own = rows[name]['chunks']
        for form in forms:
            other = rows[name][form]
            cells = [spread([1e3 * value for value in other['seconds']])]
            cells.append(f'{spread(ratios(other["seconds"], own["seconds"]))}x')
            known = own['peak_mib'] is not None
            cells += [mebibytes(other['peak_mib']), f'{other["peak_mib"] / own["peak_mib"]:.1f}x' if known else '']
            body.append([name, form, *cells])
    head = ('matching', 'form', 'ms', 'time / chunks', 'memory, MiB', 'memory / chunks')
    title = '{objects} objects and the background, {channels} channels, {cells} cells, radius {radius}:'.format(
        **rows
    )
    worst = max(rows[name]['difference'] for name in FORMS)
    return [title, '', *table(head, body), '', f'Largest difference: {worst:.0e}.']


@torch.no_grad()
def main(argv: list[str] | None = None) -> None:
    """Run it."""
    args = parse_args(argv)
    start(args)
    inputs = Inputs(args)
    differences, memory = check(inputs, args.device)
    rows = dict(objects=args.objects, channels=args.channels, radius=args.radius, cells=inputs.labels.numel())
    for name, forms in FORMS.items():
        seconds = in_turns({form: lambda f=run: f(inputs) for form, run in forms.items()}, args.runs, args.device)
        rows[name] = {form: dict(seconds=seconds[form], peak_mib=memory[name][form]) for form in forms}
        rows[name]['difference'] = differences[name]
    finish(args, rows, tabulate(rows))


if __name__ == '__main__':
    main()
