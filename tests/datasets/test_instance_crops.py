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
from maskprop.datasets.transforms import CropInstance, RandomGamma  # noqa: E402
from maskprop.datasets.ytvis_json import AnnotationError  # noqa: E402
from tests.helpers import write_tiny_ytvis  # noqa: E402

pytestmark = pytest.mark.slow

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


def test_context_enlarges_the_box_about_its_middle():
    image = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
    found = CropInstance(context=1.5).transform(dict(img=image, bbox=[8, 4, 16, 12]))
    assert np.array_equal(found['img'], image[2:14, 6:18])
    with pytest.raises(ValueError, match='context'):
        CropInstance(context=0)


@pytest.mark.parametrize('drawn', [-0.3, 0.02, 0.3])
def test_gamma_takes_what_is_below_a_half_to_as_much_above(drawn, monkeypatch):
    monkeypatch.setattr(np.random, 'uniform', lambda low, high: drawn if (low, high) == (-0.3, 0.3) else 0.0)
    below, above = (255 * (0.5 + sign * drawn / 2**0.5) for sign in (-1, 1))
    image = np.zeros((2, 3, 3), dtype=np.uint8)
    image[0, 0], image[1, 1] = round(below), 255
    found = RandomGamma(0.3).transform(dict(img=image.copy()))['img']
    assert found.dtype == np.uint8 and found[0, 0, 0] == pytest.approx(above, abs=2)
    assert np.array_equal(found[1], image[1]) and not found[0, 1:].any()
    assert np.array_equal(RandomGamma(0).transform(dict(img=image))['img'], image)
    with pytest.raises(ValueError, match='amount'):
        RandomGamma(0.5)


def test_categories_are_labels_and_false_detections_one_more(root):
    content = json.loads((root / 'annotations/train.json').read_text())
    numbers = {category['id']: label for label, category in enumerate(content['categories'])}
    expected = sorted(
        (f, box, numbers[a['category_id']])
        for a in content['annotations']
        for f, box in boxes_in_file(root)[a['id']]
    )

    def samples(**keys):
        dataset = load(root, label='category', **keys)
        found = map(dataset.get_data_info, range(len(dataset)))
        return [('/'.join(i['img_path'].split('/')[-2:]), list(i['bbox']), int(i['gt_label'])) for i in found]

    assert sorted(samples()) == expected
    both = samples(background=True)
    false = [sample for sample in both if sample[2] == len(numbers)]
    assert sorted(s for s in both if s not in false) == expected
    assert 5 < len(false) <= len({f for f, *_ in expected}) and both == samples(background=True)
    for name, (x1, y1, x2, y2), _ in false:
        assert 0 <= x1 < x2 <= 64 and 0 <= y1 < y2 <= 48
        for other, (a1, b1, a2, b2), _ in expected:
            if other == name:
                shared = max(min(x2, a2) - max(x1, a1), 0) * max(min(y2, b2) - max(y1, b1), 0)
                assert shared < 0.3 * ((x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - shared)
    for keys, message in ((dict(label='colour'), 'label'), (dict(background=True), 'label=')):
        with pytest.raises(ValueError, match=message):
            load(root, **keys)


@pytest.mark.parametrize('part', ['reid', 'classifier'])
def test_the_nets_of_ensemble_vis_make_a_step(part, root):
    cfg = Config.fromfile(f'configs/ensemble_vis/ensemble_vis_{part}_tiny_synthetic.py')
    torch.manual_seed(0)
    np.random.seed(0)
    keys = {k: v for k, v in cfg.train_dataloader.dataset.items() if k in ('label', 'background')}
    sampler = dict(num_ids=3, ins_per_id=4) if part == 'reid' else None
    dataset = load(root, triplet_sampler=sampler, pipeline=cfg.train_dataloader.dataset.pipeline, **keys)
    batch = pseudo_collate([dataset[i] for i in range(0, len(dataset), 1 + len(dataset) // 6)])
    net = MODELS.build(cfg.model).train()
    losses = net(**net.data_preprocessor(batch, True), mode='loss')
    loss, _ = net.parse_losses(losses)
    loss.backward()
    assert torch.isfinite(loss) and list(losses)[0] == dict(reid='triplet_loss', classifier='ce_loss')[part]
    assert all(p.grad is not None for p in net.parameters())
