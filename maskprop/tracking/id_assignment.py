"""Ids from scores: the one-to-one assignment that linkers share."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor


def forbid_other_categories(scores: Tensor, labels: Sequence[int], known_labels: Sequence[int]) -> Tensor:
    """(N, Y) scores, minus infinity where the N labels and the Y labels of the ids differ."""
    if not known_labels:
        return scores
    differ = torch.tensor(labels).view(-1, 1) != torch.tensor(known_labels)
    return scores.masked_fill(differ.to(scores.device), -torch.inf)


def assign_ids(scores: Tensor, known: list[int], threshold: float, unique: bool, next_id: int) -> list[int]:
    """Ids from scores.

    Args:
        scores: (N, Y) float, q of Eq. 5. known: the Y ids. threshold: a score must be above it.
        unique: no id twice; else each track takes its best one (as in the paper). next_id: the first new id.

    Returns:
        N ids.
    """
    ids: list[int | None] = [None] * len(scores)
    candidates = (scores > threshold).nonzero().tolist()
    values = scores.tolist()
    candidates.sort(key=lambda rc: -values[rc[0]][rc[1]])  # stable: ties in order of track, then id
    taken: set[int] = set()
    for row, column in candidates:
        if ids[row] is None and not (unique and column in taken):
            ids[row] = known[column]
            taken.add(column)
    new = itertools.count(next_id)
    return [next(new) if track_id is None else track_id for track_id in ids]
