"""Pairs of frames: which are drawn, and that both go through the same flip, crop and scale."""

from __future__ import annotations

import copy
from collections import Counter

import numpy as np
import pytest

import maskprop

maskprop.register_all()

from mmdet.registry import TRANSFORMS  # noqa: E402
from mmdet.structures.mask import BitmapMasks  # noqa: E402

from maskprop.datasets.transforms import FilterVideoAnnotations, SampleFramePair  # noqa: E402
from tests.datasets.coordinate_set import HEIGHT, WIDTH, coordinate_image, rectangle  # noqa: E402


def video(length: int, step: int = 1, name: str = '{:05d}.jpg') -> dict:
    images = [
        dict(img_id=t, frame_id=t, file_name='a/' + name.format(step * t), instances=[]) for t in range(length)
    ]
    return dict(video_id=9, video_length=length, images=images)


def gaps(transform: SampleFramePair, source: dict, key: int, draws: int = 400) -> Counter:
    found = Counter()
    np.random.seed(0)
    for _ in range(draws):
        pair = transform(dict(copy.deepcopy(source), key_frame_id=key))
        assert pair['frame_id'][0] == key and pair['key_frame_flags'] == [True, False]
        assert pair['video_id'] == [9, 9] and pair['ori_video_length'] == [len(source['images'])] * 2
        found[pair['frame_id'][1] - key] += 1
    return found


@pytest.mark.parametrize(
    'key,expected', [(5, {-3, -2, -1, 1, 2, 3}), (0, {1, 2, 3}), (1, {-1, 1, 2, 3}), (11, {-3, -2, -1})]
)
def test_gaps_are_uniform_over_what_exists(key, expected):
    found = gaps(SampleFramePair(max_gap=3), video(12), key, draws=600)
    assert set(found) == expected
    mean = 600 / len(expected)
    assert all(abs(n - mean) < 4.5 * np.sqrt(mean) for n in found.values())


def test_a_gap_larger_than_the_video():
    assert set(gaps(SampleFramePair(max_gap=25), video(4), 1)) == {-1, 1, 2}


def test_without_a_largest_gap_any_other_frame():
    assert set(gaps(SampleFramePair(max_gap=None), video(60), 0, draws=2000)) == set(range(1, 60))


def test_the_second_framehas_objects_where_there_is_one():
    source = video(6)
    source['images'][0]['instances'] = source['images'][5]['instances'] = [dict(instance_id=1)]
    assert set(gaps(SampleFramePair(max_gap=None, with_objects=True), source, 1)) == {-1, 4}
    source['images'][3]['instances'] = [dict(instance_id=2, ignore_flag=1)]  # a crowd
    assert set(gaps(SampleFramePair(max_gap=None, with_objects=True), source, 1)) == {-1, 4}
    assert set(gaps(SampleFramePair(max_gap=1, with_objects=True), source, 2)) == {-1, 1}


def test_a_video_of_one_frame_gives_it_twice():
    assert set(gaps(SampleFramePair(), video(1), 0, draws=3)) == {0}


def test_without_a_key_frame_a_random_one():
    np.random.seed(0)
    transform = SampleFramePair(max_gap=2)
    keys = Counter(transform(video(5))['frame_id'][0] for _ in range(200))
    assert set(keys) == set(range(5))


def test_gaps_in_source_frames_use_the_numbers_of_the_files():
    transform = SampleFramePair(max_gap=12, gap_unit='source')
    assert set(gaps(transform, video(12, step=5), 5)) == {-2, -1, 1, 2}
    assert set(gaps(transform, video(12, step=5, name='cam2_{:03d}_x.png'), 0)) == {1, 2}
    uneven = video(4)
    for image, name in zip(uneven['images'], ('1.jpg', '2.jpg', '30.jpg', '31.jpg'), strict=True):
        image['file_name'] = name
    assert set(gaps(transform, uneven, 2)) == {1}
    assert set(gaps(transform, uneven, 1)) == {-1}
    uneven['images'][1]['file_name'] = '18.jpg'  # 17 after the first and 12 before the third
    assert set(gaps(SampleFramePair(max_gap=3, gap_unit='source'), uneven, 1)) == {1}


@pytest.mark.parametrize(
    'source,max_gap,message',
    [
        (video(3, name='frame.jpg'), 9, r"video 9: file_names: 'a/frame.jpg' has no frame number"),
        (video(3, name='{}_of_7.jpg'), 9, 'two names have the same last number'),
    ],
)
def test_bad_source_numbers(source, max_gap, message):
    with pytest.raises(ValueError, match=message):
        SampleFramePair(max_gap, gap_unit='source')(dict(source, key_frame_id=1))


@pytest.mark.parametrize(
    'kwargs', [dict(max_gap=0), dict(gap_unit='seconds'), dict(num_support=-1), dict(max_support_gap=0)]
)
def test_bad_arguments(kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        SampleFramePair(**kwargs)


def supports(source: dict, key: int, count: int, gap: int, draws: int = 300, **kwargs) -> list[list[int]]:
    """Frame numbers of many samples."""
    np.random.seed(0)
    transform = SampleFramePair(num_support=count, max_support_gap=gap, **kwargs)
    return [transform(dict(copy.deepcopy(source), key_frame_id=key))['frame_id'] for _ in range(draws)]


def test_support_frames_follow_the_pair_before_and_after_in_turn():
    seen = Counter()
    for t, other, *near in supports(video(40), 20, count=2, gap=3, max_gap=5):
        assert len(near) == 4 and t == 20 and 0 < abs(other - t) <= 5
        for frame, (before, after) in ((t, near[:2]), (other, near[2:])):
            assert 1 <= frame - before <= 3 and 1 <= after - frame <= 3
            seen.update((before - frame, after - frame))
    assert set(seen) == {-3, -2, -1, 1, 2, 3}
    assert all(abs(n - 200) < 4.5 * np.sqrt(200) for n in seen.values())  # 600 on each side, uniform


def test_more_support_frames_on_a_side_are_distinct_where_there_are_enough():
    for t, _, *near in supports(video(40), 20, count=5, gap=3, draws=50):
        assert sorted(near[0:5:2]) == [t - 3, t - 2, t - 1]  # three before
        assert len(set(near[1:5:2])) == 2 and all(t < frame <= t + 3 for frame in near[1:5:2])
    for t, _, *near in supports(video(40), 1, count=4, gap=3, draws=50):
        assert near[0] == near[2] == 0 and len({near[1], near[3]}) == 2 and t == 1


@pytest.mark.parametrize('length,key,expected', [(6, 0, {0}), (6, 5, {3, 4}), (1, 0, {0})])
def test_support_frames_at_the_ends_of_a_video(length, key, expected):
    """A side without frames gives the frame itself."""
    samples = supports(video(length), key, count=2, gap=2, draws=60)
    assert {before for _, _, before, *_ in samples} == expected
    afters = {after for _, _, _, after, *_ in samples}
    assert afters == ({1, 2} if length > 1 and key == 0 else {key})


def test_support_gaps_in_source_frames_and_the_nearest_frame_beyond_them():
    source = video(4)
    for image, name in zip(source['images'], ('1.jpg', '2.jpg', '9.jpg', '30.jpg'), strict=True):
        image['file_name'] = name
    kwargs = dict(max_gap=None, gap_unit='source')
    assert {tuple(s[2:4]) for s in supports(source, 1, 2, 7, **kwargs)} == {(0, 2)}
    assert {tuple(s[2:4]) for s in supports(source, 2, 2, 8, **kwargs)} == {(0, 3), (1, 3)}  # 30 is beyond 9 + 8


def test_support_frames_do_not_change_the_pair():
    for seed in range(10):
        np.random.seed(seed)
        pair = SampleFramePair(max_gap=4)(video(30))
        np.random.seed(seed)
        sample = SampleFramePair(max_gap=4, num_support=2)(video(30))
        assert sample['frame_id'][:2] == pair['frame_id'] and len(sample['frame_id']) == 6
        assert sample['key_frame_flags'] == [True, False, False, False, False, False]
        assert sample['ori_video_length'] == [30] * 6


def test_support_frames_without_objects_go_through_the_whole_pipeline():
    """Nothing is dropped, and all frames show the same part of the picture."""
    objects = (*OBJECTS, {}, OBJECTS[0], {}, {})
    pack = TRANSFORMS.build(dict(type='PackTrackInputs'))
    for seed in range(4):
        frames = transformed([CHOICE, FLIP, RANGE, FILTER], seed, objects)
        sample = pack(
            dict(
                {key: [f[key] for f in frames] for key in frames[0]},
                img_id=[*range(6)],
                key_frame_flags=[True] + 5 * [False],
            )
        )
        assert sample['inputs'].shape[0] == len(sample['data_samples']) == 6
        assert sample['data_samples'].key_frames_inds == [0]
        for frame in frames[1:]:
            np.testing.assert_array_equal(frame['img'][..., 1:], frames[0]['img'][..., 1:])


FLIP = dict(type='RandomFlip', prob=0.5)
RESIZE = dict(type='RandomResize', scale=[(400, 40), (400, 150)], resize_type='mmdet.Resize', keep_ratio=True)
CHOICE = dict(type='RandomChoiceResize', scales=[(400, 40), (400, 70), (400, 150)], keep_ratio=True)
CROP = dict(type='RandomCrop', crop_size=(50, 30), allow_negative_crop=True, recompute_bbox=True)
RANGE = dict(CROP, crop_size=(0.3, 0.3), crop_type='relative_range')
FILTER = dict(type='FilterVideoAnnotations')

#: Objects of the two frames by id: 1 moves, 2 is in the first frame only, 3 in the second; 4 touches a corner.
OBJECTS = (
    {1: rectangle(5, 8, 24, 16), 2: rectangle(50, 30, 14, 12), 4: rectangle(70, 40, 20, 20)},
    {1: rectangle(30, 14, 24, 16), 3: rectangle(2, 36, 12, 9), 4: rectangle(68, 40, 20, 20)},
)


def frame(number: int, objects: dict[int, np.ndarray]) -> dict:
    """A loaded frame whose red and green channels say where each pixel comes from."""
    masks = np.array(list(objects.values()), np.uint8).reshape(-1, HEIGHT, WIDTH)
    boxes = [[m.any(0).argmax(), m.any(1).argmax(), *(np.argwhere(m).max(0) + 1)[::-1]] for m in masks]
    return dict(
        img=coordinate_image(number),
        img_shape=(HEIGHT, WIDTH),
        ori_shape=(HEIGHT, WIDTH),
        gt_bboxes=np.array(boxes, np.float32).reshape(-1, 4),
        gt_bboxes_labels=np.array([i % 3 for i in objects], np.int64),
        gt_instances_ids=np.array(list(objects), np.int32),
        gt_ignore_flags=np.zeros(len(objects), bool),
        gt_masks=BitmapMasks(masks, HEIGHT, WIDTH),
    )


def transformed(transforms: list[dict], seed: int, objects=OBJECTS) -> list[dict]:
    """All frames after the transforms, with one draw of random numbers."""
    broadcaster = TRANSFORMS.build(
        dict(type='TransformBroadcaster', share_random_params=True, transforms=transforms)
    )
    frames = [frame(t, o) for t, o in enumerate(objects)]
    np.random.seed(seed)
    results = broadcaster({key: [f[key] for f in frames] for key in frames[0]})
    return [{key: value[t] for key, value in results.items()} for t in range(len(objects))]


def sources(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The (x, y) each pixel came from."""
    return image[..., 2] / 3, image[..., 1] / 3


@pytest.mark.parametrize(
    'transforms',
    [[FLIP], [RESIZE], [CHOICE], [CROP], [RANGE], [CHOICE, FLIP, RANGE]],
    ids=['flip', 'resize', 'choice-resize', 'crop', 'crop-range', 'all'],
)
def test_both_frames_show_the_same_part_of_the_picture(transforms):
    seen = set()
    for seed in range(12):
        first, second = transformed(transforms, seed)
        assert first['img_shape'] == second['img_shape'] == first['img'].shape[:2]
        np.testing.assert_array_equal(first['img'][..., 1:], second['img'][..., 1:])
        seen.add((first['img'].shape, first['img'][0, 0].tobytes(), first['img'][-1, -1].tobytes()))
    assert len(seen) > 1  # and not always the same part


@pytest.mark.parametrize('transforms', [[FLIP], [CROP, FILTER], [FLIP, RANGE, FILTER]])
def test_masks_boxes_ids_and_labels_follow_the_picture_exactly(transforms):
    lost = 0
    for seed in range(25):
        for result, objects in zip(transformed(transforms, seed), OBJECTS, strict=True):
            x, y = (np.rint(c).astype(int) for c in sources(result['img']))
            expected = {i: mask[y, x] for i, mask in objects.items() if mask[y, x].any()}
            lost += len(objects) - len(expected)
            assert result['gt_instances_ids'].tolist() == list(expected)
            assert result['gt_bboxes_labels'].tolist() == [i % 3 for i in expected]
            assert result['gt_masks'].masks.shape == (len(expected), *result['img_shape'])
            for mask, box, wanted in zip(
                result['gt_masks'].masks, result['gt_bboxes'], expected.values(), strict=True
            ):
                np.testing.assert_array_equal(mask, wanted)
                rows, columns = np.flatnonzero(wanted.any(1)), np.flatnonzero(wanted.any(0))
                np.testing.assert_allclose(box, [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], atol=1e-4)
    assert (lost > 0) == (FILTER in transforms)  # crops did cut objects off


def test_masks_and_boxes_follow_a_resize():
    for seed in range(8):
        for result, objects in zip(transformed([RESIZE], seed), OBJECTS, strict=True):
            height, width = result['img_shape']
            scale = min(height / HEIGHT, width / WIDTH)
            assert 40 <= height <= 150 and abs(width / WIDTH - height / HEIGHT) < 0.02 * scale
            x, y = (c.round().astype(int) for c in sources(result['img']))
            for mask, box, original in zip(
                result['gt_masks'].masks, result['gt_bboxes'], objects.values(), strict=True
            ):
                wanted = original[y, x]
                assert (mask & wanted).sum() / (mask | wanted).sum() > 0.75  # the border may be a pixel off
                rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
                np.testing.assert_allclose(
                    box, [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], atol=1.5 + scale / 2
                )


@pytest.mark.parametrize('objects', [({}, {}), (OBJECTS[0], {}), ({}, OBJECTS[1])])
def test_frames_without_objects_pass_through(objects):
    pack = TRANSFORMS.build(dict(type='PackTrackInputs'))
    results = transformed([CHOICE, FLIP, RANGE, FILTER], 3, objects)
    sample = pack(dict({key: [r[key] for r in results] for key in results[0]}, img_id=[0, 1]))
    for packed, given in zip(sample['data_samples'], objects, strict=True):
        instances = packed.gt_instances
        count = len(instances.labels)
        assert count == 0 if not given else count <= len(given)
        assert instances.bboxes.shape == (count, 4) and instances.instances_ids.shape == (count,)
        assert instances.masks.masks.shape == (count, *sample['inputs'].shape[-2:])
        assert packed.ignored_instances.bboxes.shape == (0, 4)


def test_an_empty_frame_is_loaded_with_empty_arrays():
    load = TRANSFORMS.build(dict(type='LoadVideoAnnotations'))
    results = load(
        dict(img_path='a.png', video_id=1, frame_id=0, height=6, width=8, ori_shape=(6, 8), instances=[])
    )
    assert results['gt_bboxes'].shape == (0, 4) and results['gt_bboxes'].dtype == np.float32
    assert results['gt_bboxes_labels'].shape == results['gt_instances_ids'].shape == (0,)
    assert results['gt_ignore_flags'].shape == (0,) and results['gt_masks'].masks.shape == (0, 6, 8)


def test_filtering_by_mask_and_by_box():
    results = frame(0, OBJECTS[0])
    results['gt_masks'].masks[1] = 0
    results['gt_masks'].masks[2, :, 1:] = 0
    assert FilterVideoAnnotations()(copy.deepcopy(results))['gt_instances_ids'].tolist() == [1]
    assert FilterVideoAnnotations(min_mask_area=0)(copy.deepcopy(results))['gt_instances_ids'].tolist() == [
        1,
        2,
        4,
    ]
    kept = FilterVideoAnnotations(min_mask_area=0, min_box_side=11)(results)
    assert kept['gt_instances_ids'].tolist() == [1, 2]
    assert kept['gt_bboxes_labels'].tolist() == [1, 2] and len(kept['gt_masks']) == 2
