"""Filling a frame from the clips around it: the mean of their masks there, of objects that the frame lacks."""

from __future__ import annotations

import numpy as np
import pycocotools.mask as mask_utils
import pytest
import torch

from maskprop.structures import Frame, FrameResult
from maskprop.tracking import GapFiller, VideoInstances

SIZE = (4, 6)


def filled(
    values: list[float], found: list[int], index: int = 2, detected: torch.Tensor | None = None
) -> FrameResult:
    """Frame ``index`` of clips of three frames, in each of which ids 1 and 2 have masks of one value."""
    filler, instances = GapFiller(), VideoInstances()
    for first, value in enumerate(values):
        masks = torch.zeros(3, 2, *SIZE)
        masks[:, 0, :2, :2] = value
        masks[:, 1, 2:, 3:] = 0.9
        filler.add_clip(first, [1, 2], masks)
    for track_id in (1, 2):
        instances.add_scores(track_id, {track_id: 0.8})
    masks = torch.zeros(0, *SIZE) if detected is None else detected[None]
    count = len(masks)
    frame = Frame(masks, torch.zeros(count, 4), [{1: 0.8}] * count, [{}] * count, size=SIZE, map_size=SIZE)
    result = FrameResult(index)
    for track_id in found:
        result.add(track_id, track_id, 0.8, mask_utils.encode(np.asfortranarray(np.ones(SIZE, np.uint8))))
    filler.fill(frame, result, instances)
    return result


@pytest.mark.parametrize(
    ('values', 'expected'), [([0.5, 0.5, 0.5], [1, 2]), ([0.9, 0.3, 0.1], [2]), ([1, 0.1, 0.4], [1, 2])]
)
def test_the_mean_of_all_clips_decides(values, expected):
    result = filled(values, [])
    assert (result.ids, result.labels, result.scores) == (expected, expected, [0.8] * len(expected))
    assert result.filled == [True] * len(expected)
    decoded = {i: mask_utils.decode(rle) for i, rle in zip(result.ids, result.masks, strict=True)}
    assert decoded[2][2:, 3:].all() and not decoded[2][:2].any()
    assert 1 not in decoded or (decoded[1][:2, :2].all() and not decoded[1][2:].any())


def test_objects_that_the_frame_has_are_left_alone():
    assert filled([1, 1, 1], [1]).ids == [1, 2]
    assert filled([1, 1, 1], [1, 2]).filled == [False, False]


def test_clips_that_have_ended_count_no_more():
    """Of four clips the last three have frame 3."""
    assert filled([1, 0.1, 0.1, 0.1], [], 3).ids == [2]
    assert filled([0, 0.5, 0.5, 0.5], [], 3).ids == [1, 2]


def test_what_was_detected_under_another_id_is_not_filled():
    """Of a quarter of id 1's mask the soft IoU is below a half, of all of it above."""
    part, whole = torch.zeros(SIZE), torch.zeros(SIZE)
    part[:1, :1], whole[:2, :2] = 1, 1
    assert filled([1, 1, 1], [7], detected=part).ids == [7, 1, 2]
    assert filled([1, 1, 1], [7], detected=whole).ids == [7, 2]
