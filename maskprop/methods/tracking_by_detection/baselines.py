"""What MaskProp is compared with: masks copied instead of propagated, ids by box or mask IoU, without clips."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import pycocotools.mask as mask_utils
import torch
from mmdet.registry import TASK_UTILS
from torch import Tensor
from torchvision.ops import box_iou

from maskprop.structures import Frame
from maskprop.tracking.id_assignment import assign_ids, forbid_other_categories


@TASK_UTILS.register_module()
class CopyPropagator:
    """Copies the masks of frame t unchanged to every frame of its clip."""

    needs = ()

    def propagate(self, source: Frame, targets: Sequence[Frame]) -> Tensor:
        """(S, N, H, W) float: the source's masks S times."""
        return source.masks.expand(len(targets), -1, -1, -1)


class GreedyLinker(ABC):
    """Greedy frame-to-frame tracking, without clips or propagation; a subclass says what is compared.

    Args:
        threshold: an id is taken if the IoU with its last detection is above this.
        max_age: an id is forgotten after this many frames without a detection.
        same_category: a detection takes an id only if the id's last one has its category.
    """

    needs_clips = False
    needs = ()

    def __init__(self, threshold: float = 0.3, max_age: int = 6, same_category: bool = False) -> None:
        self.threshold = threshold
        self.max_age = max_age
        self.same_category = same_category
        self._last: dict[int, tuple[int, Any, int]] = {}  # id -> (frame, what is compared, label)
        self._next_id = 1
        self._frame = 0

    def link(self, frame: Frame) -> list[int]:
        """Ids of a frame's detections; frames come in order.

        Args:
            frame: with N detections.

        Returns:
            N video-level ids, from 1.
        """
        self._last = {i: v for i, v in self._last.items() if self._frame - v[0] <= self.max_age}
        known, shapes = list(self._last), self._shapes(frame)
        scores = self._iou(shapes, [shape for _, shape, _ in self._last.values()])
        if self.same_category:
            scores = forbid_other_categories(scores, frame.labels, [label for *_, label in self._last.values()])
        ids = assign_ids(scores, known, self.threshold, True, self._next_id)
        self._next_id = max([self._next_id - 1, *ids]) + 1
        for track_id, shape, label in zip(ids, shapes, frame.labels, strict=True):
            self._last[track_id] = (self._frame, shape, label)
        self._frame += 1
        return ids

    @abstractmethod
    def _shapes(self, frame: Frame) -> Sequence:
        """What is compared, of each detection."""

    @abstractmethod
    def _iou(self, shapes: Sequence, last: list) -> Tensor:
        """(N, Y) float, of the N shapes of a frame with the Y remembered ones."""


@TASK_UTILS.register_module()
class BoxIoULinker(GreedyLinker):
    """Greedy box-IoU tracking; arguments of :class:`GreedyLinker`."""

    def _shapes(self, frame: Frame) -> Tensor:
        return frame.boxes

    def _iou(self, shapes: Tensor, last: list[Tensor]) -> Tensor:
        return box_iou(shapes, torch.stack(last) if last else shapes.new_zeros((0, 4)))


@TASK_UTILS.register_module()
class MaskIoULinker(GreedyLinker):
    """Greedy mask-IoU tracking; arguments of :class:`GreedyLinker`.

    Masks are the detector's final ones at the video's size, not the soft ones at the propagation stride: ids then
    depend neither on the stride nor on there being a branch.
    """

    def _shapes(self, frame: Frame) -> list[dict]:
        return list(frame.rles)

    def _iou(self, shapes: Sequence[dict], last: list[dict]) -> Tensor:
        if not shapes or not last:
            return torch.zeros(len(shapes), len(last))
        return torch.from_numpy(mask_utils.iou(shapes, last, [0] * len(last)))
