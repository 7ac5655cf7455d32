"""The stages of configs/stills on the tiny set: what their samples are, and what they share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

import maskprop

maskprop.register_all()

from mmdet.registry import DATA_SAMPLERS, DATASETS  # noqa: E402

FOLDER = Path(__file__).parents[2] / 'configs/stills'
STAGES = sorted(FOLDER.glob('maskprop_*.py'))
ONE_FRAME = dict(frame_range=(0.0, 0.01))  # the first frame of each video: a still image


def on_tiny_set(cfg: Config, root: Path) -> tuple:
    """The stage's training set and sampler, on the first frames of the tiny set; videos are whole."""
    dataset = cfg.train_dataloader.dataset
    for part in dataset.get('datasets', [dataset]):
        still = {} if 'mini_train' in part.ann_file else ONE_FRAME
        part.update(data_root=str(root), ann_file='gt.json', data_prefix=dict(img_path='images'), **still)
        for transform in part.pipeline:
            for step in transform.get('transforms', ()):
                if step.type == 'RandomResize':
                    step.scale = [(160, 48), (160, 96)]
    cfg.train_dataloader.sampler.samples_per_epoch = 12
    built = DATASETS.build(dataset)
    return built, DATA_SAMPLERS.build(cfg.train_dataloader.sampler, default_args=dict(dataset=built, seed=0))


@pytest.mark.parametrize('path', STAGES, ids=lambda path: path.stem)
def test_samples_of_each_stage(path, tiny_set):
    cfg = Config.fromfile(path)
    dataset, sampler = on_tiny_set(cfg, tiny_set)
    requests = list(sampler)
    still_videos = set(range(len(dataset))) - (set(range(3)) if 'ytvis2019' in path.stem else set())
    for request in requests:
        sample = dataset[request]
        frames = 1 if '_s1_' in path.stem else 2
        assert len(sample['inputs']) == len(sample['data_samples']) == frames
        if frames == 2 and request.video in still_videos:
            first, second = (frame.metainfo for frame in sample['data_samples'].video_data_samples)
            assert first['img_path'] == second['img_path'] and first['img_shape'] == second['img_shape']
    if 'ytvis2019' in path.stem:
        assert {request.video in still_videos for request in requests} == {True, False}


@pytest.mark.parametrize('path', STAGES, ids=lambda path: path.stem)
def test_what_annotations_leave_open_is_no_background(path):
    detector = Config.fromfile(path).model.detector
    assigners = [detector.train_cfg.rpn.assigner, *(stage.assigner for stage in detector.train_cfg.rcnn)]
    assert len(assigners) == 4 and {assigner.ignore_iof_thr for assigner in assigners} == {0.5}
    assert detector.roi_head.semantic_head.loss_seg.loss_weight == 0


def test_schedules_are_those_of_the_docs():
    """Steps of 16 images, and stage S2 a quarter of stage V."""
    for name, steps in (('s1_coco', 90_000), ('s1_coco_openimages', 180_000)):
        cfg = Config.fromfile(FOLDER / f'maskprop_htc_r50_fpn_{name}.py')
        whole = cfg.train_cfg.max_epochs * cfg.train_dataloader.sampler.samples_per_epoch
        assert whole / cfg.auto_scale_lr.base_batch_size == steps
        assert cfg.optim_wrapper.optimizer.lr == 0.02
    pairs, videos = (
        Config.fromfile(FOLDER / f'maskprop_htc_r50_fpn_{name}.py')
        for name in ('s2_warps', '20e_ytvis2019_stills')
    )
    assert pairs.train_cfg.max_epochs * 4 == videos.train_cfg.max_epochs == 20
    assert pairs.optim_wrapper.paramwise_cfg.custom_keys.detector.lr_mult == 0.1
    assert not videos.optim_wrapper.paramwise_cfg
    for cfg in (pairs, videos):
        assert cfg.optim_wrapper.optimizer.lr == 0.008 and cfg.auto_scale_lr.base_batch_size == 64


def test_independent_warps_differ_and_flips_are_shared(tiny_set):
    """Without warps and blur the two frames of a still are the same: flips and sizes are shared."""
    cfg = Config.fromfile(FOLDER / 'maskprop_htc_r50_fpn_s2_warps.py')
    dataset, sampler = on_tiny_set(cfg, tiny_set)
    differ = [not np.array_equal(*dataset[request]['inputs']) for request in sampler]
    assert sum(differ) >= 10
    pipeline = cfg.train_dataloader.dataset.pipeline
    pipeline[1]['transforms'] = pipeline[1]['transforms'][:2]  # loading alone
    dataset, sampler = on_tiny_set(cfg, tiny_set)
    assert all(np.array_equal(*dataset[request]['inputs']) for request in sampler)
