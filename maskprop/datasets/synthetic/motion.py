"""How things move: closed-form functions of time, so that any moment between two frames can be drawn.

Time is in source frames, lengths in pixels, angles in radians; y points down.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np


@dataclass(frozen=True)
class Wave:
    """A sum of sines. `at` takes any array of times and returns the same shape."""

    amplitudes: tuple[float, ...] = ()
    periods: tuple[float, ...] = ()
    phases: tuple[float, ...] = ()

    def at(self, time: np.ndarray | float) -> np.ndarray:
        value = np.zeros_like(np.asarray(time, dtype=float))
        for amplitude, period, phase in zip(self.amplitudes, self.periods, self.phases, strict=True):
            value = value + amplitude * np.sin(2 * np.pi * np.asarray(time) / period + phase)
        return value


def random_wave(rng: np.random.Generator, amplitude: float, periods: tuple[float, float]) -> Wave:
    """A main sine with a weaker, faster second one: smooth, but not plainly periodic."""
    period = rng.uniform(*periods)
    return Wave(
        amplitudes=(amplitude, amplitude * rng.uniform(0.05, 0.22)),
        periods=(period, period / rng.uniform(2.0, 2.8)),
        phases=(rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi)),
    )


@dataclass(frozen=True)
class Path:
    """origin + velocity·t + a wave in x and one in y."""

    origin: tuple[float, float]
    velocity: tuple[float, float] = (0.0, 0.0)
    wave_x: Wave = field(default_factory=Wave)
    wave_y: Wave = field(default_factory=Wave)

    def at(self, time: np.ndarray | float) -> np.ndarray:
        """Positions (..., 2) as (x, y)."""
        time = np.asarray(time, dtype=float)
        x = self.origin[0] + self.velocity[0] * time + self.wave_x.at(time)
        y = self.origin[1] + self.velocity[1] * time + self.wave_y.at(time)
        return np.stack([x, y], axis=-1)

    def moved_to(self, point: np.ndarray, time: float) -> Path:
        """The same path, shifted so that it passes `point` at `time`."""
        shift = np.asarray(point) - self.at(time)
        return replace(self, origin=(self.origin[0] + float(shift[0]), self.origin[1] + float(shift[1])))


def roaming_path(
    rng: np.random.Generator, height: int, width: int, speed: float, others: list[tuple[float, float]]
) -> Path:
    """A curvy path around a point inside the picture, of six points the one farthest from `others`.

    Args:
        height, width: of the picture.
        speed: typical, in pixels a frame.
        others: middles (x, y) of the paths there already.
    """
    period = rng.uniform(26, 56)
    angle = rng.uniform(0, 2 * np.pi)
    amplitude = speed * period / (2 * np.pi) * np.sqrt(2)
    across = min(abs(np.cos(angle)) * amplitude, 0.42 * width)
    down = min(abs(np.sin(angle)) * amplitude, 0.36 * height)
    return Path(
        origin=_free_place(rng, height, width, others),
        wave_x=random_wave(rng, across, (0.9 * period, 1.1 * period)),
        wave_y=random_wave(rng, down, (0.9 * period, 1.1 * period)),
    )


def _free_place(
    rng: np.random.Generator, height: int, width: int, others: list[tuple[float, float]]
) -> tuple[float, float]:
    candidates = rng.uniform((0.15, 0.2), (0.85, 0.8), size=(6, 2)) * (width, height)
    distances = [min((np.hypot(x - a, y - b) for a, b in others), default=0.0) for x, y in candidates]
    x, y = candidates[int(np.argmax(distances))]
    return float(x), float(y)


def transit_path(rng: np.random.Generator, height: int, width: int, speed: float, frames: int) -> Path:
    """A path that enters or leaves: it crosses the picture's left or right border at a random time."""
    border = float(rng.integers(2)) * width
    inward = 1.0 if border == 0 else -1.0
    entering = rng.random() < 0.5
    slope = rng.uniform(-0.35, 0.35)
    velocity = np.array([inward, slope]) * speed / np.hypot(1, slope) * (1 if entering else -1)
    moment = rng.uniform(0.05, 0.45) * frames if entering else rng.uniform(0.55, 0.95) * frames
    path = Path(
        origin=(0.0, 0.0),
        velocity=(float(velocity[0]), float(velocity[1])),
        wave_x=random_wave(rng, 0.3 * speed, (14, 30)),
        wave_y=random_wave(rng, rng.uniform(0.05, 0.2) * height, (20, 45)),
    )
    return path.moved_to(np.array([border, rng.uniform(0.3, 0.7) * height]), moment)


@dataclass(frozen=True)
class Motion:
    """Where one object is and what shape it has, at any time."""

    path: Path
    log_scale: Wave
    turn_start: float
    turn_rate: float
    turn_wobble: Wave
    log_squash: Wave
    bulge: Wave
    bulge_order: int
    bulge_rate: float

    def pose(self, time: float) -> np.ndarray:
        """The 2x3 matrix that takes unit-radius object coordinates to pixels over the radius, at `time`.

        Its left 2x2 part must be multiplied by the object's radius; the last column is in pixels already.
        """
        scale, squash = np.exp(self.log_scale.at(time)), np.exp(self.log_squash.at(time))
        angle = self.turn_start + self.turn_rate * time + self.turn_wobble.at(time)
        cos, sin = np.cos(angle), np.sin(angle)
        linear = scale * np.array([[cos, -sin], [sin, cos]]) @ np.diag([squash, 1 / squash])
        return np.concatenate([linear, self.path.at(time)[:, None]], axis=1)

    def deform(self, points: np.ndarray, time: float) -> np.ndarray:
        """Bulge an outline: points (n, 2) move along their radius by a travelling wave around the object."""
        angle = np.arctan2(points[:, 1], points[:, 0])
        swell = self.bulge.at(time) * np.sin(self.bulge_order * angle + self.bulge_rate * time)
        return points * (1 + swell)[:, None]


def random_motion(rng: np.random.Generator, path: Path) -> Motion:
    """A path together with its own scale change, rotation and deformation."""
    return Motion(
        path=path,
        log_scale=random_wave(rng, rng.uniform(0.03, 0.18), (28, 60)),
        turn_start=rng.uniform(0, 2 * np.pi),
        turn_rate=rng.normal(0, 0.025),
        turn_wobble=random_wave(rng, rng.uniform(0, 0.2), (18, 40)),
        log_squash=random_wave(rng, rng.uniform(0, 0.12), (16, 40)),
        bulge=random_wave(rng, rng.uniform(0, 0.12), (14, 40)),
        bulge_order=int(rng.integers(2, 4)),
        bulge_rate=rng.normal(0, 0.09),
    )
