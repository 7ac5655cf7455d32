"""What happens in one clip: which objects, of which category, on which paths, in front of what."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from maskprop.datasets.synthetic import motion, textures
from maskprop.datasets.synthetic.shapes import CATEGORY_NAMES


@dataclass(frozen=True)
class SceneSettings:
    """The keys of a procedural set.

    `radius` and `speed` (a frame) are relative to the picture's height, so that a larger picture shows the same
    scenes; a `_share` is a probability.

    Raises:
        ValueError: a key outside its range.
    """

    height: int = 96
    width: int = 160
    frames: int = 36
    categories: int = 5
    colour_correlation: float = 1.0
    objects: tuple[int, int] = (1, 3)
    radius: tuple[float, float] = (0.18, 0.28)
    speed: float = 0.034
    fast_share: float = 0.25
    crossing_share: float = 0.3
    transit_share: float = 0.2
    blur_share: float = 0.4
    swap_share: float = 0.05

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 32:
            raise ValueError(f'size {self.height}x{self.width}: both sides must be at least 32 pixels')
        if self.frames < 1:
            raise ValueError(f'frames: expected at least 1, found {self.frames}')
        if not 1 <= self.categories <= len(CATEGORY_NAMES):
            raise ValueError(f'categories: expected 1 to {len(CATEGORY_NAMES)}, found {self.categories}')
        if not 0 <= self.colour_correlation <= 1:
            raise ValueError(f'colour_correlation: expected a number in [0, 1], found {self.colour_correlation}')
        if not 1 <= self.objects[0] <= self.objects[1]:
            raise ValueError(f'objects: expected 1 <= fewest <= most, found {self.objects}')

    def as_json(self) -> dict:
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


@dataclass(frozen=True)
class SceneObject:
    """One instance. `radius` in pixels; `texture` as `textures.object_texture` returns it."""

    category: int
    radius: float
    texture: np.ndarray
    motion: motion.Motion


@dataclass(frozen=True)
class Scene:
    """One clip to be drawn. `orders` lists object indices from back to front, from a first frame on."""

    objects: list[SceneObject]
    orders: list[tuple[float, tuple[int, ...]]]
    backdrop: np.ndarray
    camera: motion.Path
    camera_log_zoom: motion.Wave
    shutter: float  # share of the frame interval for which light is gathered
    noise: float

    def order_at(self, time: float) -> tuple[int, ...]:
        return [order for start, order in self.orders if start <= time or start == 0][-1]


def sample_scene(rng: np.random.Generator, settings: SceneSettings) -> Scene:
    """Draw a clip at random."""
    count = int(rng.integers(settings.objects[0], settings.objects[1] + 1))
    categories = rng.integers(settings.categories, size=count)
    crossing = count >= 2 and rng.random() < settings.crossing_share
    if crossing:
        categories[1] = categories[0]
    paths: list[motion.Path] = []
    for index in range(count):
        others = [path.origin for path in paths if path.velocity == (0.0, 0.0)]
        paths.append(_sample_path(rng, settings, others, may_leave=not (crossing and index < 2)))
    radii = rng.uniform(*settings.radius, size=count) * settings.height
    if crossing:
        paths[:2] = _make_cross(rng, settings, paths[:2], radii[:2])
    objects = [
        SceneObject(
            category=int(category),
            radius=float(radius),
            texture=_sample_texture(rng, settings, int(category)),
            motion=motion.random_motion(rng, path),
        )
        for category, radius, path in zip(categories, radii, paths, strict=True)
    ]
    return Scene(objects=objects, orders=_sample_orders(rng, settings, count), **_sample_camera(rng, settings))


def _sample_path(
    rng: np.random.Generator, settings: SceneSettings, others: list[tuple[float, float]], may_leave: bool
) -> motion.Path:
    speed = settings.speed * settings.height * rng.uniform(0.6, 1.35)
    if rng.random() < settings.fast_share:
        speed *= 1.7
    if may_leave and rng.random() < settings.transit_share:
        return motion.transit_path(rng, settings.height, settings.width, speed, settings.frames)
    return motion.roaming_path(rng, settings.height, settings.width, speed, others)


def _make_cross(
    rng: np.random.Generator, settings: SceneSettings, paths: list[motion.Path], radii: np.ndarray
) -> list[motion.Path]:
    """Shift two paths so that the objects overlap at one moment in the middle part of the clip."""
    moment = rng.uniform(0.25, 0.75) * (settings.frames - 1)
    meeting = np.array([rng.uniform(0.3, 0.7) * settings.width, rng.uniform(0.35, 0.65) * settings.height])
    angle = rng.uniform(0, 2 * np.pi)
    apart = rng.uniform(0.5, 0.85) * radii.sum() * np.array([np.cos(angle), np.sin(angle)])
    return [paths[0].moved_to(meeting - apart / 2, moment), paths[1].moved_to(meeting + apart / 2, moment)]


def _sample_texture(rng: np.random.Generator, settings: SceneSettings, category: int) -> np.ndarray:
    """Hue and texture follow the category with probability `colour_correlation`, each on its own."""
    hue = category / settings.categories + rng.normal(0, 0.13 / settings.categories)
    if rng.random() >= settings.colour_correlation:
        hue = rng.random()
    name = textures.OBJECT_TEXTURES[category]
    if rng.random() >= settings.colour_correlation:
        name = textures.OBJECT_TEXTURES[int(rng.integers(settings.categories))]
    return textures.object_texture(rng, name, float(hue))


def _sample_orders(
    rng: np.random.Generator, settings: SceneSettings, count: int
) -> list[tuple[float, tuple[int, ...]]]:
    order = [int(i) for i in rng.permutation(count)]
    orders = [(0.0, tuple(order))]
    if count >= 2 and rng.random() < settings.swap_share:
        lower = int(rng.integers(count - 1))
        order[lower], order[lower + 1] = order[lower + 1], order[lower]
        orders.append((float(rng.uniform(0.2, 0.8)) * settings.frames, tuple(order)))
    return orders


def _sample_camera(rng: np.random.Generator, settings: SceneSettings) -> dict:
    height, width = settings.height, settings.width
    margin = int(0.3 * height)
    drift = rng.uniform(0, 0.2) * height
    return dict(
        backdrop=textures.background(rng, height + 2 * margin, width + 2 * margin),
        camera=motion.Path(
            origin=(margin + width / 2, margin + height / 2),
            wave_x=motion.random_wave(rng, drift, (50, 120)),
            wave_y=motion.random_wave(rng, 0.7 * drift, (50, 120)),
        ),
        camera_log_zoom=motion.random_wave(rng, rng.uniform(0, 0.07), (50, 120)),
        shutter=float(rng.uniform(0.5, 1.0)) if rng.random() < settings.blur_share else 0.0,
        noise=float(rng.uniform(1.0, 4.0)),
    )
