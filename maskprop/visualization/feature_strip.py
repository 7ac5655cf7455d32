"""Propagated features over the frames of a clip, a row for each instance (as in the paper's Figure 5)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import mmcv
import numpy as np

from maskprop.visualization.overlay import Segmentation
from maskprop.visualization.palette import track_color
from maskprop.visualization.strip import compose, draw_cell, evenly_spaced
from maskprop.visualization.tracks import Track

FEATURE_WIDTH = 200  # pixels
BORDER = 3  # pixels, in the colour of the instance


def draw_feature_strip(
    image_paths: Sequence[str | Path],
    maps: np.ndarray,
    masks: Sequence[Segmentation],
    labels: Sequence[str],
    centre: int,
    map_size: tuple[float, float],
    *,
    first: int = 0,
    num_columns: int = 7,
    cell_width: int = FEATURE_WIDTH,
) -> np.ndarray:
    """A row of frames, with the instances drawn on frame t, above a row of activations for each instance.

    Activations are divided by the largest one of their row, so that the frames of a row can be compared.

    Args:
        image_paths: the S frames of the clip.
        maps: (S, N, H, W) float, not negative.
        masks: N masks of the instances in frame t, at the video's size.
        labels: what is written left of each instance's row, after its number.
        centre: place of frame t in the clip.
        map_size: (height, width) of the maps in pixels of the video, padding included.
        first: number of the clip's first frame in the video.
        num_columns: frames to show: t and evenly spaced others.
        cell_width: width of each picture in pixels; its height keeps the proportions.

    Returns:
        (H, W, 3) uint8 BGR; see :func:`~maskprop.visualization.strip.compose` for the layout.
    """
    shown = clip_columns(len(image_paths), centre, num_columns)
    images = [mmcv.imread(str(image_paths[s])) for s in shown]
    tracks = [
        Track(n, label, [mask if s == centre else None for s in range(len(image_paths))])
        for n, (label, mask) in enumerate(zip(labels, masks, strict=True), 1)
    ]
    cells = [draw_cell(image, tracks, s, cell_width, False) for image, s in zip(images, shown, strict=True)]
    rows = {'frames': cells}
    for n, label in enumerate(labels):
        peak = float(maps[:, n].max())
        rows[f'{n + 1} {label}'] = [
            _framed(draw_activation(maps[s, n], peak, map_size, images[0].shape[:2], cell.shape[:2]), n + 1)
            for s, cell in zip(shown, cells, strict=True)
        ]
    return compose(rows, [f'frame {first + s} ({_offset(s - centre)})' for s in shown])


def draw_activation(
    activation: np.ndarray,
    peak: float,
    map_size: tuple[float, float],
    frame_size: tuple[int, int],
    cell_size: tuple[int, int],
) -> np.ndarray:
    """A map in colours, dark at 0 and bright at ``peak``, placed as the frame is.

    Args:
        activation: (H, W) float.
        peak: above 0, or 0 for a map of zeros.
        map_size: (height, width) that the map covers, in pixels of the video.
        frame_size: (height, width) of the video in pixels; what the map covers beyond it is cut off.
        cell_size: (height, width) of the picture.

    Returns:
        (height, width, 3) uint8 BGR.
    """
    height, width = (
        max(1, round(covered * cell / frame))
        for covered, cell, frame in zip(map_size, cell_size, frame_size, strict=True)
    )
    grey = np.clip(255 * activation / (peak or 1.0), 0, 255).astype(np.uint8)
    large = cv2.resize(grey, (width, height), interpolation=cv2.INTER_LINEAR)
    below, right = max(0, cell_size[0] - height), max(0, cell_size[1] - width)
    large = cv2.copyMakeBorder(large, 0, below, 0, right, cv2.BORDER_REPLICATE)
    return cv2.applyColorMap(large[: cell_size[0], : cell_size[1]], cv2.COLORMAP_INFERNO)


def clip_columns(length: int, centre: int, count: int) -> list[int]:
    """``count`` places in a clip (fewer in a shorter one), evenly spaced but for t itself, which is among them."""
    places = evenly_spaced(length, count)
    nearest = min(range(len(places)), key=lambda i: abs(places[i] - centre))
    places[nearest] = centre
    return places


def _framed(picture: np.ndarray, number: int) -> np.ndarray:
    framed = np.empty_like(picture)
    framed[...] = track_color(number)
    framed[BORDER:-BORDER, BORDER:-BORDER] = picture[BORDER:-BORDER, BORDER:-BORDER]
    return framed


def _offset(delta: int) -> str:
    return 't' if delta == 0 else f't{delta:+d}'
