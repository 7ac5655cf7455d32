"""One fixed colour per track id."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

PALETTE_SIZE = 64


def srgb_to_lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB (D65) of sRGB colours, where the Euclidean distance is roughly how different two colours look.

    Args:
        rgb: (..., 3) floats in [0, 1].

    Returns:
        (..., 3) floats: L in [0, 100], a, b.
    """
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ to_xyz.T / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def _candidates() -> np.ndarray:
    """Vivid, not too dark sRGB colours (n, 3), so that every colour of the palette shows on a photograph."""
    levels = np.linspace(0, 1, 9)
    rgb = np.stack(np.meshgrid(levels, levels, levels, indexing='ij'), axis=-1).reshape(-1, 3)
    lab = srgb_to_lab(rgb)
    vivid = np.hypot(lab[:, 1], lab[:, 2]) >= 50
    return rgb[vivid & (lab[:, 0] >= 52) & (lab[:, 0] <= 92)]


@lru_cache(maxsize=1)
def palette() -> tuple[tuple[int, int, int], ...]:
    """BGR colours, each the farthest in CIELAB from those before it, so that the first few differ most."""
    rgb = _candidates()
    lab = srgb_to_lab(rgb)
    chosen = [int(np.argmin(np.linalg.norm(rgb - np.array([1.0, 0.45, 0.05]), axis=1)))]  # begin with orange
    distance = np.linalg.norm(lab - lab[chosen[0]], axis=1)
    while len(chosen) < PALETTE_SIZE:
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.linalg.norm(lab - lab[chosen[-1]], axis=1))
    return tuple(tuple(int(round(c * 255)) for c in rgb[i][::-1]) for i in chosen)


def track_color(track_id: int) -> tuple[int, int, int]:
    """BGR colour (0..255) of a track id, the same in every frame; repeats after ``PALETTE_SIZE`` ids."""
    return palette()[int(track_id) % PALETTE_SIZE]
