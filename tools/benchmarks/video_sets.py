"""Random sets for the video AP benchmark: objects with uneven outlines that move, and detections near them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from pycocotools import mask as mask_api

SIZE = (720, 1280)


@dataclass(frozen=True)
class SetShape:
    """What a set holds.

    Attributes:
        videos: their number. frames, truths: least and most listed frames and tracks of one.
        categories: their number. predictions: over all videos, spread evenly.
        same: share of the predictions that have the category of the track they lie on.
    """

    videos: int
    frames: tuple[int, int]
    truths: tuple[int, int]
    categories: int
    predictions: int
    same: float = 1.0


#: YouTube-VIS 2019 validation in numbers of videos, frames and categories, 20 predictions a video.
VALIDATION = SetShape(302, (20, 36), (1, 3), 40, 6000, same=0.75)
#: One video with many objects of one category, as in OVIS or a user's own set.
DENSE = SetShape(1, (300, 300), (20, 20), 1, 100)


@dataclass(frozen=True)
class Track:
    """An object: centre (x, y) and speed (x, y) in pixels, mean radii (x, y), the waves of its outline (8,)."""

    centre: np.ndarray
    speed: np.ndarray
    radii: np.ndarray
    waves: np.ndarray


def make_set(shape: SetShape, seed: int = 0, size: tuple[int, int] = SIZE) -> tuple[dict, list[dict]]:
    """A parsed annotation file and parsed results, both with compressed RLE; the same for the same seed."""
    rng = np.random.default_rng(seed)
    categories = [{'id': k + 1, 'name': f'category {k + 1}'} for k in range(shape.categories)]
    truth: dict = {'videos': [], 'categories': categories, 'annotations': []}
    results: list[dict] = []
    for video in range(1, shape.videos + 1):
        length = int(rng.integers(shape.frames[0], shape.frames[1] + 1))
        files = [f'{video:04d}/{frame:05d}.jpg' for frame in range(length)]
        truth['videos'].append(dict(id=video, height=size[0], width=size[1], length=length, file_names=files))
        tracks = [_random_track(rng, size) for _ in range(rng.integers(shape.truths[0], shape.truths[1] + 1))]
        kinds = rng.integers(1, shape.categories + 1, 2)  # objects of one video are often of one kind
        labels = rng.choice(kinds, len(tracks)).tolist()
        for track, label in zip(tracks, labels, strict=True):
            truth['annotations'].append(_annotation(rng, track, label, video, length, size, truth))
        until = shape.predictions * video // shape.videos
        for _ in range(until - len(results)):
            chosen = int(rng.integers(len(tracks)))
            label = labels[chosen] if rng.random() < shape.same else int(rng.integers(1, shape.categories + 1))
            masks = track_masks(rng, _near(rng, tracks[chosen]), length, size)
            results.append(dict(video_id=video, category_id=label, score=float(rng.random()), segmentations=masks))
    return truth, results


def _annotation(
    rng: np.random.Generator, track: Track, label: int, video: int, length: int, size: tuple[int, int], truth: dict
) -> dict:
    masks = track_masks(rng, track, length, size)
    areas = [None if mask is None else int(mask_api.area(mask)) for mask in masks]
    number = len(truth['annotations']) + 1
    return dict(
        id=number, video_id=video, category_id=label, iscrowd=0, segmentations=masks, areas=areas
    )  # fmt: skip


def _random_track(rng: np.random.Generator, size: tuple[int, int]) -> Track:
    """One whose area is now small, now medium, now large by the metric's ranges."""
    extent = np.array(size[::-1])
    radii = np.exp(rng.uniform(np.log(30), np.log(220), 2)) * min(size) / SIZE[0]
    return Track(rng.uniform(0.15, 0.85, 2) * extent, rng.normal(0, 4, 2), radii, rng.normal(0, 0.06, 8))


def _near(rng: np.random.Generator, track: Track) -> Track:
    """A detection of that object, good or bad."""
    error = rng.choice([0.03, 0.1, 0.3])
    return replace(
        track,
        centre=track.centre + rng.normal(0, error, 2) * track.radii,
        radii=track.radii * np.exp(rng.normal(0, error, 2)),
        waves=track.waves + rng.normal(0, 0.03, 8),
    )


def track_masks(rng: np.random.Generator, track: Track, length: int, size: tuple[int, int]) -> list[dict | None]:
    """A compressed RLE per frame, its counts text; None where the object is missing or has left the picture."""
    present = rng.random(length) > 0.08
    centres = track.centre + track.speed * np.arange(length)[:, None] + rng.normal(0, 1.5, (length, 2))
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    order = np.arange(len(track.waves))
    distance = 1 + track.waves @ np.sin((order // 2 + 2)[:, None] * angle + order[:, None] % 2)
    outline = track.radii * distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)  # (48, 2)
    polygons = (centres[:, None] + outline).reshape(length, -1).tolist()
    rles = mask_api.frPyObjects(polygons, *size)
    seen = present & (np.array([mask_api.area(rle) for rle in rles]) > 0)
    return [
        {'size': list(size), 'counts': rle['counts'].decode('ascii')} if there else None
        for rle, there in zip(rles, seen, strict=True)
    ]
