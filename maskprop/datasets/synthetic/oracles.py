"""Ground-truth masks with ids from a tracker that knows nothing: how much of video AP tracking decides.

Both linkers get perfect masks, perfect categories and score 1, and link within a category only: they are stronger
than the same linking of detections.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as mask_api

CLIP_RADIUS = 6  # T of the paper: clips of 2T + 1 = 13 frames


class Observation(NamedTuple):
    """One instance in one frame; `mask` is compressed RLE, `box` is (x, y, w, h)."""

    frame: int
    category: int
    mask: dict
    box: list[float]


def observations_by_video(gt: Mapping[str, Any]) -> Iterator[tuple[dict, list[Observation]]]:
    """Each video with what is visible in it, in frame order."""
    tracks = defaultdict(list)
    for annotation in gt['annotations']:
        tracks[annotation['video_id']].append(annotation)
    for video in gt['videos']:
        seen = [
            Observation(frame, track['category_id'], mask, box)
            for track in tracks[video['id']]
            for frame, (mask, box) in enumerate(zip(track['segmentations'], track['bboxes'], strict=True))
            if mask is not None
        ]
        yield video, sorted(seen, key=lambda item: item.frame)


def link_by_box_iou(seen: list[Observation], threshold: float = 0.3) -> list[int]:
    """Ids by greedy box IoU with the frame before; a new id where no box exceeds `threshold`.

    Returns:
        One id per observation, in the same order.
    """
    boxes = np.array([item.box for item in seen], dtype=np.float64).reshape(-1, 4)
    affinity = mask_api.iou(boxes, boxes, [0] * len(seen)) if seen else np.zeros((0, 0))
    ids: list[int] = []
    for current in _frames(seen):
        previous = [i for i in range(len(ids)) if seen[i].frame == seen[current[0]].frame - 1]
        scores = {
            (i, ids[j]): affinity[i, j] for i in current for j in previous if seen[i].category == seen[j].category
        }
        ids += _assign(current, scores, threshold, first_new=max(ids, default=-1) + 1)
    return ids


def link_by_copying(seen: list[Observation], threshold: float = 0.1, radius: int = CLIP_RADIUS) -> list[int]:
    """Ids by the paper's Eq. 4 and 5 where every clip track is its centre mask, copied to the 2T others.

    Two constant tracks have the same soft IoU in every frame that they share, so m in Eq. 4 is the IoU of the
    two centre masks, and q in Eq. 5 its mean over the earlier tracks of an id within 2T frames.

    Returns:
        One id per observation, in the same order.
    """
    masks = [item.mask for item in seen]
    affinity = mask_api.iou(masks, masks, [0] * len(seen)) if seen else np.zeros((0, 0))
    ids: list[int] = []
    for current in _frames(seen):
        scores: dict[tuple[int, int], float] = {}
        for i in current:
            votes = defaultdict(list)
            for j, identity in enumerate(ids):
                if seen[i].frame - seen[j].frame <= 2 * radius and seen[i].category == seen[j].category:
                    votes[identity].append(affinity[i, j])
            scores.update({(i, identity): float(np.mean(values)) for identity, values in votes.items()})
        ids += _assign(current, scores, threshold, first_new=max(ids, default=-1) + 1)
    return ids


def _frames(seen: list[Observation]) -> list[list[int]]:
    """Observation indices grouped by frame, in order."""
    groups = defaultdict(list)
    for index, item in enumerate(seen):
        groups[item.frame].append(index)
    return [groups[frame] for frame in sorted(groups)]


def _assign(
    current: list[int], scores: dict[tuple[int, int], float], threshold: float, first_new: int
) -> list[int]:
    """Pairs (observation, id) in order of descending score, each side once; what stays over gets new ids."""
    taken: dict[int, int] = {}
    for (index, identity), score in sorted(scores.items(), key=lambda pair: (-pair[1], pair[0])):
        if score > threshold and index not in taken and identity not in taken.values():
            taken[index] = identity
    for index in current:
        if index not in taken:
            taken[index] = first_new
            first_new += 1
    return [taken[index] for index in current]


def oracle_results(gt: Mapping[str, Any], linker: Callable[..., list[int]], **keys: Any) -> list[dict]:
    """A result list (YouTube-VIS submission form, score 1) of the ground-truth masks under a linker's ids.

    Args:
        gt: a YouTube-VIS dict, as `load_ytvis` gives.
        linker: `link_by_box_iou` or `link_by_copying`; `keys` are passed to it.
    """
    results: list[dict] = []
    for video, seen in observations_by_video(gt):
        tracks: dict[int, dict] = {}
        for item, identity in zip(seen, linker(seen, **keys), strict=True):
            track = tracks.setdefault(
                identity,
                {
                    'video_id': video['id'],
                    'category_id': item.category,
                    'score': 1.0,
                    'segmentations': [None] * len(video['file_names']),
                },
            )
            track['segmentations'][item.frame] = item.mask
        results += tracks.values()
    return results
