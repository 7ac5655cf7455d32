"""Tracklets: proposals joined from frame to frame (UnOVOST, Section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

MATCHINGS = ('hungarian', 'greedy')


@dataclass
class Tracklet:
    """What merging needs of a tracklet, whatever its length; it has no gaps.

    Attributes:
        first, last: frames, inclusive.
        embedding, score, area: sums over its frames; ``embedding`` is (E,) float64, or None.
        category: of its best-scored frame, and ``best_score``, that score.
    """

    first: int
    last: int
    embedding: np.ndarray | None
    score: float
    area: float
    category: int
    best_score: float

    @property
    def length(self) -> int:
        """Frames."""
        return self.last - self.first + 1

    @property
    def mean_embedding(self) -> np.ndarray:
        """(E,) float64."""
        assert self.embedding is not None
        return self.embedding / self.length

    @property
    def mean_score(self) -> float:
        """Of its detections."""
        return self.score / self.length

    @property
    def mean_area(self) -> float:
        """In pixels."""
        return self.area / self.length


@dataclass
class Proposals:
    """What is known of a frame's N proposals.

    Attributes:
        scores, areas, categories: N of each. embeddings: (N, E) float64, or None.
    """

    scores: Sequence[float]
    areas: Sequence[float]
    categories: Sequence[int]
    embeddings: np.ndarray | None

    def tracklet(self, row: int, frame: int) -> Tracklet:
        """One that begins with this proposal."""
        embedding = None if self.embeddings is None else self.embeddings[row].astype(np.float64)
        score = float(self.scores[row])
        return Tracklet(frame, frame, embedding, score, float(self.areas[row]), self.categories[row], score)

    def extend(self, tracklet: Tracklet, row: int) -> None:
        """Add this proposal, of the next frame."""
        tracklet.last += 1
        if self.embeddings is not None:
            tracklet.embedding = tracklet.embedding + self.embeddings[row]
        tracklet.score += float(self.scores[row])
        tracklet.area += float(self.areas[row])
        if self.scores[row] > tracklet.best_score:
            tracklet.category, tracklet.best_score = self.categories[row], float(self.scores[row])


def match(similarity: np.ndarray, threshold: float, matching: str = 'hungarian') -> list[tuple[int, int]]:
    """Pairs of rows and columns whose similarity is above the threshold.

    Args:
        similarity: (N, M), IoU of warped masks and masks.
        threshold: a pair must be above it. The assignment is made without it, of all pairs.
        matching: ``'hungarian'``: the largest sum, in the order of rows; ``'greedy'``: the largest first, of
            equal ones the first in row-major order.
    """
    if similarity.size == 0:
        return []
    if matching == 'hungarian':
        rows, columns = linear_sum_assignment(similarity, maximize=True)
        pairs = zip(rows.tolist(), columns.tolist(), strict=True)
        return [pair for pair in pairs if similarity[pair] > threshold]
    found: list[tuple[int, int]] = []
    order = np.argsort(-similarity, axis=None, kind='stable')
    free_rows, free_columns = set(range(len(similarity))), set(range(similarity.shape[1]))
    for row, column in zip(*(x.tolist() for x in np.unravel_index(order, similarity.shape)), strict=True):
        if similarity[row, column] <= threshold:
            break
        if row in free_rows and column in free_columns:
            found.append((row, column))
            free_rows.discard(row)
            free_columns.discard(column)
    return found


@dataclass
class TrackletBuilder:
    """Makes tracklets of a video's proposals, online: only the latest frame is remembered.

    Args:
        threshold: see :func:`match`. matching: likewise.
        letter: tracklets as the released code has them: those of the last frame alone are lost, and, while there
            is no tracklet yet, the proposals of a frame whose successor has proposals too, but none that matches.

    Attributes:
        known: every tracklet by its id, from 1.
        order: their ids in the order in which the released code numbers them: when the frame after their first is
            seen, those that go on before those that do not. Complete after :meth:`finish`.
        lost: ids that are in no tracklet, with ``letter``.
    """

    threshold: float = 0.05
    matching: str = 'hungarian'
    letter: bool = False
    known: dict[int, Tracklet] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    lost: set[int] = field(default_factory=set)
    _latest: list[int] = field(default_factory=list)  # ids of the latest frame's proposals
    _open: set[int] = field(default_factory=set)  # those of them that are not in the order yet
    _frame: int = -1

    def step(self, proposals: Proposals, similarity: np.ndarray) -> list[int]:
        """Take the next frame.

        Args:
            proposals: N of it.
            similarity: (M, N) IoU of the previous frame's warped masks with this frame's; (0, N) at first.

        Returns:
            N ids.
        """
        self._frame += 1
        pairs = match(similarity, self.threshold, self.matching)
        count = len(proposals.scores)
        ids = [0] * count  # 0: a new one
        for row, column in pairs:
            ids[column] = self._latest[row]
            proposals.extend(self.known[ids[column]], column)
        self._number([self._latest[row] for row, _ in pairs], count)
        for row in range(count):
            if not ids[row]:
                ids[row] = len(self.known) + 1
                self.known[ids[row]] = proposals.tracklet(row, self._frame)
                self._open.add(ids[row])
        self._latest = ids
        return ids

    def finish(self) -> None:
        """End the video."""
        if self.letter:
            self.lost |= self._open
        else:
            self.order += [i for i in self._latest if i in self._open]
        self._open.clear()

    def _number(self, going_on: list[int], count: int) -> None:
        """Put the previous frame's new tracklets in order, those that go on first."""
        nothing_matches = self._latest and count and not going_on
        if self.letter and not self.order and nothing_matches:
            self.lost |= self._open
        else:
            self.order += [
                i for i in (*going_on, *(i for i in self._latest if i not in going_on)) if i in self._open
            ]
        self._open.clear()
