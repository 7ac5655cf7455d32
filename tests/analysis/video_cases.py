"""Small sets of boxes, by hand and at random, for the tests of the analyses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.evaluation.eval_cases import encode

SIZE = (60, 80)
Box = tuple[int, int, int, int] | None  # left, top, width, height


def box_mask(box: Sequence[int]) -> np.ndarray:
    """(60, 80) bool."""
    left, top, width, height = box
    mask = np.zeros(SIZE, bool)
    mask[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)] = True
    return mask


def segmentations(boxes: Sequence[Box]) -> list[dict | None]:
    """A compressed RLE a frame, None without a box."""
    return [None if box is None else encode(box_mask(box)) for box in boxes]


def make_truth(videos: Sequence[Sequence[tuple[int, Sequence[Box]]]], classes: int = 3) -> dict:
    """An annotation file: for each video, the category and the boxes of each track. Ids count from 1."""
    length = [max([1, *(len(boxes) for _, boxes in tracks)]) for tracks in videos]
    data = dict(
        videos=[
            dict(id=v, height=SIZE[0], width=SIZE[1], length=n, file_names=[f'v{v}/{t}.png' for t in range(n)])
            for v, n in enumerate(length, 1)
        ],
        categories=[dict(id=c, name=f'class {c}') for c in range(1, classes + 1)],
        annotations=[],
    )
    for v, tracks in enumerate(videos, 1):
        for category, boxes in tracks:
            data['annotations'].append(
                dict(
                    id=len(data['annotations']) + 1,
                    video_id=v,
                    category_id=category,
                    iscrowd=0,
                    segmentations=segmentations(boxes),
                    areas=[None if box is None else int(box_mask(box).sum()) for box in boxes],
                )
            )
    return data


def result(video: int, category: int, score: float, boxes: Sequence[Box]) -> dict:
    """A record of a results file."""
    return dict(video_id=video, category_id=category, score=score, segmentations=segmentations(boxes))


def random_images(seed: int, images: int = 10) -> tuple[dict, list[dict]]:
    """Videos of one frame with results of every kind; all scores differ; three classes with ground truth."""
    rng = np.random.default_rng(seed)
    videos, results = [], []
    for v in range(1, images + 1):
        tracks = []
        for _ in range(rng.integers(0, 5) if v > 1 else 3):
            box = [*rng.integers(0, 40, 2).tolist(), *rng.integers(8, 30, 2).tolist()]
            category = len(tracks) + 1 if v == 1 else int(rng.integers(1, 4))
            tracks.append((category, [box]))
            for _ in range(rng.integers(0, 4)):
                moved = np.array(box) + rng.integers(-1, 2, 4) * rng.choice([1, 3, 9])
                moved[2:] = np.maximum(moved[2:], 2)
                guess = category if rng.random() < 0.7 else int(rng.integers(1, 4))
                results.append(result(v, guess, float(rng.random()), [moved.tolist()]))
        for _ in range(rng.integers(0, 3)):
            box = [*rng.integers(0, 50, 2).tolist(), *rng.integers(5, 20, 2).tolist()]
            results.append(result(v, int(rng.integers(1, 4)), float(rng.random()), [box]))
        videos.append(tracks)
    results = [r for r in results if r['segmentations'][0]['counts'] != encode(np.zeros(SIZE, bool))['counts']]
    return make_truth(videos), results
