"""Tracklets joined to tracks by their embeddings (UnOVOST, Section 3.3).

Every tracklet gets a predecessor that ended before it began; the forest of predecessors is cut into paths, the
best first. A cut goes through one tree once: the released code lists all paths from roots to leaves, and goes
through the rest of them again for every cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

from maskprop.methods.ensemble_vis.tracklets import Tracklet

COVER, SIMILARITY = 0.9, 0.1  # shares of a path's score


class Spans(NamedTuple):
    """Frames of K tracklets, inclusive: (K,) int64 each; their order is that of their numbers."""

    first: np.ndarray
    last: np.ndarray


def spans(tracklets: Sequence[Tracklet]) -> Spans:
    """The frames of K tracklets."""
    return Spans(*(np.array([getattr(t, end) for t in tracklets], dtype=np.int64) for end in ('first', 'last')))


def embedding_distances(embeddings: np.ndarray) -> tuple[np.ndarray, float]:
    """Euclidean distances of (K, E) embeddings over the largest one, (K, K) in [0, 1], and the largest one.

    Without a distance above 0, all are 0; the released code divides by zero.
    """
    if len(embeddings) == 0:
        return np.zeros((0, 0)), 0.0
    distances = cdist(embeddings, embeddings)
    largest = float(distances.max())
    return (distances / largest if largest else distances), largest


def find_predecessors(spans: Spans, distances: np.ndarray, allowed: np.ndarray | None = None) -> list[int]:
    """Of each tracklet the one that it continues, or -1.

    The nearest of those that ended before it began; but the second nearest where the nearest is itself that one's
    predecessor: it is further along the same chain.

    Args:
        spans: of K tracklets. distances: (K, K). allowed: (K, K) bool, row: tracklet, column: its predecessor.
    """
    count = len(distances)
    order = np.lexsort((np.arange(count), spans.last, spans.first))
    before = spans.last[order][None, :] < spans.first[:, None]  # [K, K], columns in order: of equal ones the first
    if allowed is not None:
        before &= allowed[:, order]
    masked = np.where(before, distances[:, order], np.inf)
    candidates = before.sum(1)
    found = [-1] * count
    if count == 0:
        return found
    nearest = masked.argmin(1)
    masked[np.arange(count), nearest] = np.inf
    second = masked.argmin(1)
    for k in order.tolist():
        if candidates[k] == 0:
            continue
        found[k] = int(order[nearest[k]])
        if candidates[k] > 1 and found[other := int(order[second[k]])] == found[k]:
            found[k] = other
    return found


class Forest:
    """K tracklets and their predecessors as trees.

    Args:
        predecessors: of each tracklet, or -1. spans: of them. distances: (K, K) in [0, 1]. length: frames of the
            video.
    """

    def __init__(self, predecessors: Sequence[int], spans: Spans, distances: np.ndarray, length: int) -> None:
        self.predecessors = predecessors
        self.length = length
        self.last = spans.last.tolist()
        self.children: list[list[int]] = [[] for _ in predecessors]
        for k, parent in enumerate(predecessors):
            if parent >= 0:
                self.children[parent].append(k)
        self.roots = [k for k, parent in enumerate(predecessors) if parent < 0]
        self._cover = (spans.last - spans.first).tolist()
        self._similarity = 1 - distances

    def path(self, leaf: int, root: int = -1) -> list[int]:
        """From the root of its tree, or from ``root`` above it, to a tracklet."""
        way = [leaf]
        while way[-1] != root and self.predecessors[way[-1]] >= 0:
            way.append(self.predecessors[way[-1]])
        return way[::-1]

    def paths(self) -> list[list[int]]:
        """From the roots to every leaf, leaves from the highest number down."""
        leaves = [k for k, children in enumerate(self.children) if not children]
        return [self.path(leaf) for leaf in reversed(leaves)]

    def cut(self) -> list[list[int]]:
        """Paths that have every tracklet once, in the order in which the released code finds them.

        Of each tree the best path is taken: .9 of the share of the video's frames that it covers and .1 of the
        largest similarity of two of its tracklets. What hangs from it falls into trees again.
        """
        tracks, waiting = [], self.roots[::-1]
        while waiting:
            root = waiting.pop()
            track = self.path(self._best_leaf(root), root)
            tracks.append(track)
            rest = [child for k in track for child in self.children[k] if child not in track]
            waiting += sorted(rest, reverse=True)
        return tracks

    def _best_leaf(self, root: int) -> int:
        """The leaf of a tree's best path; of equal ones the latest, then the first in order of the paths."""
        best, best_leaf = (-np.inf, -1), -1
        way: list[int] = []
        waiting = [(root, 0, 0, 0.0)]  # tracklet, its depth, cover and largest similarity above it
        while waiting:
            k, depth, cover, similarity = waiting.pop()
            del way[depth:]
            if way:
                similarity = max(similarity, self._similarity[k, way].max())
            way.append(k)
            cover += self._cover[k]
            waiting += [(child, depth + 1, cover, similarity) for child in reversed(self.children[k])]
            if not self.children[k]:
                score = COVER * cover / self.length + SIMILARITY * similarity
                if (score, self.last[k]) > best:
                    best, best_leaf = (score, self.last[k]), k
        return best_leaf


def track_score(tracklets: Sequence[Tracklet]) -> float:
    """The released code's score of a track: the mean of mean score x accumulated length; frames."""
    lengths = np.cumsum([t.length for t in tracklets])
    return float(np.mean([t.mean_score * n for t, n in zip(tracklets, lengths, strict=True)]))


def rank(scores: Sequence[float], most: int | None = None) -> list[int]:
    """Tracks by descending score, of equal ones the first; at most so many."""
    return sorted(range(len(scores)), key=lambda k: -scores[k])[:most]
