"""STEm-Seg's clustering against the loop of the published code: equal labels, time and memory.

    python tools/benchmarks/clustering.py
    python tools/benchmarks/clustering.py --device cuda --pixels 1000000

A clip's pixels are those of blobs in the space of embeddings, with noise between them. ``loop`` indexes what is
free with a mask for every seed and keeps the distances of all pixels to all seeds. Memory is by how much it grows
at most, the result included. Fails if a label differs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from common import BenchmarkError, finish, in_turns, mebibytes, memory_growth, parser, ratios, spread, start, table
from reference_clustering import cluster_by_loop
from torch import Tensor

from maskprop.methods.stem_seg.clustering import SeedClustering

NOISE = 0.02  # share of the pixels


def clustering(embeddings: Tensor, widths: Tensor, seediness: Tensor) -> Tensor:
    return SeedClustering()(embeddings, widths, seediness).labels


def loop(embeddings: Tensor, widths: Tensor, seediness: Tensor) -> Tensor:
    return cluster_by_loop(embeddings, widths, seediness)[0]


FORMS: dict[str, Callable[..., Tensor]] = {'clustering': clustering, 'loop': loop}


def make_pixels(pixels: int, objects: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings (P, 4), bandwidths (P, 2), seediness (P,): pixels of objects of several sizes, and noise."""
    generator = torch.Generator().manual_seed(seed)
    centres = 2 * torch.rand(objects, 4, generator=generator) - 1
    shares = torch.rand(objects, generator=generator) + 0.2
    owner = torch.multinomial(shares, pixels, replacement=True, generator=generator)
    offsets = 0.05 * torch.randn(pixels, 4, generator=generator)
    embeddings = centres[owner] + offsets
    noise = torch.rand(pixels, generator=generator) < NOISE
    embeddings[noise] = 3 * torch.rand(int(noise.sum()), 4, generator=generator) - 1.5
    seediness = (-0.5 * (offsets / 0.05).square().sum(1) / 4).exp() * 0.99
    seediness[noise] = 0.5 * torch.rand(int(noise.sum()), generator=generator)
    widths = 20 + 5 * torch.rand(pixels, 2, generator=generator)
    return embeddings, widths, seediness


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    result = parser(__doc__, runs=5)
    result.add_argument(
        '--pixels', type=int, nargs='+', default=[50_000, 300_000, 1_000_000], help='of foreground'
    )
    result.add_argument('--objects', type=int, nargs='+', default=[5, 20])
    return result.parse_args(argv)


def check(inputs: tuple[Tensor, ...], device: str) -> dict[str, float | None]:
    """MiB of each form; BenchmarkError where a label differs."""
    found = {name: memory_growth(lambda f=form: f(*inputs), device) for name, form in FORMS.items()}
    (first, _), *others = found.values()
    for result, _ in others:
        if not torch.equal(first, result):
            raise BenchmarkError(f'{int((first != result).sum())} of {len(first)} labels differ')
    return {name: mib for name, (_, mib) in found.items()}


def tabulate(rows: list[dict]) -> list[str]:
    head = ('pixels', 'clusters', 'clustering, ms', 'loop, ms', 'loop / clustering', 'MiB', 'MiB of the loop')
    body = []
    for row in rows:
        own, other = (row[name] for name in FORMS)
        times = [spread([1e3 * value for value in form['seconds']]) for form in (own, other)]
        ratio = f'{spread(ratios(other["seconds"], own["seconds"]))}x'
        memory = mebibytes(own['peak_mib']), mebibytes(other['peak_mib'])
        body.append([f'{row["pixels"]:,}', row['clusters'], *times, ratio, *memory])
    return [*table(head, body), '', 'All labels are equal.']


@torch.no_grad()
def main(argv: list[str] | None = None) -> None:
    """Run it."""
    args = parse_args(argv)
    start(args)
    rows = []
    for pixels in args.pixels:
        for objects in args.objects:
            inputs = tuple(x.to(args.device) for x in make_pixels(pixels, objects))
            mib = check(inputs, args.device)
            clusters = len(SeedClustering()(*inputs).ids)
            forms = {name: lambda f=form, i=inputs: f(*i) for name, form in FORMS.items()}
            seconds = in_turns(forms, args.runs, args.device)
            row = {name: dict(seconds=seconds[name], peak_mib=mib[name]) for name in FORMS}
            rows.append(dict(pixels=pixels, objects=objects, clusters=clusters, **row))
    finish(args, rows, tabulate(rows))


if __name__ == '__main__':
    main()
