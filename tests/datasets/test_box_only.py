"""Objects that have a box and no mask, and classes that an image is not annotated for, from file to sample."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

import maskprop

maskprop.register_all()

from mmdet.registry import DATASETS  # noqa: E402

from maskprop.datasets.samplers import FrameRequest  # noqa: E402
from maskprop.datasets.ytvis_json import AnnotationError, find_problems  # noqa: E402
from maskprop.evaluation import load_ground_truth  # noqa: E402
from maskprop.evaluation.validation import EvalInputError  # noqa: E402

WARPS = [
    dict(type='RandomPerspectiveAffine', prob=1.0),
    dict(type='RandomCrop', crop_size=(40, 60), allow_negative_crop=True, recompute_bbox=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='Resize', scale=(160, 96), keep_ratio=True),
    dict(type='FilterVideoAnnotations'),
]


def build(root, ann_file, warps=WARPS, **kwargs):
    load = [dict(type='LoadImageFromFile'), dict(type='LoadVideoAnnotations')]
    pipeline = [
        dict(type='SampleFramePair', max_gap=2),
        dict(type='TransformBroadcaster', transforms=[*load, *warps]),
        dict(type='PackTrackInputs'),
    ]
    return DATASETS.build(
        dict(
            type='YouTubeVISJsonDataset',
            data_root=str(root),
            ann_file=str(ann_file),
            data_prefix=dict(img_path='images'),
            pipeline=pipeline,
            **kwargs,
        )
    )


@pytest.fixture
def partial(gt):
    """Object 1 of video 1 (in all frames but 5 and 6) has boxes only, video 3 may show cats; cat is category 7."""
    gt['annotations'][0].update(box_only=True, segmentations=[None] * 8)
    gt['videos'][2]['unknown_categories'] = [7]
    return gt


def samples(dataset, video: int, frames: range) -> list:
    """All frames of some samples, by seeds."""
    found = []
    for frame in frames:
        track = dataset[FrameRequest(0, 0, frame, video, frame)]['data_samples']
        found += track.video_data_samples
    return found


def test_boxes_move_like_those_of_masks_and_masks_are_marked(tiny_set, write, gt, partial):
    """A box goes through warp, crop, flip and resize as the rectangle that the object is does."""
    with_boxes = build(tiny_set, write(partial))
    full = copy.deepcopy(partial)
    first = full['annotations'][0]
    del first['box_only']
    boxes = [box or [0, 0, 0, 0] for box in first['bboxes']]
    first['segmentations'] = [[[x, y, x + w, y, x + w, y + h, x, y + h]] if w else None for x, y, w, h in boxes]
    with_masks = build(tiny_set, write(full, 'full.json'))
    marked = 0
    for found, expected in zip(samples(with_boxes, 0, range(8)), samples(with_masks, 0, range(8)), strict=True):
        found, expected = found.gt_instances, expected.gt_instances
        assert found.instances_ids.tolist() == expected.instances_ids.tolist()
        assert torch.equal(found.bboxes, expected.bboxes) and torch.equal(found.labels, expected.labels)
        assert found.mask_valid.dtype == torch.bool
        assert found.mask_valid.tolist() == [i != 1 for i in found.instances_ids.tolist()]
        masks = expected.masks.masks.copy()
        masks[~found.mask_valid.numpy()] = 0
        assert np.array_equal(found.masks.masks, masks)
        marked += int((~found.mask_valid).sum())
    assert marked > 8
    assert 'mask_valid' in samples(with_boxes, 1, range(1))[0].gt_instances  # in all samples of such a set


def test_a_set_with_all_masks_and_classes_is_not_marked(tiny_set):
    sample = samples(build(tiny_set, 'gt.json'), 0, range(1))[0]
    assert 'mask_valid' not in sample.gt_instances and 'unknown_labels' not in sample.metainfo


def test_key_frames(tiny_set, write, partial):
    dataset = build(tiny_set, write(partial))
    assert dataset.key_frames()[0] == [0, 1, 2, 3, 4, 5, 7]
    assert build(tiny_set, write(partial), need_masks=True).key_frames()[0] == [3, 4, 5]
    labels = dataset.key_frame_labels()  # by id of the category: dog, bird, cat
    assert labels[0] == [{2}, {2}, {2}, {0, 2}, {0, 2}, {0}, {2}] and labels[1] == [{1}]
    for annotation in partial['annotations'][1:]:
        annotation.update(box_only=True, segmentations=[None] * len(annotation['segmentations']))
    with pytest.raises(AnnotationError, match='nothing to train on; need_masks=True leaves out objects'):
        build(tiny_set, write(partial, 'none.json'), need_masks=True)


def test_unknown_classes_are_labels_in_the_frames(tiny_set, write, partial):
    dataset = build(tiny_set, write(partial))
    assert [frame.metainfo['unknown_labels'] for frame in samples(dataset, 1, range(1))] == [[2], [2]]
    assert samples(dataset, 0, range(1))[0].metainfo['unknown_labels'] == []


def test_in_test_mode_objects_without_masks_are_left_out(tiny_set, write, partial):
    dataset = build(tiny_set, write(partial), test_mode=True)
    ids = {o['instance_id'] for image in dataset.get_data_info(0)['images'] for o in image['instances']}
    assert ids == {2, 3}


def test_checks_take_boxes_without_masks_and_video_ap_refuses_them(write, partial):
    path = write(partial)
    assert [p for p in find_problems(path) if p.severity == 'error'] == []
    with pytest.raises(EvalInputError, match=r'annotations\[0\] \(id 1\): "box_only": an object without masks'):
        load_ground_truth(path)
