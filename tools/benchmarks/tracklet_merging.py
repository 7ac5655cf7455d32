"""UnOVOST's merging of tracklets against the recursion of the published code: equal tracks, time.

    python tools/benchmarks/tracklet_merging.py

A video's tracklets, of objects that leave and return, with embeddings of 128 numbers. ``merging`` is
maskprop/methods/ensemble_vis/merging.py; ``recursion`` lists all paths and compares embeddings where it needs
them, as the published code does. Fails if a track differs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import numpy as np
from common import BenchmarkError, finish, in_turns, parser, ratios, spread, start, table
from reference_merging import Piece, merge_by_recursion

from maskprop.methods.ensemble_vis.merging import Forest, Spans, embedding_distances, find_predecessors

OBJECTS, CHANNELS, NOISE = 25, 128, 0.5


def merging(pieces: Sequence[Piece], length: int) -> list[list[int]]:
    """Tracks by the project's functions."""
    spans = Spans(*(np.array([getattr(p, end) for p in pieces]) for end in ('first', 'last')))
    distances, _ = embedding_distances(np.stack([p.embedding for p in pieces]))
    return Forest(find_predecessors(spans, distances), spans, distances, length).cut()


FORMS: dict[str, Callable[..., list[list[int]]]] = {'merging': merging, 'recursion': merge_by_recursion}


def make_tracklets(count: int, seed: int = 0) -> tuple[list[Piece], int]:
    """Tracklets in the order of their numbers, and the video's frames: ``OBJECTS`` of them at a time."""
    rng = np.random.default_rng(seed)
    length = max(8 * count // OBJECTS, 2)
    looks = rng.normal(size=(OBJECTS, CHANNELS))
    first = np.sort(rng.integers(0, length, count))
    last = np.minimum(first + rng.geometric(1 / 8, count) - 1, length - 1)
    owner = rng.integers(0, OBJECTS, count)
    embeddings = looks[owner] + NOISE * rng.normal(size=(count, CHANNELS))
    return [Piece(*row) for row in zip(first.tolist(), last.tolist(), embeddings, strict=True)], length


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    result = parser(__doc__, runs=3)
    result.add_argument('--tracklets', type=int, nargs='+', default=[50, 150, 500], help='of a video')
    return result.parse_args(argv)


def check(pieces: list[Piece], length: int) -> list[list[int]]:
    """The tracks; BenchmarkError where one differs."""
    found = [form(pieces, length) for form in FORMS.values()]
    if any(tracks != found[0] for tracks in found):
        raise BenchmarkError(f'the forms differ: {[len(tracks) for tracks in found]} tracks')
    return found[0]


def tabulate(rows: list[dict]) -> list[str]:
    head = ('tracklets', 'frames', 'tracks', 'merging, ms', 'recursion, ms', 'recursion / merging')
    body = []
    for row in rows:
        own, other = (row[name] for name in FORMS)
        times = [spread([1e3 * value for value in seconds]) for seconds in (own, other)]
        body.append([row['tracklets'], row['frames'], row['tracks'], *times, f'{spread(ratios(other, own))}x'])
    return [*table(head, body), '', 'All tracks are equal.']


def main(argv: list[str] | None = None) -> None:
    """Run it."""
    args = parse_args(argv)
    start(args)
    rows = []
    for count in args.tracklets:
        pieces, length = make_tracklets(count)
        tracks = check(pieces, length)
        forms = {name: lambda f=form, p=pieces, n=length: f(p, n) for name, form in FORMS.items()}
        seconds = in_turns(forms, args.runs, args.device)
        rows.append(dict(tracklets=count, frames=length, tracks=len(tracks), **seconds))
    finish(args, rows, tabulate(rows))


if __name__ == '__main__':
    main()
