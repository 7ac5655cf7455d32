"""Drawing a pasted clip: a real video as background, cut-out objects of other videos over it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from maskprop.datasets.synthetic import motion
from maskprop.datasets.synthetic.rendering import Clip, Layer, composite, visible_masks
from maskprop.datasets.synthetic.source_videos import SourceSet, SourceTrack

MAX_MOMENTS = 5
FEATHER = 0.5  # standard deviation in pixels by which the edge of a cut-out is softened


@dataclass(frozen=True)
class Stage:
    """The background: which frames of which video, and its own annotated objects.

    Attributes:
        size: (width, height) to which the video is scaled; the picture is then cut out at `corner` (x, y).
        height, width: of the picture.
    """

    source: SourceSet
    frames: list[int]
    tracks: list[SourceTrack]
    video: int
    size: tuple[int, int]
    corner: tuple[int, int]
    height: int
    width: int

    def picture(self, time: int) -> np.ndarray:
        """(height, width, 3) float32."""
        return self._fit(self.source.picture(self.video, self.frames[time])).astype(np.float32)

    def layer(self, position: int, time: int, colour: np.ndarray | None = None) -> Layer | None:
        """One of the background's own objects, coloured by the background `colour` itself."""
        mask = self.source.mask(self.tracks[position], self.frames[time])
        if mask is None:
            return None
        return _cropped(self._fit(mask.astype(np.float32)), colour)

    def middle_of(self, position: int, time: int) -> np.ndarray | None:
        """The centroid (x, y) of one of the background's own objects, None where it isn't in the picture."""
        layer = self.layer(position, time)
        if layer is None:
            return None
        rows, columns = np.nonzero(layer.coverage > 0.5)
        return np.array([columns.mean() + layer.x + 0.5, rows.mean() + layer.y + 0.5]) if rows.size else None

    def _fit(self, image: np.ndarray) -> np.ndarray:
        shrinks = self.size[0] < image.shape[1]
        resized = cv2.resize(image, self.size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        x, y = self.corner
        return np.ascontiguousarray(resized[y : y + self.height, x : x + self.width])


@dataclass(frozen=True)
class Cutout:
    """An object to paste.

    Attributes:
        frames: the source frame shown at each time.
        scale: output pixels per source pixel, before `log_scale`.
        anchor: the source point (x, y) that follows `path`.
    """

    source: SourceSet
    track: SourceTrack
    frames: list[int]
    scale: float
    anchor: np.ndarray
    flip: bool
    path: motion.Path
    log_scale: motion.Wave

    def layer(self, time: int, moment: float, height: int, width: int) -> Layer | None:
        """The object as of frame `time`, where it is at `moment`; None where it isn't in the picture."""
        frame = self.frames[time]
        mask = self.source.mask(self.track, frame)
        if mask is None or not mask.any():
            return None
        x, y, w, h = cv2.boundingRect(mask)
        margin = int(np.ceil(2 / self.scale))
        x0, y0 = max(x - margin, 0), max(y - margin, 0)
        window = (slice(y0, y + h + margin), slice(x0, x + w + margin))
        # Shrink by area first: a bilinear warp alone would alias.
        colour = self.source.picture(self.track.video, frame)[window]
        size = tuple(max(1, round(side * self.scale)) for side in colour.shape[1::-1])
        colour = cv2.resize(colour, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        mask = cv2.resize(mask[window].astype(np.float32), size, interpolation=cv2.INTER_AREA)
        matrix = self._matrix(moment, (x0, y0))
        coverage = cv2.warpAffine(mask, matrix, (width, height), flags=cv2.INTER_LINEAR)
        coverage = cv2.GaussianBlur(coverage, (0, 0), FEATHER)
        colour = cv2.warpAffine(
            colour, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return _cropped(coverage, colour)

    def _matrix(self, moment: float, corner: tuple[int, int]) -> np.ndarray:
        """From pixels of the shrunk crop, whose corner in the source is `corner` (x, y), to the picture's."""
        zoom = float(np.exp(self.log_scale.at(moment)))
        sign = -1.0 if self.flip else 1.0
        linear = np.diag([sign * zoom, zoom])
        # Points count from the picture's corner, the warp from the first pixel's centre.
        anchor = (self.anchor - corner) * self.scale - 0.5
        return np.concatenate([linear, (self.path.at(moment) - 0.5 - linear @ anchor)[:, None]], axis=1)


def _cropped(coverage: np.ndarray, colour: np.ndarray | None) -> Layer | None:
    """A layer of the window that `coverage` (H, W) fills, None if it is empty."""
    x, y, w, h = cv2.boundingRect((coverage > 1e-3).astype(np.uint8))
    if w == 0:
        return None
    window = (slice(y, y + h), slice(x, x + w))
    return Layer(x, y, np.ascontiguousarray(coverage[window]), None if colour is None else colour[window])


def render_pasted(
    stage: Stage, cutouts: list[Cutout], order: tuple[int, ...], shutter: float, min_area: int
) -> Clip:
    """Draw a clip.

    Args:
        stage: the background; its own objects are numbered first.
        cutouts: the pasted objects, numbered after them.
        order: all numbers, from back to front.
        shutter: share of the frame interval over which the pasted objects' extra motion is blurred.
        min_area: an object showing fewer pixels than this counts as absent in that frame.

    A pasted object seen in under a sixth of the frames is left out, also of the pictures.
    """
    masks = [_masks_at(stage, cutouts, order, time) for time in range(len(stage.frames))]
    dropped = _seen_too_briefly(masks, len(stage.tracks), order, min_area)
    if dropped:
        order = tuple(i for i in order if i not in dropped)
        masks = [_masks_at(stage, cutouts, order, time) for time in range(len(stage.frames))]
    numbers = [i for i in sorted(order) if any(_present(at, i, min_area) for at in masks)]
    tracks = [*stage.tracks, *(cutout.track for cutout in cutouts)]
    clip = Clip(
        frames=[],
        category_ids=[tracks[i].category_id for i in numbers],
        masks=[[at[i][0] if _present(at, i, min_area) else None for at in masks] for i in numbers],
        visibility=[[round(at[i][1], 3) if _present(at, i, min_area) else 0.0 for at in masks] for i in numbers],
        blur=[],
    )
    for time in range(len(stage.frames)):
        picture, travel = _draw(stage, cutouts, order, time, shutter)
        clip.frames.append(np.clip(np.round(picture), 0, 255).astype(np.uint8))
        clip.blur.append(round(travel, 2))
    return clip


def _present(visible: dict, number: int, min_area: int) -> bool:
    return number in visible and int(visible[number][0].sum()) >= min_area


def _seen_too_briefly(masks: list[dict], own: int, order: tuple[int, ...], min_area: int) -> set[int]:
    needed = max(1, len(masks) // 6)
    return {i for i in order if i >= own and sum(_present(at, i, min_area) for at in masks) < needed}


def _layers(
    stage: Stage,
    cutouts: list[Cutout],
    order: tuple[int, ...],
    time: int,
    moment: float,
    picture: np.ndarray | None,
) -> dict[int, Layer]:
    own = len(stage.tracks)
    layers = {
        i: stage.layer(i, time, picture)
        if i < own
        else cutouts[i - own].layer(time, moment, stage.height, stage.width)
        for i in order
    }
    return {i: layer for i, layer in layers.items() if layer is not None}


def _masks_at(stage: Stage, cutouts: list[Cutout], order: tuple[int, ...], time: int) -> dict:
    return visible_masks(_layers(stage, cutouts, order, time, time, None), order, stage.height, stage.width)


def _draw(
    stage: Stage, cutouts: list[Cutout], order: tuple[int, ...], time: int, shutter: float
) -> tuple[np.ndarray, float]:
    """The mean of several moments of the exposure, and the longest way of a pasted object in it."""
    own = len(stage.tracks)
    paths = [cutouts[i - own].path for i in order if i >= own]
    ways = [np.hypot(*(path.at(time + shutter / 2) - path.at(time - shutter / 2))) for path in paths]
    travel = float(max(ways, default=0.0))
    count = int(np.clip(np.ceil(travel), 1, MAX_MOMENTS))
    picture = stage.picture(time)
    total = np.zeros_like(picture)
    for moment in time + shutter * ((np.arange(count) + 0.5) / count - 0.5):
        canvas = picture.copy()
        layers = _layers(stage, cutouts, order, time, moment, picture)
        composite(canvas, [layers[i] for i in order if i in layers])
        total += canvas
    return total / count, travel
