"""--size: the sizes of frames in all pipelines."""

from __future__ import annotations

import argparse

import pytest
from mmengine.config import Config

from maskprop.engine.config import ConfigError
from maskprop.engine.size_option import Size, frame_size, use_size


def config(train: list[dict], test: list[dict], val: list[dict] | None = None) -> Config:
    broadcast = dict(type='TransformBroadcaster')
    pipelines = dict(train=train, val=val or test, test=test)
    return Config(
        {
            f'{split}_dataloader': dict(dataset=dict(pipeline=[dict(broadcast, transforms=steps)]))
            for split, steps in pipelines.items()
        }
    )


def steps(cfg: Config, split: str) -> list:
    return cfg[f'{split}_dataloader'].dataset.pipeline[0].transforms


def resize(*scale: int, kind: str = 'Resize') -> dict:
    return dict(type=kind, scale=scale, keep_ratio=True)


@pytest.mark.parametrize(
    'text, size', [('640x360', (640, 360)), ('360x640', (640, 360)), ('360p', (640, 360)), ('720p', (1280, 720))]
)
def test_sizes(text, size):
    assert frame_size(text) == size


@pytest.mark.parametrize('text', ['640', '640x', 'x360p', '15x90', '0p', '-640x360'])
def test_what_is_no_size(text):
    with pytest.raises(argparse.ArgumentTypeError, match='expected'):
        frame_size(text)


def test_all_sizes_keep_their_proportions():
    several = dict(type='RandomResize', scale=[(1333, 400), (1333, 800)], keep_ratio=True)
    choice = dict(type='mmdet.RandomChoiceResize', scales=[(400, 1333), (1333, 720)])
    either = dict(type='RandomChoice', transforms=[[resize(1333, 720)], [resize(2666, 1440)]])
    crop = dict(type='RandomCrop', crop_size=(360, 1000))
    share = dict(type='RandomCrop', crop_size=(0.5, 0.5), crop_type='relative_range')
    cfg = config([several, choice, either, crop, share, dict(type='RandomFlip')], [resize(1333, 720)])
    use_size(cfg, Size(640, 360))
    assert steps(cfg, 'val') == steps(cfg, 'test') == [resize(640, 360)]
    found = steps(cfg, 'train')
    assert found[0].scale == [(640, 200), (640, 400)]
    assert found[1].scales == [(200, 640), (640, 360)]
    assert [one[0].scale for one in found[2].transforms] == [(640, 360), (1280, 720)]
    assert found[3].crop_size == (180, 480) and found[4].crop_size == (0.5, 0.5)


def test_a_step_that_pipelines_share_is_changed_once():
    shared = resize(80, 60)
    cfg = config([shared], [shared])
    cfg.val_dataloader = cfg.test_dataloader
    cfg.train_dataloader.dataset.pipeline = cfg.test_dataloader.dataset.pipeline
    use_size(cfg, Size(160, 60))
    assert all(steps(cfg, split) == [resize(160, 60)] for split in ('train', 'val', 'test'))


def test_every_set_of_a_mixture_and_no_validation():
    cfg = config([resize(80, 60)], [resize(80, 60)])
    one = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(
        type='RepeatDataset', dataset=dict(type='Concat', datasets=[one, one.copy()])
    )
    cfg.val_dataloader = None
    use_size(cfg, Size(40, 30))
    datasets = cfg.train_dataloader.dataset.dataset.datasets
    assert [part.pipeline[0].transforms[0].scale for part in datasets] == [(40, 30)] * 2


@pytest.mark.parametrize(
    'train, test, val, message',
    [
        ([], [], None, 'found none'),
        ([], [resize(9, 8)], [resize(8, 9)], r'found sizes \[\(8, 9\), \(9, 8\)\]'),
        (
            [dict(type='Resize', scale_factor=2.0)],
            [resize(9, 8)],
            None,
            'train_dataloader has Resize, whose sizes',
        ),
        ([dict(type='CropInstance')], [resize(9, 8)], None, 'has CropInstance'),
        ([dict(type='FrameTrajectory')], [resize(9, 8)], None, 'has FrameTrajectory'),
    ],
)
def test_what_cannot_follow_is_refused(train, test, val, message):
    with pytest.raises(ConfigError, match=f'--size 64x36: .*{message}'):
        use_size(config(train, test, val), Size(64, 36))
