"""What is drawn over a video: one record per track, from results, from annotations or from a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskprop.visualization.overlay import Segmentation, draw_instances


@dataclass(frozen=True)
class Track:
    """An object through a video.

    Attributes:
        id: decides the colour.
        label: class name.
        segmentations: one a frame: RLE, polygons, or None where the object isn't.
        score: None for ground truth.
    """

    id: int
    label: str
    segmentations: Sequence[Segmentation]
    score: float | None = None


def draw_tracks(
    frame_bgr: np.ndarray, tracks: Sequence[Track], frame: int, *, show_labels: bool = True, **options: Any
) -> np.ndarray:
    """Draws all tracks at one frame index; ``options`` as in ``draw_instances``."""
    here = [track for track in tracks if track.segmentations[frame] is not None]
    masks, ids = [track.segmentations[frame] for track in here], [track.id for track in here]
    if not show_labels:
        return draw_instances(frame_bgr, masks, ids, **options)
    labels, scores = [track.label for track in here], [track.score for track in here]
    return draw_instances(frame_bgr, masks, ids, labels, scores, **options)


def tracks_from_results(
    results: Sequence[Mapping[str, Any]], class_names: Mapping[int, str], min_score: float = 0.3
) -> list[Track]:
    """Tracks of one video's results in the YouTube-VIS format.

    An object that was seen as several categories has a record for each; it is drawn once, as the best of them.
    Records belong together by their ``track_id``, which this package's results carry; in other results, by the
    same masks in every frame, and ids then count from 1, before any ``min_score``, so that colours don't depend
    on it.

    Args:
        results: records {category_id, score, segmentations} and possibly track_id.
        class_names: name of each category id.
        min_score: objects whose best score is lower are left out.
    """
    best: dict[Any, Mapping[str, Any]] = {}
    for result in results:
        key = result.get('track_id')
        if key is None:
            key = tuple(_mask_key(s) for s in result['segmentations'])
        if key not in best or result['score'] > best[key]['score']:
            best[key] = result  # a key keeps its first place
    return [
        Track(r.get('track_id', i), _name(class_names, r['category_id']), r['segmentations'], float(r['score']))
        for i, r in enumerate(best.values(), 1)
        if r['score'] >= min_score
    ]


def tracks_from_annotations(
    annotations: Sequence[Mapping[str, Any]], class_names: Mapping[int, str]
) -> list[Track]:
    """Tracks of one video's annotations in the YouTube-VIS format; colours by the order of annotation ids."""
    ordered = sorted(annotations, key=lambda a: a['id'])
    return [Track(i, _name(class_names, a['category_id']), a['segmentations']) for i, a in enumerate(ordered, 1)]


def tracks_from_dataset(images: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> list[Track]:
    """Tracks of a video of an mmdet video dataset; colours by the order of instance ids.

    Args:
        images: one record a frame, with ``instances`` [{instance_id, bbox_label, mask, ...}, ...].
        classes: name of each label.
    """
    segmentations: dict[int, list] = {}
    labels: dict[int, int] = {}
    for t, image in enumerate(images):
        for instance in image.get('instances', ()):
            frames = segmentations.setdefault(instance['instance_id'], [None] * len(images))
            frames[t] = instance.get('mask')
            labels[instance['instance_id']] = instance['bbox_label']
    return [Track(i, classes[labels[key]], segmentations[key]) for i, key in enumerate(sorted(segmentations), 1)]


def _mask_key(segmentation: Segmentation) -> Any:
    if isinstance(segmentation, Mapping):
        counts = segmentation['counts']
        return tuple(counts) if isinstance(counts, list) else counts
    return repr(segmentation)


def _name(class_names: Mapping[int, str], category_id: int) -> str:
    return class_names.get(category_id, f'category {category_id}')
