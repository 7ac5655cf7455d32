"""Random sets for the metrics of tracks: moving rectangles, and predictions that break, jump and double."""

from __future__ import annotations

import numpy as np
from pycocotools import mask as mask_api

CATEGORIES = (4, 2, 9)
#: With ground truth never, so that its predictions are false.
UNSEEN = 7


def encode(mask: np.ndarray) -> dict:
    rle = mask_api.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {'size': list(rle['size']), 'counts': rle['counts'].decode()}


def random_tracks(seed: int, num_videos: int = 3, most: int = 5, length: int = 12) -> tuple[dict, list[dict]]:
    """Ground truth and results; scores are 0 to 1, some of them below the default threshold.

    Among them: empty masks, absent frames, tracks of one frame and of none, predictions that change between
    objects, and duplicates of either, which tie.
    """
    rng = np.random.default_rng(seed)
    categories = [{'id': i, 'name': f'c{i}'} for i in (*CATEGORIES, UNSEEN)]
    gt: dict = {'videos': [], 'categories': categories, 'annotations': []}
    results: list[dict] = []
    for video in range(1, num_videos + 1):
        size = tuple(rng.integers(6, 20, 2).tolist())
        frames = int(rng.integers(1, length + 1))
        gt['videos'].append(dict(id=video, height=size[0], width=size[1], length=frames))
        masks = [_moving(rng, frames, size) for _ in range(rng.integers(video == 1, most + 1))]
        labels = rng.choice(CATEGORIES[:2], len(masks)).tolist()
        for label, track in zip(labels, masks, strict=True):
            for _ in range(1 + (rng.random() < 0.15)):
                gt['annotations'].append(_annotation(len(gt['annotations']) + 1, video, label, _cut(rng, track)))
        for _ in range(rng.integers(0, 2 * most + 1)):
            track, label = _prediction(rng, masks, frames, size)
            label = labels[label] if label is not None and rng.random() < 0.8 else int(rng.choice([2, 4, 9, 7]))
            score = float(rng.choice([0.1, 0.3, 0.5, 0.9]))
            record = dict(video_id=video, category_id=label, score=score, segmentations=_cut(rng, track))
            results += [record] * (1 + (rng.random() < 0.15))
    return gt, [results[i] for i in rng.permutation(len(results))]


def _annotation(number: int, video: int, label: int, track: list) -> dict:
    areas = [None if mask is None else int(mask_api.area(mask)) for mask in track]
    return dict(id=number, video_id=video, category_id=label, iscrowd=0, segmentations=track, areas=areas)


def _moving(rng: np.random.Generator, frames: int, size: tuple[int, int]) -> np.ndarray:
    """bool (T, h, w)."""
    masks = np.zeros((frames, *size), dtype=bool)
    box = rng.integers(2, np.array(size) // 2 + 2)
    start, speed = rng.uniform(0, np.array(size) - box), rng.uniform(-1, 1, 2)
    for frame in range(frames):
        y, x = np.clip(start + frame * speed, 0, np.array(size) - box).astype(int)
        masks[frame, y : y + box[0], x : x + box[1]] = True
    return masks


def _prediction(
    rng: np.random.Generator, masks: list[np.ndarray], frames: int, size: tuple[int, int]
) -> tuple[np.ndarray, int | None]:
    """Masks near an object, which may change to another one half-way, and the object's index; or of none."""
    if not masks or rng.random() < 0.15:
        return _moving(rng, frames, size), None
    chosen = int(rng.integers(len(masks)))
    track = masks[chosen].copy()
    if rng.random() < 0.4:
        half = int(rng.integers(frames))
        track[half:] = masks[int(rng.integers(len(masks)))][half:]
    if rng.random() < 0.7:
        shift = rng.integers(-1, 2, (frames, 2))
        track = np.stack([np.roll(mask, move, axis=(0, 1)) for mask, move in zip(track, shift, strict=True)])
    return track, chosen


def _cut(rng: np.random.Generator, track: np.ndarray) -> list[dict | None]:
    """Some frames absent, some empty; now and then all but one of them."""
    kind = rng.random()
    keep = rng.random(len(track)) > (0.0 if kind < 0.3 else 0.3)
    if kind > 0.85:
        keep[:] = False
        keep[rng.integers(len(track))] = kind < 0.97
    empty = np.zeros(track.shape[1:], dtype=bool)
    return [
        encode(mask) if there else encode(empty) if rng.random() < 0.3 else None
        for mask, there in zip(track, keep, strict=True)
    ]
