"""A training on videos and still images together: boxes without masks and unknown classes among them."""

from __future__ import annotations

import json
from copy import deepcopy
from unittest import mock

import numpy as np
import pytest
import torch

from maskprop.engine.runs import train as run_train
from maskprop.models.video_mask_rcnn import VideoMaskRCNN
from tests.engine.tiny_config import MASKPROP, quick_runs, tiny_config
from tests.helpers import write_tiny_ytvis

pytestmark = pytest.mark.slow

LOAD = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadVideoAnnotations'),
    dict(type='Resize', scale=(96, 64), keep_ratio=True),
]
FINISH = [
    dict(type='TransformBroadcaster', share_random_params=True, transforms=[dict(type='RandomFlip', prob=0.5)]),
    dict(type='TransformBroadcaster', transforms=[dict(type='FilterVideoAnnotations', min_mask_area=8)]),
    dict(type='PackTrackInputs'),
]
WARPS = [dict(type='RandomPerspectiveAffine')]


def pairs(*warps: dict) -> list[dict]:
    moved = dict(type='TransformBroadcaster', share_random_params=False, transforms=[*LOAD, *warps])
    return [dict(type='SampleFramePair', max_gap=2), moved, *FINISH]


def write_stills(root) -> None:
    """A frame of each video as a still; two of three objects have a box only, one image unknown classes."""
    content = json.loads((root / 'annotations/train.json').read_text())
    for video in content['videos']:
        video.update(file_names=video['file_names'][1:2], length=1)
    content['videos'][0]['unknown_categories'] = [content['categories'][-1]['id']]
    for number, annotation in enumerate(content['annotations']):
        for key in ('segmentations', 'bboxes', 'areas'):
            annotation[key] = annotation[key][1:2]
        if number % 3 and annotation['bboxes'][0] is not None:
            annotation.update(box_only=True, segmentations=[None])
    (root / 'annotations/stills.json').write_text(json.dumps(content))


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = write_tiny_ytvis(tmp_path_factory.mktemp('tiny'), videos=6, frames=5, size=(64, 96))
    write_stills(root)
    return root


def train(root, work_dir, masks: bool) -> list[list[bool]]:
    """An epoch of six steps, videos and stills two to one; which objects of each first frame have masks."""
    cfg = tiny_config(root, work_dir, MASKPROP, train_cfg__max_epochs=1)
    videos = cfg.train_dataloader.dataset.to_dict()
    videos['pipeline'] = pairs()
    stills = dict(deepcopy(videos), ann_file='annotations/stills.json', pipeline=pairs(*WARPS), need_masks=masks)
    cfg.train_dataloader = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(
            type='MixedFrameSampler',
            parts=[dict(weight=1), dict(weight=0.5, repeat_threshold=0.1)],
            samples_per_epoch=12,
        ),
        dataset=dict(type='ConcatVideoDataset', datasets=[videos, stills]),
    )
    cfg.update(val_cfg=None, val_dataloader=None, val_evaluator=None)
    cfg.dump(str(work_dir / 'config.py'))
    seen, loss = [], VideoMaskRCNN.loss

    def spying_loss(self, inputs, data_samples, **kwargs):
        firsts = [sample.video_data_samples[0].gt_instances for sample in data_samples]
        seen.extend(instances.mask_valid.tolist() for instances in firsts if 'mask_valid' in instances)
        return loss(self, inputs, data_samples, **kwargs)

    with quick_runs(), mock.patch.object(VideoMaskRCNN, 'loss', spying_loss):
        runner = run_train(work_dir / 'config.py', work_dir=work_dir / 'run', seed=1)
    assert runner.iter == 6
    for key in ('loss_mask', 'loss_prop', 'loss_bbox'):
        values = [np.asarray(h.data[0]) for name, h in runner.message_hub.log_scalars.items() if key in name]
        assert values and all(np.isfinite(v).all() for v in values), key
    assert all(torch.isfinite(value).all() for value in runner.model.state_dict().values())
    return seen


@pytest.mark.parametrize('masks', [False, True])
def test_videos_and_stills_train_together(root, tmp_path, masks):
    """With boxes alone (``masks`` False takes all stills), and with those stills only that have masks."""
    masked = train(root, tmp_path, masks)
    assert any(all(objects) for objects in masked)
    assert any(not any(objects) for objects in masked) is not masks
