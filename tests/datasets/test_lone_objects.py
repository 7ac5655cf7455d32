"""The copy of a lone object: its pixels, its place, its annotation; clips that stay as they are."""

from __future__ import annotations

import numpy as np
import pytest
from mmdet.structures.mask import BitmapMasks

from maskprop.datasets.transforms import PasteLoneObject

SIZE = (40, 60)


def frame(boxes: list[tuple[int, int, int, int]], ids: list[int], ignored: tuple[int, ...] = ()) -> dict:
    """Objects (x1, y1, x2, y2), each of its own grey on black; the first one's upper left pixel is white."""
    masks = np.zeros((len(boxes), *SIZE), dtype=np.uint8)
    image = np.zeros((*SIZE, 3), dtype=np.uint8)
    for row, (x1, y1, x2, y2) in enumerate(boxes):
        masks[row, y1:y2, x1:x2] = 1
        image[y1:y2, x1:x2] = 50 + 20 * row
        image[y1, x1] = 255
    return dict(
        img=image,
        gt_masks=BitmapMasks(masks, *SIZE),
        gt_bboxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        gt_bboxes_labels=np.full(len(boxes), 2),
        gt_instances_ids=np.array(ids, dtype=np.int32),
        gt_ignore_flags=np.array([i in ignored for i in ids], dtype=bool),
    )


def paste(*frames: dict, **keys) -> list[dict]:
    results = PasteLoneObject(**keys)({key: [f[key] for f in frames] for key in frames[0]})
    return [{key: values[i] for key, values in results.items()} for i in range(len(frames))]


@pytest.mark.parametrize('seed', range(6))
@pytest.mark.parametrize('flipped', [False, True])
def test_a_copy_beside_the_object(seed, flipped):
    np.random.seed(seed)
    before = [frame([(20, 10, 28, 20)], [5]), frame([(22, 12, 30, 22)], [5]), frame([], [])]
    after = paste(*before, flip_prob=float(flipped))
    sides = set()
    for old, new in zip(before[:2], after[:2], strict=True):
        assert new['gt_instances_ids'].tolist() == [5, 6] and new['gt_bboxes_labels'].tolist() == [2, 2]
        mask, copy = new['gt_masks'].masks
        (x1, y1, _, _), box = old['gt_bboxes'][0].astype(int), new['gt_bboxes'][1].astype(int)
        right, down = box[0] - x1, box[1] - y1
        assert 6 <= abs(right) <= 8 and abs(down) <= 3  # .75 to 1 of 8 pixels, up to .25 of 10
        sides.add(right > 0)
        assert copy.sum() == 80 and not (mask & copy).any()
        assert mask.sum() == 80 - (old['gt_masks'].masks[0] & copy).sum()
        white = box[0] + (7 if flipped else 0)
        assert new['img'][box[1], white].tolist() == [255] * 3
        outside = (mask | copy) == 0
        assert new['img'][outside].sum() == 0
    assert len(sides) == 1
    assert len(after[2]['gt_instances_ids']) == 0


def test_the_copy_is_where_there_is_room():
    for seed in range(4):
        np.random.seed(seed)
        (at_left,) = paste(frame([(0, 10, 8, 20)], [1]))
        assert at_left['gt_bboxes'][1, 0] > 0
        (at_right,) = paste(frame([(50, 10, 60, 20)], [1]))
        assert at_right['gt_bboxes'][1, 0] < 50


def test_the_shift_has_a_limit():
    np.random.seed(0)
    (pasted,) = paste(frame([(0, 5, 50, 30)], [1]), flip_prob=0.0)
    assert pasted['gt_bboxes'][1, 0] == 18  # .3 of 60, not .75 of 50


@pytest.mark.parametrize(
    'frames',
    [
        [frame([(0, 10, 60, 20)], [1])],  # touches both sides
        [frame([(5, 5, 9, 9), (20, 20, 30, 30)], [1, 2])],
        [frame([(5, 5, 9, 9)], [1]), frame([(20, 20, 30, 30)], [2])],
        [frame([], [])],
        [frame([(5, 5, 9, 9)], [1], ignored=(1,))],
    ],
)
def test_other_clips_stay(frames):
    after = paste(*frames)
    for old, new in zip(frames, after, strict=True):
        assert np.array_equal(old['img'], new['img'])
        assert old['gt_instances_ids'].tolist() == new['gt_instances_ids'].tolist()


def test_a_crowd_is_no_object():
    np.random.seed(0)
    (pasted,) = paste(frame([(20, 10, 28, 20), (40, 30, 50, 38)], [1, 7], ignored=(7,)))
    assert pasted['gt_instances_ids'].tolist() == [1, 7, 8]
    assert pasted['gt_ignore_flags'].tolist() == [False, True, False]


@pytest.mark.parametrize('keys', [dict(shift=(1.0, 0.5)), dict(limit=0), dict(flip_prob=2.0)])
def test_bad_numbers_are_named(keys):
    with pytest.raises(ValueError, match=next(iter(keys))):
        PasteLoneObject(**keys)
