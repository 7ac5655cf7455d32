"""The objects of one video, carried from frame to frame by FEELVOS (Section 3.6: inference)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from maskprop.methods.feelvos.matching import Reference, make_reference, subsample_labels
from maskprop.methods.feelvos.network import resize
from maskprop.ops.masks import resize_masks
from maskprop.structures import CarriedMasks

BACKGROUND = 0  # its label; objects have their ids, from 1


class FrameFeatures(NamedTuple):
    """FEELVOS's code of a frame.

    Attributes:
        features: (C, h, w) float, of the decoder. embedding: (E, h, w) float, not below 0.
        size: (height, width) of the network's input in pixels.
    """

    features: Tensor
    embedding: Tensor
    size: tuple[int, int]


class Segmenter(Protocol):
    """What a tracker asks of its head."""

    def segment(
        self,
        code: FrameFeatures,
        references: Sequence[Reference],
        previous: Tensor,
        labels: Tensor,
        objects: Sequence[int],
    ) -> Tensor:
        """(K, h, w) logits; see :meth:`~maskprop.methods.feelvos.feelvos_head.FEELVOSHead.segment`."""


class FEELVOSTracker:
    """Label maps carried through a video; a :class:`~maskprop.structures.protocols.ObjectTracker`.

    What is known of an object is its cells in the frame where it began; of the background, the free cells of all
    frames in which objects began. What is fed back is the label map of arg-maxes, not the probabilities.

    Args:
        head: gives the logits.
    """

    def __init__(self, head: Segmenter) -> None:
        self.head = head
        self.ids: list[int] = []
        self._references: list[Reference] = []
        self._embedding: Tensor | None = None  # of the latest frame
        self._labels: Tensor | None = None  # (H, W) of the latest frame, in pixels of the network's input

    @property
    def labels(self) -> Tensor:
        """(H, W) long, the latest frame's label map."""
        assert self._labels is not None, 'no object has begun'
        return self._labels

    @torch.no_grad()
    def step(self, code: FrameFeatures) -> CarriedMasks:
        """Carry the objects, one at least, into the next frame."""
        objects = torch.tensor([BACKGROUND, *self.ids], device=code.embedding.device)
        logits = self.head.segment(code, self._references, self._embedding, self._cells(code), objects.tolist())
        winners = resize(logits[None], code.size)[0].argmax(0)  # [H, W], rows of the objects
        self._embedding, self._labels = code.embedding, objects[winners]
        return CarriedMasks(
            logits.float().softmax(0)[1:], winners == torch.arange(1, len(objects)).view(-1, 1, 1).to(winners)
        )

    @torch.no_grad()
    def begin(self, code: FrameFeatures, masks: Tensor, ids: Sequence[int]) -> None:
        """New objects in the frame of the latest step, or in the video's first; later ones lie on top."""
        if self._labels is None:
            self._labels = torch.full(code.size, BACKGROUND, device=code.embedding.device)
        self._embedding = code.embedding
        self._paint(masks, ids)
        self.ids += ids
        labels = self._cells(code)
        self._references.append(make_reference(code.embedding, labels, [BACKGROUND, *ids]))

    @torch.no_grad()
    def refresh(self, code: FrameFeatures, masks: Tensor, ids: Sequence[int]) -> None:
        """Put other masks in place of the latest ones of some objects."""
        gone = torch.isin(self._labels, torch.tensor(ids, device=self.labels.device))
        self._labels = self.labels.masked_fill(gone, BACKGROUND)
        self._paint(masks, ids)

    def forget(self, ids: Sequence[int]) -> None:
        """End some objects; their pixels are the background's."""
        gone = torch.tensor(ids, device=self.labels.device)
        self._labels = self.labels.masked_fill(torch.isin(self._labels, gone), BACKGROUND)
        self.ids = [i for i in self.ids if i not in ids]
        self._references = [reference.without(ids) for reference in self._references]

    def _paint(self, masks: Tensor, ids: Sequence[int]) -> None:
        labels = self.labels.clone()
        for track_id, mask in zip(ids, resize_masks(masks, labels.shape), strict=True):
            labels[mask.to(labels.device)] = track_id
        self._labels = labels

    def _cells(self, code: FrameFeatures) -> Tensor:
        """The labels at the code's cells; an object between the cells has the one nearest to its middle."""
        labels = subsample_labels(self._labels, code.embedding.shape[-2:])
        present = set(self.labels.unique().tolist()) - set(labels.unique().tolist())
        for track_id in sorted(present - {BACKGROUND}):
            place = (self._labels == track_id).nonzero().float().mean(0)
            scale = [
                (n - 1) / max(pixels - 1, 1) for n, pixels in zip(labels.shape, self.labels.shape, strict=True)
            ]
            row, column = (place.cpu() * torch.tensor(scale)).round().long().tolist()
            labels[row, column] = track_id
        return labels
