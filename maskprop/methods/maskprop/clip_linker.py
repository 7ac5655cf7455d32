"""Linking clip-level tracks to video-level ids (MaskProp, Section 4.3)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from mmdet.registry import TASK_UTILS

from maskprop.methods.maskprop.clip_matching import match_scores
from maskprop.structures import ClipTracks
from maskprop.tracking.id_assignment import assign_ids, forbid_other_categories


@TASK_UTILS.register_module()
class ClipLinker:
    """Gives each clip track the video-level id whose tracks it matches best (Eq. 4 and 5).

    One linker serves one video. It remembers the tracks of the previous 2 T clips: the others don't overlap.

    Args:
        threshold: an id is taken if its score q is above this; the paper gives no number.
        unique: two tracks of one frame never share an id (not in the paper): pairs in order of descending q, the
            loser takes its best remaining id above the threshold, else a new one.
        skip_empty: leave frames in which both masks are empty out of the mean of Eq. 4, instead of counting
            them as 0 (as in the paper).
        recent: q of an id is the mean over its latest this many tracks only; ``None`` (the paper): over all that
            overlap. Under fast motion the mean over all favours a newly made id, which has only near tracks, over
            the established one, whose far tracks match badly, and objects fall to pieces
            (``docs/methods/maskprop.md``).
        same_category: a track takes an id only if the id's latest track has its category (not in the paper, which
            is blind to categories).
        empty_below: a mask is empty for ``skip_empty`` if its area is below this many cells.

    Raises:
        ValueError: ``recent`` is below 1.
    """

    needs_clips = True
    needs = ()

    def __init__(
        self,
        threshold: float = 0.3,
        unique: bool = True,
        skip_empty: bool = False,
        recent: int | None = None,
        same_category: bool = False,
        empty_below: float = 0.5,
    ) -> None:
        self.threshold = threshold
        self.unique = unique
        if recent is not None and recent < 1:
            raise ValueError(f'recent={recent} must be 1 or more, or None for all overlapping tracks')
        self.skip_empty = skip_empty
        self.recent = recent
        self.same_category = same_category
        self.empty_below = empty_below
        self._clips: deque[ClipTracks] = deque()
        self._ids: deque[list[int]] = deque()
        self._next_id = 1

    def link(self, clip: ClipTracks) -> list[int]:
        """Ids of a clip's tracks; clips come in order of their centres.

        Args:
            clip: the clip centred at the next frame.

        Returns:
            N video-level ids, from 1.
        """
        return self.link_many([clip])[0]

    def link_many(self, clips: Sequence[ClipTracks]) -> list[list[int]]:
        """:meth:`link` of the next B clips, with one wait for a GPU.

        Args:
            clips: the clips centred at the next frames, B >= 1.

        Returns:
            B lists of ids.
        """
        while self._clips and self._clips[0].end <= clips[0].first:
            self._forget_first()
        match = self._match_scores(clips)
        found, row, gone = [], 0, 0
        for clip in clips:
            while self._clips and self._clips[0].end <= clip.first:
                gone += self._forget_first()
            rows, known = slice(row, row + len(clip.labels)), [i for ids in self._ids for i in ids]
            found.append(self._assign(clip, match[rows, gone : gone + len(known)], known))
            row = rows.stop
        return found

    def _match_scores(self, clips: Sequence[ClipTracks]) -> np.ndarray:
        return match_scores(clips, self._clips, self.empty_below if self.skip_empty else None)

    def _forget_first(self) -> int:
        """Forget the oldest clip; the number of its tracks."""
        self._clips.popleft()
        return len(self._ids.popleft())

    def _assign(self, clip: ClipTracks, match: np.ndarray, track_ids: list[int]) -> list[int]:
        """Ids of a clip, by m of its N tracks with the M remembered ones (N, M), whose ids these are."""
        scores, known = self._id_scores(match, track_ids)
        if self.same_category:
            latest = self._latest_labels()
            scores = forbid_other_categories(scores, clip.labels, [latest[i] for i in known])
        ids = assign_ids(scores, known, self.threshold, self.unique, self._next_id)
        self._next_id = max([self._next_id - 1, *ids]) + 1
        self._clips.append(clip)
        self._ids.append(ids)
        return ids

    def _id_scores(self, match: np.ndarray, track_ids: list[int]) -> tuple[np.ndarray, list[int]]:
        """q of Eq. 5: (N, Y) float32, and the Y ids."""
        known, columns = np.unique(np.array(track_ids, int), return_inverse=True)
        member = (columns[:, None] == np.arange(len(known))).astype(np.float32)  # [M, Y]
        if self.recent is not None:
            newer = member[::-1].cumsum(0)[::-1]  # tracks of the same id from this one on
            member *= newer <= self.recent
        return (match @ member) / member.sum(0), known.tolist()

    def _latest_labels(self) -> dict[int, int]:
        """The category of each remembered id's latest track."""
        labels: dict[int, int] = {}
        for ids, clip in zip(self._ids, self._clips, strict=True):
            labels.update(zip(ids, clip.labels, strict=True))
        return labels
