"""Linking clip-level tracks to video-level ids (MaskProp, Section 4.3)."""

from __future__ import annotations

from collections import deque

import torch
from mmdet.registry import TASK_UTILS
from torch import Tensor

from maskprop.ops.soft_iou import EPS
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
        while self._clips and self._clips[0].end <= clip.first:
            self._clips.popleft()
            self._ids.popleft()
        scores, known = self._id_scores(clip)
        if self.same_category:
            latest = self._latest_labels()
            scores = forbid_other_categories(scores, clip.labels, [latest[i] for i in known])
        ids = assign_ids(scores, known, self.threshold, self.unique, self._next_id)
        self._next_id = max([self._next_id - 1, *ids]) + 1
        self._clips.append(clip)
        self._ids.append(ids)
        return ids

    def _id_scores(self, clip: ClipTracks) -> tuple[Tensor, list[int]]:
        """q of Eq. 5: (N, Y) float, and the Y ids."""
        flat_ids = [i for ids in self._ids for i in ids]
        known = sorted(set(flat_ids))
        if not known or clip.masks.shape[1] == 0:
            return clip.masks.new_zeros((clip.masks.shape[1], 0)), []
        match = self._match_scores(clip)  # [N, previous tracks]
        column = {track_id: c for c, track_id in enumerate(known)}
        columns = torch.tensor([column[i] for i in flat_ids], device=match.device)
        member = torch.nn.functional.one_hot(columns, len(known)).to(match)
        if self.recent is not None:
            newer = member.flip(0).cumsum(0).flip(0)  # tracks of the same id from this one on
            member = member * (newer <= self.recent)
        return (match @ member) / member.sum(0), known

    def _latest_labels(self) -> dict[int, int]:
        """The category of each remembered id's latest track."""
        labels: dict[int, int] = {}
        for ids, clip in zip(self._ids, self._clips, strict=True):
            labels.update(zip(ids, clip.labels, strict=True))
        return labels

    def _match_scores(self, clip: ClipTracks) -> Tensor:
        """m of Eq. 4 with every track of the remembered clips: (N, M), M = previous tracks in clip order."""
        counts = [previous.masks.shape[1] for previous in self._clips]
        total = clip.masks.new_zeros((clip.masks.shape[1], sum(counts)))
        frames = torch.zeros_like(total)
        for offset, (masks, areas) in enumerate(zip(clip.masks, clip.areas, strict=True)):
            frame = clip.first + offset
            # clips are in order, so those that reach this frame are the last ones
            reaching = [p for p in self._clips if p.first <= frame < p.end]
            start = sum(counts[: len(counts) - len(reaching)])
            if start == sum(counts):
                continue
            others = torch.cat([p.masks[frame - p.first] for p in reaching])
            other_areas = torch.cat([p.areas[frame - p.first] for p in reaching])
            intersection = masks @ others.T
            union = areas[:, None] + other_areas - intersection
            total[:, start:] += intersection / union.clamp(min=EPS)
            counted = torch.ones_like(union)
            if self.skip_empty:
                counted -= ((areas[:, None] < self.empty_below) & (other_areas < self.empty_below)).to(union)
            frames[:, start:] += counted
        return total / frames.clamp(min=1)
