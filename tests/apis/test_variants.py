"""Variants on shared detections equal the model run alone; propagation quality of a head that copies."""

from __future__ import annotations

import weakref
from pathlib import Path

import pytest
import torch

import maskprop
from maskprop.apis import inference_video, init_model
from maskprop.apis.propagation_quality import propagation_quality
from maskprop.apis.variants import run_variants
from maskprop.engine.config import ConfigError
from tests.apis.fake_video_model import ColourModel
from tests.engine.tiny_config import MASKPROP, tiny_config
from tests.helpers import write_tiny_ytvis

COPYING = dict(mask_channel=True, copy_gain=10.0)


@pytest.fixture(scope='module')
def setting(tmp_path_factory):
    """A model of random weights that copies masks, and the tiny set."""
    maskprop.register_all()
    from mmdet.registry import DATASETS

    root = write_tiny_ytvis(tmp_path_factory.mktemp('tiny'), videos=2, frames=7, size=(50, 70))
    rcnn = 'model__detector__test_cfg__rcnn'
    head = {f'model__propagation_head__{key}': value for key, value in COPYING.items()}
    options = {f'{rcnn}__score_thr': 0.0, f'{rcnn}__max_per_img': 4, **head}
    cfg = tiny_config(root, tmp_path_factory.mktemp('work'), MASKPROP, **options)
    torch.manual_seed(0)
    model = init_model(cfg, device='cpu')
    model.init_weights()
    return model, DATASETS.build(cfg.test_dataloader.dataset)


@pytest.mark.slow
def test_variants_equal_the_model_alone(setting):
    model, dataset = setting
    variants = dict(plain={}, filled=dict(fill=True, clip_radius=1), boxes=dict(linker=dict(type='BoxIoULinker')))
    found = run_variants(model, dataset, variants, frame_strides=(1, 3))
    assert set(found) == {(name, stride) for name in variants for stride in (1, 3)}
    for stride in (1, 3):
        expected = []
        for video in range(len(dataset)):
            info = dataset.get_data_info(video)
            folder = Path(info['images'][0]['img_path']).parent
            expected += inference_video(model, folder, frame_stride=stride, video_id=info['video_id'])
        assert found['plain', stride] == expected
    assert found['boxes', 1] != found['plain', 1]


def test_labels_must_mean_the_same_to_model_and_set(setting, monkeypatch):
    """YouTube-VIS 2019 and 2021 have 40 classes each, in other orders."""
    model, dataset = setting
    classes = model.dataset_meta['classes']
    monkeypatch.setattr(model, 'dataset_meta', {**model.dataset_meta, 'classes': classes[::-1]})
    boxes = dict(boxes=dict(linker=dict(type='BoxIoULinker')))
    with pytest.raises(ConfigError, match='the model was trained on the classes .*: take a test set with'):
        run_variants(model, dataset, boxes)
    run_variants(model, dataset, boxes, ground_truth=True)  # the labels are those of the annotations


def test_frames_are_kept_no_longer_than_the_streams_need_them(setting, monkeypatch):
    """Memory must not grow with the video: a linker without clips looks at one frame at a time."""
    model, dataset = setting
    encode, seen, alive = model.encode, [], []

    def counting_encode(*args, **kwargs):
        alive.append(sum(frame() is not None for frame in seen))
        frame = encode(*args, **kwargs)
        seen.append(weakref.ref(frame))
        return frame

    monkeypatch.setattr(model, 'encode', counting_encode)
    run_variants(model, dataset, dict(boxes=dict(linker=dict(type='BoxIoULinker'))), frame_strides=(1, 2))
    assert len(seen) == 14
    assert max(alive) <= 2


def test_a_copying_head_scores_as_copying(setting):
    """Still objects of the tiny set's stride: propagated and copied masks differ by no more than the cells."""
    model, dataset = setting
    quality = propagation_quality(model, dataset, gaps=(1, 2), every=1)
    assert set(quality) == {'propagated', 'copied', 'shifted'}
    for gap in (1, 2):
        assert abs(quality['propagated'][gap] - quality['copied'][gap]) < 0.15
        assert quality['shifted'][gap] > 0.95  # rectangles that move: a shift is all there is to know
        assert quality['copied'][gap] < quality['shifted'][gap]


def test_quality_gives_the_propagator_every_frame_between(setting, monkeypatch):
    """A chain of flows leads from frame to frame, whatever gaps are asked for and in which order."""
    model, dataset = setting
    seen, head = [], model.propagation_head

    class Spy:
        needs = head.needs

        def propagate(self, source, targets):
            seen.append(len(targets))
            return head.propagate(source, targets)

    expected = propagation_quality(model, dataset, gaps=(1, 2, 3), every=2)
    monkeypatch.setattr(model, '_propagator', Spy())
    found = propagation_quality(model, dataset, gaps=(3, 1), every=2)
    assert max(seen) == 3
    for gap in (1, 3):
        assert found['propagated'][gap] == expected['propagated'][gap]


def test_a_model_without_shared_detections_sees_every_frame_of_each_variant(setting, monkeypatch):
    """Its results are those of the model run alone; the annotations' detections are no use to it."""
    _, dataset = setting
    model = ColourModel()
    model.dataset_meta = dict(classes=dataset.metainfo['classes'], category_ids=dataset.metainfo['category_ids'])
    monkeypatch.setattr('maskprop.apis.variants.require_same_classes', lambda *_: None)
    started, start = [], model.start_video

    def start_video(delay=3):
        model.delay = delay
        started.append(start())
        return started[-1]

    monkeypatch.setattr(model, 'start_video', start_video)
    found = run_variants(model, dataset, dict(late={}, later=dict(delay=5)), frame_strides=(1, 3))
    assert [stream.seen for stream in started] == [7, 7, 3, 3] * len(dataset)
    assert found['late', 1] == found['later', 1]  # whenever a frame is final
    with pytest.raises(ConfigError, match='ColourModel takes no detections'):
        run_variants(model, dataset, dict(late={}), ground_truth=True)
