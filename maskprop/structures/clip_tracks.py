"""The instances of a clip's centre frame in all of its frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor


class ClipTracks(NamedTuple):
    """The tracks of the clip centred at one frame.

    Attributes:
        first: index of the clip's first frame (t - T, or 0 at the start of the video).
        masks: (S, N, P) float, the soft masks of N instances in its S frames, P cells each.
        areas: (S, N) float, their sums.
        labels: N class indices, the best-scored ones in the clip's centre frame.
    """

    first: int
    masks: Tensor
    areas: Tensor
    labels: Sequence[int]

    @classmethod
    def from_masks(cls, first: int, masks: Tensor, labels: Sequence[int]) -> ClipTracks:
        """From (S, N, H, W) soft masks and N class indices."""
        masks = masks.flatten(2).float()
        return cls(first, masks, masks.sum(-1), labels)

    @property
    def end(self) -> int:
        """One past the clip's last frame."""
        return self.first + len(self.masks)
