"""Tracking by propagated masks, case by case, on masks that a stand-in head carries as a script says."""

from __future__ import annotations

import numpy as np
import pycocotools.mask as mask_utils
import pytest
import torch

from maskprop.ops.masks import encode_mask, resize_masks
from maskprop.structures import CarriedMasks, Frame, FrameResult
from maskprop.tracking.object_walk import HeadPropagator, walk_outwards
from maskprop.tracking.propagated_mask_linker import PropagatedMaskLinker, network_masks

SIZE = (16, 24)


def box(x: int, width: int = 6) -> torch.Tensor:
    """(16, 24) bool: a bar from column x on."""
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[4:12, x : x + width] = True
    return mask


class Code:
    """A code that tells a stand-in tracker how far everything moves into its frame, in columns."""

    size = SIZE

    def __init__(self, move: int = 0) -> None:
        self.move = move


class ShiftTracker:
    """Carries masks by the moves of the codes; writes down what it was asked."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.masks: dict[int, torch.Tensor] = {}
        self.calls: list[tuple] = []

    def step(self, code):
        self.masks = {i: torch.roll(mask, code.move, 1) for i, mask in self.masks.items()}
        masks = torch.stack([self.masks[i] for i in self.ids])
        return CarriedMasks(masks.float(), masks)

    def begin(self, code, masks, ids):
        self.calls.append(('begin', list(ids)))
        self.masks |= dict(zip(ids, resize_masks(masks, SIZE), strict=True))
        self.ids += ids

    def refresh(self, code, masks, ids):
        self.calls.append(('refresh', list(ids)))
        self.masks |= dict(zip(ids, masks, strict=True))

    def forget(self, ids):
        self.calls.append(('forget', list(ids)))
        self.ids = [i for i in self.ids if i not in ids]


class ShiftHead:
    def start_objects(self):
        self.tracker = ShiftTracker()
        return self.tracker


def make_frame(*found: tuple[torch.Tensor, int, float], move: int = 0) -> Frame:
    """A frame with detections (mask, label, score)."""
    masks = torch.stack([mask for mask, *_ in found]).float() if found else torch.zeros(0, *SIZE)
    return Frame(
        masks=masks,
        boxes=torch.zeros(len(found), 4),
        class_scores=[{label: score} for _, label, score in found],
        rles=[encode_mask(mask.numpy()) for mask, *_ in found],
        size=SIZE,
        map_size=SIZE,
        codes=dict(shift_head=Code(move)),
    )


class Video:
    """A linker with its head; ``add`` gives the frame's result."""

    def __init__(self, **options) -> None:
        self.head = ShiftHead()
        self.linker = PropagatedMaskLinker(head='shift_head', **options)
        self.linker.use_heads(dict(shift_head=self.head))
        self.frames = 0

    def add(self, *found, move: int = 0) -> FrameResult:
        frame = make_frame(*found, move=move)
        ids = self.linker.link(frame)
        rows = [row for row, track_id in enumerate(ids) if track_id is not None]
        frame, result = frame.select(rows), FrameResult(self.frames)
        for row, rle in enumerate(frame.rles):
            label = frame.labels[row]
            result.add(ids[rows[row]], label, frame.class_scores[row][label], rle)
        self.linker.revise(frame, result)
        self.frames += 1
        return result


def columns(rle: dict) -> tuple[int, int]:
    """First column and width of a mask."""
    x, _, width, _ = mask_utils.toBbox(rle).astype(int)
    return int(x), int(width)


@pytest.mark.parametrize(('output', 'shown'), [('propagated', (4, 6)), ('detected', (5, 6))])
def test_a_matched_detection_has_the_objects_id_and_the_mask_of_the_output(output, shown):
    video = Video(output=output)
    assert video.add((box(2), 0, 0.9)).ids == [1]
    result = video.add((box(5), 0, 0.8), move=2)
    assert result.ids == [1] and result.filled == [False] and result.scores == [0.8]
    assert columns(result.masks[0]) == shown


def test_an_undetected_object_is_carried_with_its_category_and_mean_score():
    video = Video()
    video.add((box(2), 1, 0.9))
    video.add((box(2), 1, 0.5))
    result = video.add(move=3)
    assert (result.ids, result.labels, result.filled) == ([1], [1], [True])
    assert result.scores == [pytest.approx(0.7)] and columns(result.masks[0]) == (5, 6)
    assert Video(output='detected').add().ids == []


def test_an_undetected_object_is_not_in_the_result_of_detected_masks():
    video = Video(output='detected')
    video.add((box(2), 1, 0.9))
    assert video.add(move=1).ids == []
    assert video.add((box(4), 1, 0.9), move=1).ids == [1]  # it was carried all the same


def test_the_pair_of_highest_overlap_goes_first_and_the_other_detection_begins_an_object():
    video = Video()
    video.add((box(2), 0, 0.9))
    result = video.add((box(4), 0, 0.9), (box(2), 0, 0.5))
    assert result.ids == [2, 1]


def test_the_threshold_is_exceeded():
    """Bars of 6 columns that share 4: IoU .5."""
    for threshold, ids in ((0.5, [2]), (0.49, [1])):
        video = Video(threshold=threshold, output='detected')
        video.add((box(2), 0, 0.9))
        assert video.add((box(4), 0, 0.9)).ids == ids


@pytest.mark.parametrize(('same_category', 'ids'), [(True, [2]), (False, [1])])
def test_another_category_is_another_object(same_category, ids):
    video = Video(same_category=same_category, output='detected')
    video.add((box(2), 0, 0.9))
    assert video.add((box(2), 1, 0.9)).ids == ids


def test_an_object_has_the_category_of_most_of_its_detections():
    video = Video(same_category=False)
    for label in (1, 0, 0):
        video.add((box(2), label, 0.9))
    assert video.add().labels == [0]


def test_refresh_carries_the_detections_mask_on():
    for refresh, first in ((False, 4), (True, 5)):
        video = Video(refresh=refresh)
        video.add((box(2), 0, 0.9))
        video.add((box(5), 0, 0.9), move=2)
        assert columns(video.add().masks[0])[0] == first


def test_what_scores_too_little_begins_no_object_but_is_matched():
    video = Video(start_score=0.5)
    assert video.add((box(2), 0, 0.4), (box(14), 0, 0.6)).ids == [1]
    assert video.add((box(14), 0, 0.1)).ids == [1]


def test_better_scored_objects_begin_last_so_that_they_lie_on_top():
    video = Video()
    result = video.add((box(2), 0, 0.9), (box(4), 1, 0.3))
    assert result.ids == [1, 2]
    assert video.head.tracker.calls == [('begin', [2, 1])]


def test_an_object_ends_after_so_many_frames():
    video = Video(max_age=2)
    video.add((box(2), 0, 0.9))
    assert video.add().ids == [1]
    assert video.add().ids == [] and ('forget', [1]) in video.head.tracker.calls
    assert video.add((box(2), 0, 0.9)).ids == [2]


def test_small_remains_are_no_result():
    video = Video(min_area=49)
    video.add((box(2), 0, 0.9))
    assert video.add().ids == []


def test_network_masks_are_those_of_the_video_at_the_inputs_size():
    """A video of 8x12 pixels at twice its size, in an input with padding below and to the right."""
    mask = np.zeros((8, 12), dtype=bool)
    mask[2:4, 3:7] = True
    frame = make_frame()
    frame.rles, frame.size, frame.map_size = [encode_mask(mask)], (8, 12), (12, 16)
    found = network_masks(frame, [0], (24, 32))[0]
    assert found[:16, :24].equal(torch.from_numpy(mask.repeat(2, 0).repeat(2, 1)))
    assert not found[16:].any() and not found[:, 24:].any()


def test_a_head_that_carries_nothing_is_refused():
    with pytest.raises(ValueError, match='track_head.*no start_objects'):
        PropagatedMaskLinker(head='track_head').use_heads(dict(track_head=torch.nn.Identity()))


@pytest.mark.parametrize('options', [dict(output='both'), dict(max_age=0)])
def test_bad_values(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        PropagatedMaskLinker(**options)


def test_a_clip_is_walked_outwards_both_ways():
    frames = [make_frame((box(8), 0, 0.4), (box(2), 0, 0.9), move=move) for move in (1, 2, 5, 3, 4)]
    head = ShiftHead()
    found = walk_outwards(head, 'shift_head', frames[2], frames)
    assert found.shape == (5, 2, *SIZE)
    for place, move in enumerate((3, 2, 0, 3, 7)):
        for row, start in enumerate((8, 2)):
            assert found[place, row].equal(torch.roll(box(start), move, 1).float())
    propagator = HeadPropagator('shift_head')
    propagator.use_heads(dict(shift_head=head))
    assert propagator.needs == ('shift_head',) and propagator.propagate(frames[2], frames).equal(found)


def test_a_clip_without_instances():
    frames = [make_frame() for _ in range(3)]
    assert walk_outwards(ShiftHead(), 'shift_head', frames[0], frames).shape == (3, 0, *SIZE)
