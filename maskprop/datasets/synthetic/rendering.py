"""Drawing a scene: anti-aliased layers, depth order, motion blur, and the exact visible masks.

A frame is the mean of several moments within the exposure; its masks are those of the exposure's middle. A pixel
is in an object's mask where the object, after those in front of it, covers more than half of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np

from maskprop.datasets.synthetic.scene import Scene, SceneObject, SceneSettings
from maskprop.datasets.synthetic.shapes import outline
from maskprop.datasets.synthetic.textures import TEXTURE_REACH, TEXTURE_SIZE

SUPERSAMPLING = 4
MAX_MOMENTS = 7
NOISE_SLACK = 64
_FIXED_POINT_BITS = 4

# From texture pixels to object coordinates: pixel (i, j) lies at 2·reach·(i, j)/(size - 1) - reach.
_TEXEL = 2 * TEXTURE_REACH / (TEXTURE_SIZE - 1)
_TEXTURE_TO_OBJECT = np.array([[_TEXEL, 0, -TEXTURE_REACH], [0, _TEXEL, -TEXTURE_REACH], [0, 0, 1]])


class Layer(NamedTuple):
    """Part of the picture covered by one object: a window with corner (x, y), coverage (h, w) float32 in [0, 1]
    and colour (h, w, 3) float32, which is None where only masks are wanted."""

    x: int
    y: int
    coverage: np.ndarray
    colour: np.ndarray | None = None

    @property
    def window(self) -> tuple[slice, slice]:
        height, width = self.coverage.shape
        return slice(self.y, self.y + height), slice(self.x, self.x + width)


@dataclass
class Clip:
    """A drawn clip.

    Attributes:
        frames: uint8 BGR pictures (H, W, 3).
        category_ids: one per instance, as in the set's JSON.
        masks: per instance, per frame, a bool (H, W) array or None where the instance isn't visible.
        visibility: per instance, per frame, the visible share of what is inside the picture, 0 where absent.
        blur: per frame, the longest way in pixels that an object's centre covers during the exposure.
    """

    frames: list[np.ndarray]
    category_ids: list[int]
    masks: list[list[np.ndarray | None]]
    visibility: list[list[float]]
    blur: list[float]
    extra: dict = field(default_factory=dict)


def draw_layer(item: SceneObject, time: float, height: int, width: int, colour: bool = True) -> Layer | None:
    """One object at one moment, or None where it is outside the picture."""
    pose = item.motion.pose(time)
    pose[:, :2] *= item.radius
    contours = [item.motion.deform(points, time) @ pose[:, :2].T + pose[:, 2] for points in outline(item.category)]
    low = np.floor(contours[0].min(axis=0)).astype(int)
    high = np.ceil(contours[0].max(axis=0)).astype(int)
    x0, y0 = max(low[0], 0), max(low[1], 0)
    x1, y1 = min(high[0], width), min(high[1], height)
    if x1 <= x0 or y1 <= y0:
        return None
    size = (x1 - x0, y1 - y0)
    fine = np.zeros((size[1] * SUPERSAMPLING, size[0] * SUPERSAMPLING), np.uint8)
    # Points are in pixel-corner coordinates; fillPoly wants pixel centres of the fine grid.
    scaled = [((points - (x0, y0)) * SUPERSAMPLING - 0.5) * 2**_FIXED_POINT_BITS for points in contours]
    cv2.fillPoly(fine, [np.round(points).astype(np.int32) for points in scaled], 255, shift=_FIXED_POINT_BITS)
    coverage = cv2.resize(fine, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return Layer(x0, y0, coverage, _warp_texture(item.texture, pose, x0, y0, size) if colour else None)


def _warp_texture(texture: np.ndarray, pose: np.ndarray, x0: int, y0: int, size: tuple[int, int]) -> np.ndarray:
    matrix = pose @ _TEXTURE_TO_OBJECT
    matrix[:, 2] -= (x0 + 0.5, y0 + 0.5)
    return cv2.warpAffine(texture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def composite(canvas: np.ndarray, layers: list[Layer]) -> None:
    """Paint layers, back to front, over a float32 (H, W, 3) canvas in place."""
    for layer in layers:
        patch = canvas[layer.window]
        patch += layer.coverage[..., None] * (layer.colour - patch)


def visible_masks(layers: dict[int, Layer], order: tuple[int, ...], height: int, width: int) -> dict:
    """Which pixels show which object.

    Args:
        layers: object index -> layer; objects outside the picture are missing.
        order: object indices from back to front.

    Returns:
        object index -> (bool mask (H, W), visible share of the object's coverage within the picture). Masks
        never share a pixel: the visible coverages add up to at most 1, and a mask's exceeds 1/2.
    """
    open_share = np.ones((height, width), np.float32)
    result = {}
    for index in reversed(order):
        layer = layers.get(index)
        if layer is None:
            continue
        patch = open_share[layer.window]
        seen = patch * layer.coverage
        mask = np.zeros((height, width), bool)
        mask[layer.window] = seen > 0.5
        result[index] = (mask, float(seen.sum() / max(layer.coverage.sum(), 1e-6)))
        patch *= 1 - layer.coverage
    return result


def render_clip(rng: np.random.Generator, scene: Scene, settings: SceneSettings, min_area: int) -> Clip:
    """Draw a scene.

    Args:
        rng: for the sensor noise only.
        min_area: an object showing fewer pixels than this counts as absent in that frame.

    Objects seen in too few frames (under a sixth of the clip) are left out of the scene.
    """
    kept = _visible_long_enough(scene, settings, min_area)
    noise = _noise_tile(rng, settings)
    clip = Clip([], [scene.objects[i].category + 1 for i in kept], [[] for _ in kept], [[] for _ in kept], [])
    for time in range(settings.frames):
        order = tuple(i for i in scene.order_at(time) if i in kept)
        visible = _masks_at(scene, order, time, settings)
        for position, index in enumerate(kept):
            mask, share = visible.get(index, (None, 0.0))
            present = mask is not None and int(mask.sum()) >= min_area
            clip.masks[position].append(mask if present else None)
            clip.visibility[position].append(round(share, 3) if present else 0.0)
        moments, travel = _moments(scene, order, time)
        picture = np.mean([_draw_moment(scene, order, moment, settings) for moment in moments], axis=0)
        top, left = rng.integers(0, NOISE_SLACK + 1, 2)
        picture = picture + scene.noise * noise[top : top + settings.height, left : left + settings.width, None]
        clip.frames.append(np.asarray(np.clip(np.round(picture), 0, 255), dtype=np.uint8))
        clip.blur.append(round(travel, 2))
    return clip


def _visible_long_enough(scene: Scene, settings: SceneSettings, min_area: int) -> list[int]:
    everything = range(len(scene.objects))
    seen = dict.fromkeys(everything, 0)
    for time in range(settings.frames):
        for index, (mask, _) in _masks_at(scene, scene.order_at(time), time, settings).items():
            seen[index] += int(mask.sum()) >= min_area
    return [index for index in everything if seen[index] >= max(1, settings.frames // 6)]


def _masks_at(scene: Scene, order: tuple[int, ...], time: float, settings: SceneSettings) -> dict:
    height, width = settings.height, settings.width
    layers = {i: draw_layer(scene.objects[i], time, height, width, colour=False) for i in order}
    return visible_masks({i: layer for i, layer in layers.items() if layer}, order, height, width)


def _moments(scene: Scene, order: tuple[int, ...], time: float) -> tuple[np.ndarray, float]:
    """The times averaged into one frame, symmetric about its middle, and the longest way covered in them."""
    half = scene.shutter / 2
    paths = [scene.objects[i].motion.path for i in order] + [scene.camera]
    travel = max(float(np.hypot(*(path.at(time + half) - path.at(time - half)))) for path in paths)
    count = int(np.clip(np.ceil(travel / 1.0), 1, MAX_MOMENTS))
    return time + scene.shutter * ((np.arange(count) + 0.5) / count - 0.5), travel


def _draw_moment(scene: Scene, order: tuple[int, ...], time: float, settings: SceneSettings) -> np.ndarray:
    height, width = settings.height, settings.width
    zoom = float(np.exp(scene.camera_log_zoom.at(time)))
    x, y = scene.camera.at(time)
    matrix = np.array([[1 / zoom, 0, x - width / 2 / zoom], [0, 1 / zoom, y - height / 2 / zoom]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    canvas = cv2.warpAffine(
        scene.backdrop, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT_101
    )
    layers = [draw_layer(scene.objects[i], time, height, width) for i in order]
    composite(canvas, [layer for layer in layers if layer])
    return canvas


def _noise_tile(rng: np.random.Generator, settings: SceneSettings) -> np.ndarray:
    return rng.standard_normal((settings.height + NOISE_SLACK, settings.width + NOISE_SLACK), dtype=np.float32)
