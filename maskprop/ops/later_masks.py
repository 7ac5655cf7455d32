"""Final masks of a GPU's frames, pasted and encoded in a thread while the GPU is given its next work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import overload

import torch
from torch import Tensor


class LaterMasks(Sequence[dict]):
    """RLEs that a thread makes; the first one that is asked for is waited for, with all that are made with it."""

    def __init__(self, made: Future[list[dict]], rows: range) -> None:
        self._made = made
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, row: int) -> dict: ...
    @overload
    def __getitem__(self, row: slice) -> LaterMasks: ...
    def __getitem__(self, row: int | slice) -> dict | LaterMasks:
        if isinstance(row, slice):
            return LaterMasks(self._made, self._rows[row])
        return self._made.result()[self._rows[row]]


def gains_by_a_thread(masks: Tensor) -> bool:
    """Whether masks are made in a thread: a GPU is given its next work meanwhile; a CPU would do both in turn."""
    return masks.is_cuda


def paste_in_turn(
    paste: Callable[[Tensor, Tensor, int, int], list[dict]],
    roi_masks: Tensor,
    boxes: Tensor,
    height: int,
    width: int,
) -> Sequence[dict]:
    """``paste(roi_masks, boxes, height, width)``; in a thread, after what it was given before, if that gains time.

    Args:
        paste: makes RLEs of RoI masks and boxes.
        roi_masks: (N, m, m) float in [0, 1].
        boxes: (N, 4) float, (x1, y1, x2, y2) in pixels of the image.
        height, width: size of the image in pixels.

    Returns:
        N RLEs.
    """
    if not gains_by_a_thread(roi_masks):
        return paste(roi_masks, boxes, height, width)
    masks, places = (values.detach().to('cpu', non_blocking=True) for values in (roi_masks, boxes))
    copied = torch.cuda.Event() if roi_masks.is_cuda else None
    if copied is not None:
        copied.record(torch.cuda.current_stream(roi_masks.device))

    def work() -> list[dict]:
        if copied is not None:
            copied.synchronize()
        return paste(masks, places, height, width)

    return LaterMasks(_thread().submit(work), range(len(boxes)))


@cache
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, 'masks')
