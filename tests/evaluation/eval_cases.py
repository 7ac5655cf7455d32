"""Random small sets for the evaluation tests: ties, crowds, nulls, empty masks, all three area ranges."""

from __future__ import annotations

import numpy as np
from pycocotools import mask as mask_api


def encode(mask: np.ndarray) -> dict:
    """A compressed RLE whose counts are text, as in a JSON file."""
    rle = mask_api.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {'size': list(rle['size']), 'counts': rle['counts'].decode()}


def blob(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A rectangle, sometimes with noise, sometimes empty or full."""
    mask = np.zeros((height, width), dtype=bool)
    y, x = rng.integers(height), rng.integers(width)
    mask[y : y + rng.integers(1, height + 1), x : x + rng.integers(1, width + 1)] = True
    kind = rng.random()
    if kind < 0.2:
        mask &= rng.random(mask.shape) < 0.8
    elif kind < 0.25:
        mask[:] = False
    elif kind < 0.3:
        mask[:] = True
    return mask


def _track(rng: np.random.Generator, length: int, height: int, width: int) -> list:
    mask = blob(rng, height, width)
    return [
        None if rng.random() < 0.2 else encode(np.roll(mask, frame, axis=int(rng.integers(2))))
        for frame in range(length)
    ]


def _perturbed(rng: np.random.Generator, track: list, height: int, width: int) -> list:
    """A detection of that track: some frames changed."""
    result = []
    for mask in track:
        if mask is None or rng.random() < 0.1:
            result.append(encode(blob(rng, height, width)) if rng.random() < 0.2 else None)
        elif rng.random() < 0.5:
            dense = mask_api.decode(mask).astype(bool)
            result.append(encode(dense & (rng.random(dense.shape) < rng.choice([0.6, 0.8, 1.0]))))
        else:
            result.append(mask)
    return result


def area_of(mask: dict | None) -> int | None:
    return None if mask is None else int(mask_api.area(mask))


def random_case(seed: int, num_videos: int = 3, large: bool = False) -> tuple[dict, list[dict]]:
    """Ground truth and results; ``large`` frames reach the medium and large area ranges."""
    rng = np.random.default_rng(seed)
    categories = [{'id': int(i), 'name': f'c{i}'} for i in rng.permutation([4, 2, 9])]
    videos, annotations, results = [], [], []
    for video in rng.permutation(np.arange(1, 3 * num_videos))[:num_videos].tolist():
        height, width = (rng.integers(120, 400, 2) if large else rng.integers(1, 24, 2)).tolist()
        length = int(rng.integers(1, 5))
        videos.append(
            {
                'id': video,
                'height': height,
                'width': width,
                'length': length,
                'file_names': [f'{video}/{frame}.jpg' for frame in range(length)],
            }
        )
        for _ in range(rng.integers(0, 6)):
            track = _track(rng, length, height, width)
            copies = 2 if rng.random() < 0.2 else 1
            for _ in range(copies):
                areas = [area_of(mask) for mask in track]
                annotations.append(
                    {
                        'id': len(annotations) + 1,
                        'video_id': video,
                        'category_id': int(rng.choice([4, 2, 9])),
                        'iscrowd': int(rng.random() < 0.2),
                        'segmentations': list(track),
                        'areas': areas,
                    }
                )
            for _ in range(rng.integers(0, 4)):
                score = float(rng.choice([0.1, 0.5, 0.9, 1, 0, -2, rng.random()]))
                results.append(
                    {
                        'video_id': video,
                        'category_id': int(rng.choice([4, 2, 9])),
                        'score': score,
                        'segmentations': _perturbed(rng, track, height, width),
                    }
                )
    order = rng.permutation(len(results))
    annotations = [annotations[i] for i in rng.permutation(len(annotations))]
    return ({'videos': videos, 'categories': categories, 'annotations': annotations}, [results[i] for i in order])


def repeated(gt: dict, results: list[dict], copies: np.ndarray) -> tuple[dict, list[dict]]:
    """The set in which each video (by ascending id) comes that many times, under new ids that keep the order."""
    videos, annotations, records = [], [], []
    for video, count in zip(sorted(gt['videos'], key=lambda v: v['id']), copies.tolist(), strict=True):
        for copy in range(count):
            new = video['id'] * 1000 + copy
            videos.append({**video, 'id': new})
            for annotation in gt['annotations']:
                if annotation['video_id'] == video['id']:
                    annotations.append({**annotation, 'video_id': new, 'id': len(annotations) + 1})
            records += [{**r, 'video_id': new} for r in results if r['video_id'] == video['id']]
    return {**gt, 'videos': videos, 'annotations': annotations}, records


def better_and_worse(seed: int = 0, num_videos: int = 12) -> tuple[dict, list[dict], list[dict]]:
    """Ground truth, results that are it, and random ones."""
    gt, results = random_case(seed, num_videos=num_videos)
    exact = [
        {**{k: a[k] for k in ('video_id', 'category_id', 'segmentations')}, 'score': 1.0}
        for a in gt['annotations']
    ]
    return gt, exact, results
