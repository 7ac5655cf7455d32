"""Procedural colour of objects and backgrounds. All images are float32 BGR in [0, 255]."""

from __future__ import annotations

import cv2
import numpy as np

OBJECT_TEXTURES = ('shaded', 'stripes', 'dots', 'checks', 'blotches', 'bands', 'fine_stripes', 'gradient')
TEXTURE_SIZE = 64
TEXTURE_REACH = 1.8  # an object texture covers [-reach, reach] squared, in units of the object's radius


def value_noise(rng: np.random.Generator, height: int, width: int, cells: int) -> np.ndarray:
    """Smooth noise (height, width) in [0, 1], about `cells` bumps along the shorter side."""
    shorter = min(height, width)
    grid = rng.random((max(2, round(cells * height / shorter)) + 1, max(2, round(cells * width / shorter)) + 1))
    return np.clip(cv2.resize(grid.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)


def hsv_to_bgr(hue: float, saturation: float, value: float) -> np.ndarray:
    """One colour, all inputs in [0, 1] (hue wraps): (3,) float32 BGR in [0, 255]."""
    hsv = np.array([[[hue % 1 * 360, np.clip(saturation, 0, 1), np.clip(value, 0, 1)]]], np.float32)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0] * 255


def mix(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Two colours blended by a (h, w) weight map: (h, w, 3)."""
    return first + weight[..., None] * (second - first)


def object_texture(rng: np.random.Generator, name: str, hue: float) -> np.ndarray:
    """One instance's own texture.

    Args:
        rng: source of the instance's individual colours, phases and marks.
        name: one of `OBJECT_TEXTURES`.
        hue: base hue in [0, 1].

    Returns:
        (TEXTURE_SIZE, TEXTURE_SIZE, 3) float32 BGR.
    """
    saturation, value = rng.uniform(0.65, 1.0), rng.uniform(0.65, 0.98)
    base = hsv_to_bgr(hue, saturation, value)
    second = hsv_to_bgr(
        hue + rng.uniform(-0.05, 0.05), saturation * rng.uniform(0.3, 0.8), value * rng.uniform(0.35, 0.7)
    )
    if rng.random() < 0.5:
        second = hsv_to_bgr(hue, saturation * 0.35, 1.0)
    image = mix(base, second, _pattern(rng, name))
    # A mark of the instance: siblings stay alike, yet can be told apart.
    axis = np.linspace(-TEXTURE_REACH, TEXTURE_REACH, TEXTURE_SIZE, dtype=np.float32)
    x, y = rng.uniform(-0.4, 0.4, 2)
    spot = np.exp(-((axis[None] - x) ** 2 + (axis[:, None] - y) ** 2) / rng.uniform(0.03, 0.12))
    image = mix(image, hsv_to_bgr(rng.random(), 0.4, rng.choice([0.15, 0.95])), 0.75 * spot)
    shade = 0.8 + 0.4 * value_noise(rng, TEXTURE_SIZE, TEXTURE_SIZE, 6)
    return np.clip(image * shade[..., None], 0, 255).astype(np.float32)


def _pattern(rng: np.random.Generator, name: str) -> np.ndarray:
    """Weight of the second colour, (TEXTURE_SIZE, TEXTURE_SIZE) in [0, 1]."""
    axis = np.linspace(-TEXTURE_REACH, TEXTURE_REACH, TEXTURE_SIZE, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    phase_x, phase_y = rng.uniform(0, 2 * np.pi, 2)
    pitch = rng.uniform(0.85, 1.2)
    if name == 'shaded':
        return np.clip(0.5 * (x**2 + y**2) * rng.uniform(0.6, 1.2), 0, 0.8)
    if name == 'stripes':
        return _soft_step(np.sin(x * 8.5 * pitch + phase_x))
    if name == 'fine_stripes':
        return _soft_step(np.sin((x + y) * 13 * pitch + phase_x))
    if name == 'dots':
        return _soft_step(np.sin(x * 8 * pitch + phase_x) * np.sin(y * 8 * pitch + phase_y) - 0.35)
    if name == 'checks':
        return _soft_step(np.sin(x * 6 * pitch + phase_x) * np.sin(y * 6 * pitch + phase_y))
    if name == 'blotches':
        return _soft_step((value_noise(rng, TEXTURE_SIZE, TEXTURE_SIZE, 9) - 0.5) * 5)
    if name == 'bands':
        return _soft_step(np.sin(np.hypot(x, y) * 10 * pitch + phase_x))
    if name == 'gradient':
        return np.clip(0.5 + 0.45 * x * pitch, 0, 1)
    raise ValueError(f'unknown object texture {name!r}; expected one of {OBJECT_TEXTURES}')


def _soft_step(values: np.ndarray) -> np.ndarray:
    return np.clip(0.5 + 2.5 * values, 0, 1).astype(np.float32)


def background(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A textured backdrop: multi-scale noise over dull colours, with a gradient, stripes and clutter in some.

    Returns:
        (height, width, 3) float32 BGR.
    """
    hue = rng.random()
    colours = [
        hsv_to_bgr(hue + rng.uniform(-0.2, 0.2), rng.uniform(0.05, 0.4), value)
        for value in rng.uniform(0.2, 0.9, 3)
    ]
    coarse = value_noise(rng, height, width, int(rng.integers(2, 5)))
    medium = value_noise(rng, height, width, int(rng.integers(6, 14)))
    fine = value_noise(rng, height, width, int(rng.integers(20, 45)))
    image = mix(
        mix(colours[0], colours[1], coarse),
        colours[2],
        _soft_step((medium - rng.uniform(0.4, 0.7)) * 1.5) * 0.7,
    )
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32) / height
    kind = rng.random()
    if kind < 0.3:
        angle, pitch = rng.uniform(0, np.pi), rng.uniform(12, 40)
        wave = np.sin((columns * np.cos(angle) + rows * np.sin(angle)) * pitch + 4 * coarse)
        image = mix(image, colours[2] * 0.6, _soft_step(wave) * rng.uniform(0.2, 0.6))
    elif kind < 0.6:
        image = image * (0.6 + 0.7 * (rows if rng.random() < 0.5 else columns * height / width))[..., None]
    if rng.random() < 0.5:
        image = _clutter(rng, image)
    image = image * (0.8 + 0.4 * fine)[..., None]
    return np.clip(image, 0, 255).astype(np.float32)


def _clutter(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Dull irregular patches, so that an edge in the picture is not always an object."""
    height, width = image.shape[:2]
    image = np.ascontiguousarray(image, np.float32)
    for _ in range(int(rng.integers(3, 9))):
        angle = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(4, 9))))
        reach = rng.uniform(0.05, 0.25) * height * rng.uniform(0.5, 1.3, angle.size)
        centre = rng.random(2) * (width, height)
        points = centre + reach[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        colour = hsv_to_bgr(rng.random(), rng.uniform(0.0, 0.35), rng.uniform(0.15, 0.9))
        cv2.fillPoly(image, [np.round(points * 16).astype(np.int32)], colour.tolist(), cv2.LINE_AA, 4)
    return image
