"""The propagation branch's offsets in a stream, where two frames of a clip meet again in another clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from maskprop.methods.maskprop.mask_propagation_head import MaskPropagationHead
    from maskprop.tracking.video_stream import Frame

CELLS_AT_ONCE = 2**14  # of a CPU: fewer leave its cores waiting for the next call, more no longer fit its cache


def stream_offsets(head: MaskPropagationHead, source: Frame, targets: Sequence[Frame]) -> Tensor:
    """``head.predict_offsets``, with the block's convolution once for both orders of two frames.

    Args:
        head: whose offsets they are.
        source: frame t.
        targets: S frames in the order of the video, t itself may be among them. In the ``memo`` of those after it
            is left what they need when they look back at t; what t finds in its own, it takes out.

    Returns:
        (S, K, 2, H, W) float32, cells.
    """
    step = len(targets) if source.masks.is_cuda else max(1, CELLS_AT_ONCE // source.masks[0].numel())
    sums = _sums(head, source, targets, step)
    chunks = iter(lambda: list(islice(sums, step)), [])
    return head.read_offsets(map(_join, chunks), len(targets))


def _sums(head: MaskPropagationHead, source: Frame, targets: Sequence[Frame], step: int) -> Iterator[Tensor]:
    """The residual block's sum for each target, (1, C, H, W)."""
    straight = source.code.shortcut + head.offset_bias()
    linear = None
    for target, block in zip(targets, _new_blocks(head, source, targets, step), strict=True):
        known = source.memo.pop(id(target.code.motion), None)
        if known is None:
            total = straight - target.code.shortcut
        else:  # max(x, 0) = max(-x, 0) + x: the other order's block, and the block of x, which is linear
            linear = _linear_part(head, source) + head.offset_bias() if linear is None else linear
            total, block = linear - _linear_part(head, target), known[1]
        yield total if block is None else total.add_(block)


def _new_blocks(
    head: MaskPropagationHead, source: Frame, targets: Sequence[Frame], step: int
) -> list[Tensor | None]:
    """``head.linear_block`` of each rectified difference; None where it is 0 or the other order's is known."""
    own = next((index for index, target in enumerate(targets) if target is source), len(targets))
    blocks: list[Tensor | None] = [None] * len(targets)
    new = [i for i, t in enumerate(targets) if t is not source and id(t.code.motion) not in source.memo]
    for chunk in (new[start : start + step] for start in range(0, len(new), step)):
        difference = source.code.motion - _join([targets[i].code.motion for i in chunk])
        found = head.linear_block(F.relu(difference, inplace=True))
        for index, block in zip(chunk, found.split(1), strict=True):
            blocks[index] = block
            if index > own:  # a later frame: it will look back at this one, whose number stays its own
                targets[index].memo[id(source.code.motion)] = source.code.motion, block
    return blocks


def _linear_part(head: MaskPropagationHead, frame: Frame) -> Tensor:
    """A frame's share of the residual block where nothing is rectified."""
    if 'linear' not in frame.memo:
        frame.memo['linear'] = head.linear_block(frame.code.motion).add_(frame.code.shortcut)
    return frame.memo['linear']


def _join(tensors: Sequence[Tensor]) -> Tensor:
    """Along the first dimension; a single one is not copied."""
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))
