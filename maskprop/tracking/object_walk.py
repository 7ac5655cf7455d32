"""Masks carried through a clip by what carries them through a video: from the source outwards, frame by frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.registry import TASK_UTILS
from torch import Tensor

from maskprop.structures import Frame, ObjectHead, VideoHead


@torch.no_grad()
def walk_outwards(head: ObjectHead, key: str, source: Frame, targets: Sequence[Frame]) -> Tensor:
    """The soft masks of the source's N instances in S frames, (S, N, H, W) float in [0, 1].

    They begin at the source's masks and go forwards to the last target and backwards to the first one; each way
    sees only its own frames. In the source itself the masks are unchanged.

    Args:
        head: whose tracker carries them. key: of its codes in the frames.
        source: its better-scored instances lie on top.
        targets: in the order of the video. A source that isn't among them comes before the first.
    """
    masks = source.masks
    found: list[Tensor] = [masks] * len(targets)
    code = source.codes[key]
    place = next((i for i, target in enumerate(targets) if target.codes[key] is code), -1)
    for order in (range(place + 1, len(targets)), range(place - 1, -1, -1)):
        if not len(masks) or not order:
            continue
        tracker = head.start_objects()
        rows = by_score(source)
        tracker.begin(code, masks[rows], [row + 1 for row in rows])
        back = torch.tensor([tracker.ids.index(row + 1) for row in range(len(masks))], device=masks.device)
        for index in order:
            soft = tracker.step(targets[index].codes[key]).soft[back]
            found[index] = _at_cells(soft, masks.shape[-2:])
    return torch.stack([x.to(masks) for x in found]) if found else masks.new_zeros((0, *masks.shape))


def by_score(frame: Frame) -> list[int]:
    """The instances of a frame, those of lower score first."""
    scores = [max(scores.values()) for scores in frame.class_scores]
    return sorted(range(len(scores)), key=scores.__getitem__)


def _at_cells(soft: Tensor, size: Sequence[int]) -> Tensor:
    """(N, h, w) at no more cells: the means over them."""
    return soft if tuple(soft.shape[-2:]) == tuple(size) else F.adaptive_avg_pool2d(soft, tuple(size))


@TASK_UTILS.register_module()
class HeadPropagator:
    """Propagates the masks of clips by a head that stands under another key than ``propagation_head``.

    Args:
        head: the key, such as ``'feelvos_head'``; a head that has ``start_objects``.
    """

    def __init__(self, head: str) -> None:
        self.needs = (head,)
        self._key = head
        self._head: Any = None  # an ObjectHead

    def use_heads(self, heads: Mapping[str, VideoHead]) -> None:
        """Take the model's head."""
        self._head = heads[self._key]

    def propagate(self, source: Frame, targets: Sequence[Frame]) -> Tensor:
        """(S, N, H, W): the soft masks of the source's N instances in S frames in video order."""
        return walk_outwards(self._head, self._key, source, targets)
