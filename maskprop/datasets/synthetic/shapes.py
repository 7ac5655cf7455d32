"""Outlines of the synthetic categories: closed polygons around the origin, in units of the radius."""

from __future__ import annotations

from functools import cache

import numpy as np

CATEGORY_NAMES = ('disc', 'square', 'triangle', 'star', 'cross', 'ring', 'crescent', 'hexagon')

# Every outline covers this area (units of radius squared), so that size tells nothing about the category.
OUTLINE_AREA = np.pi


@cache
def outline(category: int) -> tuple[np.ndarray, ...]:
    """The contours of one category.

    Args:
        category: index into `CATEGORY_NAMES`.

    Returns:
        One float64 array of (n, 2) points per contour; a second contour is a hole (even-odd filling).
    """
    contours = _BUILDERS[CATEGORY_NAMES[category]]()
    area = abs(_signed_area(contours[0])) - sum(abs(_signed_area(hole)) for hole in contours[1:])
    return tuple(contour * np.sqrt(OUTLINE_AREA / area) for contour in contours)


def _signed_area(points: np.ndarray) -> float:
    x, y = points.T
    return 0.5 * float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))


def _densify(corners: np.ndarray, per_edge: int = 6) -> np.ndarray:
    """Points along the edges, so that a deformation bends them."""
    corners = corners - corners.mean(axis=0)
    following = np.roll(corners, -1, axis=0)
    steps = np.arange(per_edge)[None, :, None] / per_edge
    return (corners[:, None] * (1 - steps) + following[:, None] * steps).reshape(-1, 2)


def _circle(radius: float = 1.0, points: int = 40) -> np.ndarray:
    angle = np.arange(points) * 2 * np.pi / points
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _polygon(corners: int) -> np.ndarray:
    return _densify(_circle(points=corners), per_edge=max(4, 24 // corners))


def _star(spikes: int = 5, inner: float = 0.5) -> np.ndarray:
    corners = _circle(points=2 * spikes)
    corners[1::2] *= inner
    return _densify(corners, per_edge=4)


def _cross(width: float = 0.4) -> np.ndarray:
    arm = np.array([[1, -width], [1, width], [width, width]])
    quarter_turn = np.array([[0, 1], [-1, 0]])
    arms = [arm]
    for _ in range(3):
        arms.append(arms[-1] @ quarter_turn)
    return _densify(np.concatenate(arms), per_edge=4)


def _crescent() -> np.ndarray:
    angle = np.linspace(0.6, 2 * np.pi - 0.6, 30)
    outer = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    # The bite is an arc through the outer arc's two tips.
    tip_x, tip_y = outer[0]
    centre = tip_x + 0.25
    radius = np.hypot(tip_x - centre, tip_y)
    start = np.arctan2(-tip_y, tip_x - centre) % (2 * np.pi)
    arc = np.linspace(start, 2 * np.pi - start, 16)[1:-1]
    bite = np.stack([centre + radius * np.cos(arc), radius * np.sin(arc)], axis=1)
    points = np.concatenate([outer, bite])
    return points - points.mean(axis=0)


_BUILDERS = {
    'disc': lambda: [_circle()],
    'square': lambda: [_polygon(4)],
    'triangle': lambda: [_polygon(3)],
    'star': lambda: [_star()],
    'cross': lambda: [_cross()],
    'ring': lambda: [_circle(), _circle(0.5, 24)],
    'crescent': lambda: [_crescent()],
    'hexagon': lambda: [_polygon(6)],
}
