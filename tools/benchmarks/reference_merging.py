"""UnOVOST's merging in the manner of its authors' code, written anew: loops over pairs, recursion over paths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

COVER, SIMILARITY = 0.9, 0.1


class Piece(NamedTuple):
    """A tracklet: its frames, inclusive, and its mean embedding."""

    first: int
    last: int
    embedding: np.ndarray


def merge_by_recursion(pieces: Sequence[Piece], length: int) -> list[list[int]]:
    """Tracks, in the order in which they are cut, of tracklets in the order of their numbers."""
    largest = max(distance(a, b) for i, a in enumerate(pieces) for b in pieces[i + 1 :])
    predecessors = find_predecessors(pieces, largest)
    tracks: list[list[int]] = []
    cut_paths(list_paths(predecessors), pieces, largest, length, tracks)
    return tracks


def distance(a: Piece, b: Piece) -> float:
    return float(np.linalg.norm(a.embedding - b.embedding))


def find_predecessors(pieces: Sequence[Piece], largest: float) -> list[int]:
    order = sorted(range(len(pieces)), key=lambda k: (pieces[k].first, pieces[k].last))
    found = [-1] * len(pieces)
    for k in order:
        ended = [j for j in order if pieces[j].last < pieces[k].first]
        choose(k, ended, pieces, largest, found)
    return found


def choose(k: int, ended: list[int], pieces: Sequence[Piece], largest: float, found: list[int]) -> None:
    """The predecessor of k; where the nearest is that of the second nearest, among what follows it."""
    nearest = sorted(ended, key=lambda j: distance(pieces[k], pieces[j]) / largest)
    if not nearest:
        return
    if len(nearest) > 1 and found[nearest[1]] == nearest[0]:
        later = nearest[1]
        after = [j for j in ended if pieces[j].first < pieces[later].last and found[j] == later]
        choose(k, [*after, later], pieces, largest, found)
    else:
        found[k] = nearest[0]


def list_paths(predecessors: Sequence[int]) -> list[list[int]]:
    """From the root to every leaf."""

    def climb(k: int) -> list[int]:
        return [k] if predecessors[k] < 0 else [*climb(predecessors[k]), k]

    return [climb(k) for k in range(len(predecessors) - 1, -1, -1) if k not in predecessors]


def cut_paths(
    paths: list[list[int]], pieces: Sequence[Piece], largest: float, length: int, tracks: list[list[int]]
) -> None:
    """The best path of those with the same root is a track; what it shares with the others is taken off them."""
    groups: dict[int, list[list[int]]] = {}
    for path in sorted(paths):
        groups.setdefault(path[0], []).append(path)
    for group in groups.values():
        scores = [path_score(path, pieces, largest, length) for path in group]
        best = max(range(len(group)), key=lambda i: (scores[i], pieces[group[i][-1]].last))
        track = group.pop(best)
        tracks.append(track)
        cut_paths([[k for k in path if k not in track] for path in group], pieces, largest, length, tracks)


def path_score(path: list[int], pieces: Sequence[Piece], largest: float, length: int) -> float:
    cover = sum(pieces[k].last - pieces[k].first for k in path)
    likeness = [1 - distance(pieces[i], pieces[j]) / largest for i in path for j in path if j > i]
    return COVER * cover / length + SIMILARITY * max(likeness, default=0)
