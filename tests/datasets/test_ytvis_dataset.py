from __future__ import annotations

import pickle
import random
import shutil

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

import maskprop

maskprop.register_all()

from mmdet.registry import DATASETS  # noqa: E402

from maskprop.datasets.rle import decode_mask  # noqa: E402
from maskprop.datasets.samplers import FrameRequest, SeededFrameSampler, VideoFrameSampler  # noqa: E402
from maskprop.datasets.ytvis_json import AnnotationError  # noqa: E402

TRAIN_PIPELINE = [
    dict(type='SampleFramePair', max_gap=3),
    dict(
        type='TransformBroadcaster',
        share_random_params=True,
        transforms=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadVideoAnnotations'),
            dict(type='RandomResize', scale=[(160, 48), (160, 96)], keep_ratio=True),
            dict(type='RandomFlip', prob=0.5),
            dict(type='RandomCrop', crop_size=(40, 40), allow_negative_crop=True, recompute_bbox=True),
            dict(type='FilterVideoAnnotations'),
        ],
    ),
    dict(type='PackTrackInputs'),
]
TEST_PIPELINE = [
    dict(
        type='TransformBroadcaster',
        transforms=[dict(type='LoadImageFromFile'), dict(type='Resize', scale=(160, 96), keep_ratio=True)],
    ),
    dict(type='PackTrackInputs'),
]


def build(root, ann_file='gt.json', **kwargs):
    cfg = dict(
        type='YouTubeVISJsonDataset',
        data_root=str(root),
        ann_file=str(ann_file),
        data_prefix=dict(img_path='images'),
        pipeline=TEST_PIPELINE if kwargs.get('test_mode') else TRAIN_PIPELINE,
    )
    return DATASETS.build({**cfg, **kwargs})


def test_classes_come_from_the_file_in_the_order_of_ids(tiny_set):
    dataset = build(tiny_set)
    assert dataset.metainfo['classes'] == ('dog', 'bird', 'cat')
    assert dataset.metainfo['category_ids'] == [2, 3, 7]
    labels = {
        instance['instance_id']: instance['bbox_label']
        for i in range(len(dataset))
        for image in dataset.get_data_info(i)['images']
        for instance in image['instances']
    }
    assert labels == {1: 2, 2: 0, 3: 1, 4: 1, 6: 0}


def test_given_classes_must_be_those_of_the_file(tiny_set):
    assert len(build(tiny_set, metainfo=dict(classes=('dog', 'bird', 'cat')))) == 3
    with pytest.raises(AnnotationError, match=r"gt.json: categories: the file has \['dog', 'bird', 'cat'\]"):
        build(tiny_set, metainfo=dict(classes=('cat', 'dog', 'bird')))


def test_data_of_a_video(tiny_set, gt):
    dataset = build(tiny_set)
    info = dataset.get_data_info(0)
    assert info['video_id'] == 1 and info['video_length'] == len(info['images']) == 8
    expected = {  # video 1: which annotations are seen in which frame
        t: [a['id'] for a in gt['annotations'][:3] if a['segmentations'][t] is not None] for t in range(8)
    }
    assert expected[6] == []
    for t, image in enumerate(info['images']):
        assert image['frame_id'] == t and image['video_id'] == 1 and (image['height'], image['width']) == (48, 80)
        assert (
            image['img_path'].endswith(f'images/v1/{5 * t:05d}.png')
            and image['file_name'] == f'v1/{5 * t:05d}.png'
        )
        assert [i['instance_id'] for i in image['instances']] == expected[t]
        for instance in image['instances']:
            annotation = gt['annotations'][instance['instance_id'] - 1]
            x, y, w, h = annotation['bboxes'][t]
            assert instance['bbox'] == [x, y, x + w, y + h]
            assert instance['ignore_flag'] == annotation['iscrowd']
            assert isinstance(instance['mask']['counts'], str)
            np.testing.assert_array_equal(
                decode_mask(instance['mask'], 48, 80), decode_mask(annotation['segmentations'][t], 48, 80)
            )
    images = [image['img_id'] for i in range(len(dataset)) for image in dataset.get_data_info(i)['images']]
    assert len(set(images)) == len(images)


@pytest.mark.parametrize('boxes', ['missing', None, [0, 0, 0, 0], [200, 200, 5, 5]])
def test_boxes_that_the_file_does_not_give_are_those_of_the_masks(tiny_set, gt, write, boxes):
    expected = gt['annotations'][0]['bboxes'][2]
    if boxes == 'missing':
        del gt['annotations'][0]['bboxes']
    else:
        gt['annotations'][0]['bboxes'][2] = boxes
    instance = build(tiny_set, write(gt)).get_data_info(0)['images'][2]['instances'][0]
    x, y, w, h = expected
    assert instance['bbox'] == [x, y, x + w, y + h]


def test_boxes_are_cut_at_the_border(tiny_set, gt, write):
    gt['annotations'][0]['bboxes'][2] = [-5, -5, 200, 20]
    assert build(tiny_set, write(gt)).get_data_info(0)['images'][2]['instances'][0]['bbox'] == [0, 0, 80, 15]


def test_instance_id_zero_stays_zero(tiny_set, gt, write):
    gt['annotations'][1]['id'] = 0
    dataset = build(tiny_set, write(gt))
    assert [i['instance_id'] for i in dataset.get_data_info(0)['images'][4]['instances']] == [1, 0]


def test_masks_without_a_pixel_count_as_absent(tiny_set, gt, write):
    gt['annotations'][0]['segmentations'][2] = dict(size=[48, 80], counts=[48 * 80])
    assert build(tiny_set, write(gt)).get_data_info(0)['images'][2]['instances'] == []


def test_training_drops_videos_without_objects_and_testing_none(tiny_set):
    training, testing = build(tiny_set), build(tiny_set, test_mode=True)
    assert [training.get_data_info(i)['video_id'] for i in range(len(training))] == [1, 3, 5]
    assert [testing.get_data_info(i)['video_id'] for i in range(len(testing))] == [1, 2, 3, 5]
    assert [len(frames) for frames in testing.key_frames()] == [8, 6, 1, 5]


def test_frames_without_objects_are_key_frames_only_if_asked(tiny_set):
    assert build(tiny_set).key_frames() == [[0, 1, 2, 3, 4, 5, 7], [0], [3, 4]]
    assert [len(frames) for frames in build(tiny_set, keep_empty_frames=True).key_frames()] == [8, 1, 5]


def test_videos_with_crowds_only_are_dropped(tiny_set, gt, write):
    for annotation in gt['annotations'][:3]:
        annotation['iscrowd'] = 1
    dataset = build(tiny_set, write(gt))
    assert [dataset.get_data_info(i)['video_id'] for i in range(len(dataset))] == [3, 5]


def test_training_without_annotations_is_one_clear_error(tiny_set, gt, write):
    with pytest.raises(AnnotationError, match=r'annotations: none in this file .*maskprop split'):
        build(tiny_set, 'unannotated.json')
    assert len(build(tiny_set, 'unannotated.json', test_mode=True)) == 4
    for annotation in gt['annotations']:
        annotation['iscrowd'] = 1
    with pytest.raises(AnnotationError, match='none with a mask and iscrowd 0'):
        build(tiny_set, write(gt))


def test_frame_stride_and_range(tiny_set):
    dataset = build(tiny_set, test_mode=True, frame_stride=2, frame_range=[0.5, 1])
    info = dataset.get_data_info(0)
    assert [image['file_name'] for image in info['images']] == ['v1/00020.png', 'v1/00030.png']
    assert [image['frame_id'] for image in info['images']] == [0, 1] and info['video_length'] == 2
    assert [[i['instance_id'] for i in image['instances']] for image in info['images']] == [[1, 2], []]
    with pytest.raises(ValueError, match='frame_stride'):
        build(tiny_set, frame_stride=0)


def test_a_test_frame(tiny_set):
    dataset = build(tiny_set, test_mode=True, frame_stride=2)
    sample = dataset[0, 3]
    assert sample['inputs'].shape == (1, 3, 96, 160) and sample['inputs'].dtype == torch.uint8
    meta = sample['data_samples'][0].metainfo
    assert (meta['video_id'], meta['frame_id'], meta['ori_video_length']) == (1, 3, 4)
    assert meta['ori_shape'] == (48, 80) and meta['img_shape'] == (96, 160) and meta['scale_factor'] == (2.0, 2.0)
    assert meta['img_path'].endswith('00030.png')
    assert dataset[1]['inputs'].shape == (3, 3, 96, 160)  # a whole video


def equal(a: dict, b: dict) -> bool:
    """Whether two training samples are the same."""
    if not torch.equal(a['inputs'], b['inputs']):
        return False
    for x, y in zip(a['data_samples'], b['data_samples'], strict=True):
        if x.img_path != y.img_path or not np.array_equal(x.gt_instances.masks.masks, y.gt_instances.masks.masks):
            return False
        if not torch.equal(x.gt_instances.bboxes, y.gt_instances.bboxes):
            return False
    return True


def test_a_training_pair(tiny_set):
    dataset = build(tiny_set)
    for position in range(20):
        sample = dataset[FrameRequest(0, 0, position, 0, 4)]
        key, other = sample['data_samples']
        assert sample['inputs'].shape[:2] == (2, 3)
        assert key.frame_id == 4 and other.frame_id != 4 and abs(other.frame_id - 4) <= 3
        for frame in (key, other):
            instances = frame.gt_instances
            count = len(instances)
            assert instances.bboxes.shape == (count, 4) and instances.labels.shape == (count,)
            assert instances.instances_ids.shape == (count,)
            assert instances.masks.masks.shape == (count, *sample['inputs'].shape[-2:])
            assert set(instances.instances_ids.tolist()) <= {1, 2}  # 3 is a crowd


def test_crowds_are_ignored_instances(tiny_set):
    pipeline = [TRAIN_PIPELINE[0], dict(TRAIN_PIPELINE[1], transforms=TRAIN_PIPELINE[1]['transforms'][:2])]
    dataset = build(tiny_set, pipeline=[*pipeline, TRAIN_PIPELINE[2]])
    key = dataset[FrameRequest(0, 0, 0, 0, 0)]['data_samples'][0]
    assert key.gt_instances.instances_ids.tolist() == [1]
    assert key.ignored_instances.instances_ids.tolist() == [3]
    assert key.ignored_instances.bboxes.tolist() == [[60, 2, 75, 11]]


def test_a_request_decides_the_sample_and_leaves_the_random_states(tiny_set):
    dataset = build(tiny_set)
    request = FrameRequest(3, 1, 17, 0, 2)
    first = dataset[request]
    before = random.getstate(), pickle.dumps(np.random.get_state()), torch.get_rng_state()
    random.random(), np.random.random(), torch.rand(1)
    moved = random.getstate(), pickle.dumps(np.random.get_state()), torch.get_rng_state()
    assert before[0] != moved[0]
    assert equal(first, dataset[request])
    assert random.getstate() == moved[0] and pickle.dumps(np.random.get_state()) == moved[1]
    assert torch.equal(torch.get_rng_state(), moved[2])
    others = [dataset[request._replace(**{field: 99})] for field in ('seed', 'epoch', 'position')]
    assert not any(equal(first, other) for other in others)


def test_samples_do_not_depend_on_the_number_of_workers(tiny_set):
    dataset = build(tiny_set)
    batches = []
    for workers in (0, 2):
        sampler = SeededFrameSampler(dataset, seed=5)
        sampler.set_epoch(2)
        loader = DataLoader(dataset, 1, sampler=sampler, num_workers=workers, collate_fn=pseudo_collate)
        batches.append(list(loader))
    assert len(batches[0]) == 10
    for a, b in zip(*batches, strict=True):
        a = dict(inputs=a['inputs'][0], data_samples=a['data_samples'][0])
        assert equal(a, dict(inputs=b['inputs'][0], data_samples=b['data_samples'][0]))


def test_test_frames_come_in_order_through_a_loader(tiny_set):
    dataset = build(tiny_set, test_mode=True, frame_stride=2)
    loader = DataLoader(dataset, 1, sampler=VideoFrameSampler(dataset), num_workers=2, collate_fn=pseudo_collate)
    seen = [(s['data_samples'][0][0].video_id, s['data_samples'][0][0].frame_id) for s in loader]
    assert seen == [(v, t) for v, n in ((1, 4), (2, 3), (3, 1), (5, 3)) for t in range(n)]


def test_a_random_key_frame_where_only_the_video_is_given(tiny_set):
    dataset = build(tiny_set)
    np.random.seed(0)
    keys = {dataset[0]['data_samples'][0].frame_id for _ in range(60)}
    assert len(keys) > 4


def test_an_image_of_another_size_is_named(tiny_set, gt, write):
    gt['videos'][2].update(width=40, height=40)
    gt['annotations'][3]['segmentations'][0] = [[10, 10, 30, 10, 30, 30, 10, 30]]
    dataset = build(tiny_set, write(gt))
    with pytest.raises(AnnotationError, match=r'v3/00000.png: video 3, frame 0: the image is 80 x 48, .* 40 x 40'):
        dataset[FrameRequest(0, 0, 0, 1, 0)]


@pytest.mark.parametrize('workers', [0, 1])
@pytest.mark.parametrize('kept', [0, 60])
def test_a_damaged_image_is_named(tiny_set, tmp_path, kept, workers):
    shutil.copytree(tiny_set, tmp_path / 'set')
    path = tmp_path / 'set/images/v1/00030.png'
    path.write_bytes(path.read_bytes()[:kept])
    dataset = build(tmp_path / 'set', test_mode=True, frame_stride=2)
    loader = DataLoader(dataset, 1, VideoFrameSampler(dataset), num_workers=workers, collate_fn=pseudo_collate)
    with pytest.raises(OSError, match='v1/00030.png: not an image that can be read: damaged, or of more'):
        list(loader)
