"""The objects of one video, carried from frame to frame by OSMN (Section 3.5: inference)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from maskprop.methods.osmn.guides import fit_blob, spatial_guide
from maskprop.methods.osmn.network import SharedMaps
from maskprop.ops.masks import resize_masks
from maskprop.structures import CarriedMasks

ALONE = 0.5  # probability of the background when masks are made exclusive


class FrameMaps(NamedTuple):
    """OSMN's code of a frame.

    Attributes:
        shared: of one frame, (1, ...) each. image: (3, H, W) uint8 RGB, for the guides of objects that begin here.
    """

    shared: SharedMaps
    image: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the network's input in pixels."""
        return tuple(self.image.shape[-2:])


class Segmenter(Protocol):
    """What a tracker asks of its head."""

    def visual_factors(self, image: Tensor, masks: Tensor) -> Tensor:
        """(N, P): what modulates the network for N objects."""

    def segment(self, code: FrameMaps, factors: Tensor, guides: Tensor) -> Tensor:
        """(N, H, W) logits; see :meth:`~maskprop.methods.osmn.osmn_head.OSMNHead.segment`."""


class OSMNTracker:
    """Masks carried through a video; a :class:`~maskprop.structures.protocols.ObjectTracker`.

    Each object has its own mask, which is what is fed back; pixels that several want go to the most probable one
    in the result only. What an object looks like is taken from the frame where it began, once.

    Args:
        head: gives factors and logits.
    """

    def __init__(self, head: Segmenter) -> None:
        self.head = head
        self.ids: list[int] = []
        self._factors: Tensor | None = None  # (N, P)
        self._masks: Tensor | None = None  # (N, H, W) bool, of the latest frame

    @property
    def masks(self) -> Tensor:
        """(N, H, W) bool, of the latest frame."""
        assert self._masks is not None, 'no object has begun'
        return self._masks

    @torch.no_grad()
    def step(self, code: FrameMaps) -> CarriedMasks:
        """Carry the objects, one at least, into the next frame."""
        assert self._factors is not None, 'no object has begun'
        device = self._factors.device
        guides = torch.stack([spatial_guide(fit_blob(mask), code.size, device).float() for mask in self.masks])
        logits = self.head.segment(code, self._factors, guides)
        self._masks = logits > 0
        soft = logits.float().sigmoid()
        return CarriedMasks(soft, exclusive(soft))

    @torch.no_grad()
    def begin(self, code: FrameMaps, masks: Tensor, ids: Sequence[int]) -> None:
        """New objects in the frame of the latest step, or in the video's first."""
        masks = resize_masks(masks, code.size).to(code.shared.pooled.device)
        factors = self.head.visual_factors(code.image, masks)
        self.ids += ids
        self._factors = factors if self._factors is None else torch.cat([self._factors, factors])
        self._masks = masks if self._masks is None else torch.cat([self._masks, masks])

    @torch.no_grad()
    def refresh(self, code: FrameMaps, masks: Tensor, ids: Sequence[int]) -> None:
        """Put other masks in place of the latest ones of some objects."""
        changed = self.masks.clone()
        for track_id, mask in zip(ids, resize_masks(masks, code.size), strict=True):
            changed[self.ids.index(track_id)] = mask.to(changed.device)
        self._masks = changed

    def forget(self, ids: Sequence[int]) -> None:
        """End some objects."""
        kept = [row for row, track_id in enumerate(self.ids) if track_id not in ids]
        self.ids = [self.ids[row] for row in kept]
        assert self._factors is not None, 'no object has begun'
        self._factors, self._masks = self._factors[kept], self.masks[kept]


def exclusive(soft: Tensor) -> Tensor:
    """(N, H, W) bool: each pixel is the most probable object's, if that is above .5; of equal ones the first's."""
    scores = torch.cat([soft.new_full((1, *soft.shape[1:]), ALONE), soft])
    winners = scores.argmax(0)
    return torch.stack([winners == row for row in range(1, len(scores))])
