"""Crops of instances: every one of a hand-made file, the right pixels, batches of identities, a training step."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate

import maskprop

maskprop.register_all()

from mmdet.registry import MODELS  # noqa: E402

from maskprop.datasets.instance_crops import InstanceCropDataset  # noqa: E402
from maskprop.datasets.transforms import CropInstance  # noqa: E402
from maskprop.datasets.ytvis_json import AnnotationError  # noqa: E402
from tests.helpers import write_tiny_ytvis  # noqa: E402

TINY = 'configs/tracking_by_detection/reid_tiny_synthetic.py'


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_tiny_ytvis(tmp_path_factory.mktemp('crops'), videos=4)


def load(root, **keys) -> InstanceCropDataset:
    keys = {'pipeline': [], **keys}
    return InstanceCropDataset(
        ann_file=str(root / 'annotations/train.json'),
        data_prefix=dict(img_path=str(root / 'train/JPEGImages')),
        **keys,
    )


def boxes_in_file(root) -> dict[int, list[tuple[str, list[float]]]]:
    """(file, x1 y1 x2 y2) of every annotation's frames with a box, read with json alone."""
    content = json.loads((root / 'annotations/train.json').read_text())
    names = {video['id']: video['file_names'] for video in content['videos']}
    found = {}
    for annotation in content['annotations']:
        rows = zip(names[annotation['video_id']], annotation['bboxes'], strict=True)
        found[annotation['id']] = [(n, [b[0], b[1], b[0] + b[2], b[1] + b[3]]) for n, b in rows if b is not None]
    return found


def test_every_box_of_the_file_is_a_sample(root):
    dataset = load(root)
    found: dict[int, list] = {}
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        name = '/'.join(info['img_path'].split('/')[-2:])
        found.setdefault(int(info['gt_label']), []).append((name, info['bbox']))
    assert sorted(found) == list(range(len(found)))
    assert sorted(found.values()) == sorted(boxes_in_file(root).values())


def test_frames_crowds_and_small_boxes(root, tmp_path):
    every = load(root)
    assert 0 < len(load(root, frame_stride=2)) < len(every)
    content = json.loads((root / 'annotations/train.json').read_text())
    first = content['annotations'][0]
    first['iscrowd'] = 1
    (tmp_path / 'annotations').mkdir()
    (tmp_path / 'annotations/train.json').write_text(json.dumps(content))
    assert len(load(tmp_path)) == len(every) - sum(box is not None for box in first['bboxes'])
    small = [box for found in boxes_in_file(root).values() for _, box in found]
    kept = sum(min(x2 - x1, y2 - y1) >= 12 for x1, y1, x2, y2 in small)
    assert len(load(root, min_side=12)) == kept < len(every)
    with pytest.raises(AnnotationError, match='lower min_side'):
        load(root, min_side=1000).full_init()


def test_too_few_identities_for_a_sample_say_so(root):
    with pytest.raises(AnnotationError, match='num_ids'):
        load(root, triplet_sampler=dict(num_ids=100, ins_per_id=2)).full_init()


def test_crop_is_the_box_in_whole_pixels():
    image = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
    for box, expected in (
        ([3.7, 2.2, 9.9, 8.0], image[2:8, 3:9]),
        ([-5.0, -1.0, 4.0, 3.0], image[:3, :4]),
        ([28.5, 19.5, 40.0, 30.0], image[19:, 28:]),
        ([5.1, 5.1, 5.2, 5.2], image[5:6, 5:6]),
    ):
        found = CropInstance().transform(dict(img=image, bbox=box))
        assert np.array_equal(found['img'], expected)
        assert found['img_shape'] == expected.shape[:2]


def test_jitter_stays_within_its_share():
    image = np.zeros((100, 100, 3), dtype=np.uint8)
    np.random.seed(0)
    shapes = {
        CropInstance(jitter=0.1).transform(dict(img=image, bbox=[20, 20, 70, 60]))['img_shape'] for _ in range(200)
    }
    heights, widths = zip(*shapes, strict=True)
    assert 32 <= min(heights) < 36 and 44 < max(heights) <= 49
    assert 40 <= min(widths) < 45 and 55 < max(widths) <= 61
    with pytest.raises(ValueError, match='jitter'):
        CropInstance(jitter=0.5)


def test_configs_samples_and_a_training_step(root):
    """Identities in the samples are those of the pixels: each object of the tiny set has its category's colour."""
    cfg = Config.fromfile(TINY)
    torch.manual_seed(0)
    np.random.seed(0)
    options = dict(triplet_sampler=dict(num_ids=3, ins_per_id=4), pipeline=cfg.train_pipeline)
    dataset = load(root, **options)
    batch = pseudo_collate([dataset[0], dataset[3]])
    labels = torch.cat([sample.gt_label.label for sample in batch['data_samples']])
    assert [tuple(crops.shape) for crops in batch['inputs']] == [(12, 3, *cfg.crop_size)] * 2
    assert labels.view(2, 3, 4).eq(labels.view(2, 3, 4)[:, :, :1]).all()
    files = [path for sample in batch['data_samples'] for path in sample.img_path]
    own = {
        int(i['gt_label']): i['img_path'].split('/')[-2] for i in map(dataset.get_data_info, range(len(dataset)))
    }
    assert [path.split('/')[-2] for path in files] == [own[label] for label in labels.tolist()]
    net = MODELS.build(cfg.model).train()
    data = net.data_preprocessor(batch, True)
    loss, _ = net.parse_losses(net(**data, mode='loss'))
    loss.backward()
    assert torch.isfinite(loss)


def test_config_tests_by_crop(root):
    cfg = Config.fromfile(TINY)
    dataset = load(root, pipeline=cfg.test_pipeline)
    info = dataset.get_data_info(1)
    x1, y1, x2, y2 = (int(v) for v in info['bbox'])
    expected = cv2.resize(cv2.imread(info['img_path'])[y1:y2, x1:x2], cfg.crop_size[::-1])
    assert np.array_equal(dataset[1]['inputs'][0].permute(1, 2, 0).numpy(), expected)
    assert dataset[1]['data_samples'].gt_label.label.tolist() == [int(info['gt_label'])]
