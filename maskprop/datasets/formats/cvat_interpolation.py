"""How CVAT moves a polygon between two keyframes with any numbers of corners."""

from __future__ import annotations

import numpy as np


def interpolate_polygon(left: np.ndarray, right: np.ndarray, share: float) -> np.ndarray:
    """The polygon between two keyframes.

    Both outlines are closed and measured from their first corner; corners at the nearest shares of the whole
    length belong together. Each corner of the left one has its nearest of the right one, and those of the right
    one that are left over have their nearest of the left one. Pairs move along straight lines. Then corners that
    came of several pairs are thinned out: those nearer to the last kept one than half of the mean distance go.

    Args:
        left, right: (n, 2) and (m, 2) corners.
        share: of the way from left to right, from 0 to 1.

    Returns:
        (k, 2) corners.
    """
    left, right = (np.concatenate([outline, outline[:1]]) for outline in (left, right))
    pairs = _pairs(_lengths(left), _lengths(right))
    moved = [[left[i] + (right[j] - left[i]) * share for j in found] for i, found in enumerate(pairs)]
    kept: list[np.ndarray] = []
    start = 0
    while start < len(pairs):
        if len(pairs[start]) > 1:  # one corner becomes several
            first, last = pairs[start][0], pairs[start][-1]
            kept += _thin(moved[start], right[first : last + 1])
            start += 1
            continue
        stop = start + 1  # several corners become one
        while stop < len(pairs) and pairs[stop] == pairs[start]:
            stop += 1
        points = [moved[i][0] for i in range(start, stop)]
        kept += points if len(points) == 1 else _thin(points, left[start:stop])
        start = stop
    return np.array(kept[:-1])


def _lengths(outline: np.ndarray) -> np.ndarray:
    """Share of the outline's length at which each corner is."""
    way = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(outline, axis=0), axis=1))])
    return way / way[-1] if way[-1] > 0 else way


def _pairs(left: np.ndarray, right: np.ndarray) -> list[list[int]]:
    """For each corner of the left outline those of the right one that belong to it."""
    distances = np.abs(left[:, None] - right[None])
    nearest = distances.argmin(1)
    pairs = [[j] for j in nearest.tolist()]
    for j in sorted(set(range(len(right))) - set(nearest.tolist())):
        pairs[int(distances[:, j].argmin())].append(j)
    return [sorted(found) for found in pairs]


def _thin(points: list[np.ndarray], outline: np.ndarray) -> list[np.ndarray]:
    """The first and the last point, and those between that are far enough from the last one kept."""
    least = np.linalg.norm(np.diff(outline, axis=0), axis=1).sum() / (2 * len(outline))
    kept = [points[0]]
    for point in points[1:-1]:
        if np.linalg.norm(point - kept[-1]) >= least:
            kept.append(point)
    if len(kept) == 1 and np.linalg.norm(points[-1] - points[0]) < least:
        return [(points[0] + points[-1]) / 2]
    return [*kept, points[-1]]
