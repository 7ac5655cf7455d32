"""Ids from scores: the one-to-one assignment that linkers share."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def forbid_other_categories(scores: ArrayLike, labels: Sequence[int], known_labels: Sequence[int]) -> np.ndarray:
    """(N, Y) scores, minus infinity where the N labels and the Y labels of the ids differ; on the CPU."""
    differ = np.array(labels, int)[:, None] != np.array(known_labels, int)
    return np.where(differ, np.float32(-np.inf), scores)


def assign_ids(scores: ArrayLike, known: list[int], threshold: float, unique: bool, next_id: int) -> list[int]:
    """Ids from scores.

    Args:
        scores: (N, Y) float, q of Eq. 5; on the CPU. known: the Y ids. threshold: a score must be above it.
        unique: no id twice; else each track takes its best one (as in the paper). next_id: the first new id.

    Returns:
        N ids.
    """
    scores = np.asarray(scores)
    ids: list[int | None] = [None] * len(scores)
    rows, columns = np.nonzero(scores > threshold)
    order = np.argsort(-scores[rows, columns], kind='stable')  # ties in order of track, then id
    taken: set[int] = set()
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if ids[row] is None and not (unique and column in taken):
            ids[row] = known[column]
            taken.add(column)
    new = itertools.count(next_id)
    return [next(new) if track_id is None else track_id for track_id in ids]
