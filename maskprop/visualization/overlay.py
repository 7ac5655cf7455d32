"""Instances drawn over a frame: fill, contour and label in the colour of the track."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from maskprop.datasets.rle import decode_mask
from maskprop.visualization.palette import track_color
from maskprop.visualization.text import contrasting, cut_text, isolate, paste_text, text_alpha

# An RLE {size, counts}, polygons [[x0, y0, x1, y1, ...], ...], or None.
Segmentation = dict | list | None
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels, right and bottom exclusive

MIN_SHORT_SIDE = 360  # pixels: text on anything smaller can't be read
NAME_SHARE = 0.4  # of the picture's width: longer class names are cut


def display_scale(height: int, width: int) -> int:
    """Whole factor (1 to 6) that brings a small frame's shorter side to about ``MIN_SHORT_SIDE`` pixels."""
    return int(np.clip(round(MIN_SHORT_SIDE / min(height, width) + 0.25), 1, 6))


def draw_instances(
    frame_bgr: np.ndarray,
    masks: Sequence[Segmentation | np.ndarray],
    ids: Sequence[int],
    labels: Sequence[str] | None = None,
    scores: Sequence[float | None] | None = None,
    *,
    alpha: float = 0.45,
    show_ids: bool = True,
    upscale: int | None = 1,
    font_size: int | None = None,
) -> np.ndarray:
    """Draws instances, the largest first, so that small ones stay visible, with labels such as '#3 person .92'.

    Args:
        frame_bgr: (h, w, 3) uint8; left as it is.
        masks: one per instance: (h, w) array, RLE, polygons as in YouTube-VIS files, or None (not visible).
        ids: track id of each instance; decides its colour.
        labels: class names, cut at ``NAME_SHARE`` of the width; None draws no text unless there are scores.
        scores: written after the name with two digits; None leaves them out, all or one.
        alpha: opacity of the fill, 0 to 1.
        show_ids: write the track id before the name, where there is a text at all.
        upscale: whole factor by which the picture is larger than the frame; None: ``display_scale``.
        font_size: pixels of the picture; None: by its size.

    Returns:
        (h * upscale, w * upscale, 3) uint8 BGR. Only pixels of masks and of their labels differ from the
        (resized) frame.

    Raises:
        TypeError: the frame is no uint8 array.
        ValueError: the frame isn't (h, w, 3), lists differ in length, a mask is malformed or of another size.
    """
    _check_inputs(frame_bgr, masks, ids, labels, scores)
    height, width = frame_bgr.shape[:2]
    scale = display_scale(height, width) if upscale is None else upscale
    image = enlarge(frame_bgr, scale)
    drawn = [_enlarge_mask(_bool_mask(mask, height, width), scale) for mask in masks]
    order = sorted((i for i in range(len(drawn)) if drawn[i].any()), key=lambda i: -int(drawn[i].sum()))
    for i in order:
        _fill(image, drawn[i], track_color(ids[i]), alpha)
    for i in order:
        _contour(image, drawn[i], track_color(ids[i]))
    taken: list[Box] = []
    if labels is None and scores is None:
        return image
    size = default_font_size(*image.shape[:2]) if font_size is None else font_size
    for i in sorted(order, key=lambda i: ids[i]):  # not by area, so that labels keep their places over time
        name = None if labels is None else cut_text(labels[i], size, round(NAME_SHARE * image.shape[1]))
        text = label_text(ids[i] if show_ids else None, name, None if scores is None else scores[i])
        if text:
            taken.append(_draw_label(image, drawn[i], text, size, track_color(ids[i]), taken))
    return image


def label_text(track_id: int | None, name: str | None, score: float | None) -> str:
    """'#3 person .92'; what is None is left out."""
    parts = (
        None if track_id is None else f'#{track_id}',
        name and isolate(name),
        None if score is None else f'{score:.2f}'.removeprefix('0'),
    )
    return ' '.join(part for part in parts if part)


def enlarge(frame_bgr: np.ndarray, scale: int) -> np.ndarray:
    """A copy of the frame, ``scale`` times as large."""
    if scale == 1:
        return frame_bgr.copy()
    return cv2.resize(frame_bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)


def default_font_size(height: int, width: int) -> int:
    """Font size in pixels for a picture of this size."""
    return max(11, round(0.036 * min(height, width)))


def _check_inputs(
    frame: np.ndarray, masks: Sequence, ids: Sequence, labels: Sequence | None, scores: Sequence | None
) -> None:
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8:
        raise TypeError(f'frame must be a uint8 numpy array, got {getattr(frame, "dtype", type(frame).__name__)}')
    if frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError(f'frame must have the shape (height, width, 3), got {frame.shape}')
    for name, values in (('ids', ids), ('labels', labels), ('scores', scores)):
        if values is not None and len(values) != len(masks):
            raise ValueError(f'{name} must have one entry a mask: got {len(values)} for {len(masks)} masks')


def _bool_mask(mask: Segmentation | np.ndarray, height: int, width: int) -> np.ndarray:
    if not isinstance(mask, np.ndarray):
        return decode_mask(mask, height, width).astype(bool)
    if mask.shape != (height, width):
        found = f'{mask.shape} for a frame of {(height, width)}'
        raise ValueError(f'a mask must have the size (height, width) of its frame, got {found}')
    return mask.astype(bool)


def _enlarge_mask(mask: np.ndarray, scale: int) -> np.ndarray:
    if scale == 1:
        return mask
    # Bilinear and cut at half, so that the enlarged outline is smooth and not made of blocks.
    large = cv2.resize(mask.astype(np.float32), None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    return large >= 0.5


def _fill(image: np.ndarray, mask: np.ndarray, color: tuple[int, int, int], alpha: float) -> None:
    pixels = image[mask].astype(np.float32)
    image[mask] = np.rint(pixels * (1 - alpha) + np.array(color, np.float32) * alpha).astype(np.uint8)


def _contour(image: np.ndarray, mask: np.ndarray, color: tuple[int, int, int]) -> None:
    thickness = max(1, round(min(image.shape[:2]) / 250))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * thickness + 1, 2 * thickness + 1))
    inside = cv2.erode(mask.astype(np.uint8), kernel, borderValue=1)
    image[mask & (inside == 0)] = color


def _draw_label(
    image: np.ndarray, mask: np.ndarray, text: str, size: int, color: tuple[int, int, int], taken: list[Box]
) -> Box:
    """Draws the label in place and returns its box."""
    pad = max(2, size // 5)
    text_height, text_width = text_alpha(text, size).shape
    box = _label_place(mask, text_height + pad, text_width + 2 * pad, taken)
    image[box[1] : box[3], box[0] : box[2]] = color
    paste_text(image, text, (box[0] + pad, box[1] + pad // 2), size, contrasting(color))
    return box


def _label_place(mask: np.ndarray, height: int, width: int, taken: list[Box]) -> Box:
    """The first free place inside the picture: above the mask, on it, below it, further off."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    bottom_limit, right_limit = max(0, mask.shape[0] - height), max(0, mask.shape[1] - width)
    left = min(int(columns[0]), right_limit)
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    further = [*range(top + height, mask.shape[0], height), *range(top - 2 * height, 0, -height)]
    places = []
    for y in [top - height, top, bottom, *further]:
        y = min(max(0, y), bottom_limit)
        box = (left, y, min(left + width, mask.shape[1]), min(y + height, mask.shape[0]))
        places.append(box)
        if not any(_overlap(box, other) for other in taken):
            return box
    return places[0]


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
