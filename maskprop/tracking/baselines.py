"""What MaskProp is compared with: masks copied instead of propagated, ids by box IoU instead of clip matching."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from mmdet.registry import TASK_UTILS
from torch import Tensor
from torchvision.ops import box_iou

from maskprop.tracking.clip_linker import assign_ids, forbid_other_categories

if TYPE_CHECKING:
    from maskprop.tracking.stream import Frame


@TASK_UTILS.register_module()
class CopyPropagator:
    """Copies the masks of frame t unchanged to every frame of its clip."""

    def propagate(self, source: Frame, targets: Sequence[Frame]) -> Tensor:
        """(S, N, H, W) float: the source's masks S times."""
        return source.masks.expand(len(targets), -1, -1, -1)


@TASK_UTILS.register_module()
class BoxIoULinker:
    """Greedy box-IoU tracking, without clips or propagation.

    Args:
        threshold: an id is taken if the IoU of its last box is above this.
        max_age: an id is forgotten after this many frames without a detection.
        same_category: a detection takes an id only if the id's last one has its category.
    """

    needs_clips = False

    def __init__(self, threshold: float = 0.3, max_age: int = 6, same_category: bool = False) -> None:
        self.threshold = threshold
        self.max_age = max_age
        self.same_category = same_category
        self._last: dict[int, tuple[int, Tensor, int]] = {}  # id -> (frame, box, label)
        self._next_id = 1
        self._frame = 0

    def link(self, frame: Frame) -> list[int]:
        """Ids of a frame's detections; frames come in order.

        Args:
            frame: with (N, 4) ``boxes`` and N ``labels``.

        Returns:
            N video-level ids, from 1.
        """
        self._last = {i: v for i, v in self._last.items() if self._frame - v[0] <= self.max_age}
        known = list(self._last)
        last = torch.stack([box for _, box, _ in self._last.values()]) if known else frame.boxes.new_zeros((0, 4))
        scores = box_iou(frame.boxes, last)
        if self.same_category:
            scores = forbid_other_categories(scores, frame.labels, [label for *_, label in self._last.values()])
        ids = assign_ids(scores, known, self.threshold, True, self._next_id)
        self._next_id = max([self._next_id - 1, *ids]) + 1
        for track_id, box, label in zip(ids, frame.boxes, frame.labels, strict=True):
            self._last[track_id] = (self._frame, box, label)
        self._frame += 1
        return ids
