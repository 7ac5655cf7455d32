"""The tiny config is trained, tested and run on a video, as the tools do."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from unittest import mock

import pytest
from mmengine.config import Config

import maskprop
from maskprop.apis import inference_video, init_model
from maskprop.engine.runs import test as run_test
from maskprop.engine.runs import train as run_train
from tests.engine.tiny_config import quick_runs
from tests.helpers import write_tiny_ytvis

ROOT = Path(__file__).parents[3]
TINY = ROOT / 'configs/stem_seg/stem_seg_tiny_synthetic.py'


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A set of videos, a config and a checkpoint of one epoch."""
    maskprop.register_all()
    folder = tmp_path_factory.mktemp('stem_seg')
    root = write_tiny_ytvis(folder / 'set', videos=2, frames=9, size=(96, 96))
    cfg = Config.fromfile(str(TINY))
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.update(data_root=f'{root}/', frame_stride=1, ann_file=f'annotations/{split}.json')
        dataset.data_prefix.img_path = f'{"train" if split == "train" else "val"}/JPEGImages'
    cfg.test_dataloader.dataset.ann_file = 'annotations/val.json'
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        evaluator.update(ann_file=f'{root}/annotations/val.json', frame_stride=1)
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.train_dataloader.sampler.samples_per_epoch = 2
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    # weights of one step: whatever is most foreground is an object
    cfg.model.clustering = dict(type='SeedClustering', min_seediness=0.0, max_clusters=3)
    cfg.dump(str(folder / 'config.py'))
    with quick_runs():
        runner = run_train(folder / 'config.py', work_dir=folder / 'run')
    return root, folder, runner


def test_trains_and_validates(trained):
    _, folder, runner = trained
    assert runner.iter == 1
    assert (folder / 'run/epoch_1.pth').is_file()
    assert runner.model.num_classes == 3


@pytest.mark.slow
def test_test_and_inference_agree(trained, capsys):
    root, folder, _ = trained
    checkpoint = folder / 'run/epoch_1.pth'
    with quick_runs():
        run_test(folder / 'config.py', checkpoint, work_dir=folder / 'test', out=folder / 'out.json')
    results = json.loads((folder / 'out.json').read_text())
    assert {result['video_id'] for result in results} <= {1, 2}
    model = init_model(folder / 'config.py', checkpoint, device='cpu')
    video = root / 'val/JPEGImages/0000'
    found = inference_video(model, video)
    keys = ('category_id', 'score', 'segmentations')
    expected = [[result[key] for key in keys] for result in results if result['video_id'] == 1]
    assert [[result[key] for key in keys] for result in found] == expected
    assert all(len(result['segmentations']) == 9 for result in found)
    tool, out = str(ROOT / 'tools/infer_video.py'), folder / 'infer'
    arguments = [str(folder / 'config.py'), str(checkpoint), str(video), '--out', str(out), '--device', 'cpu']
    with mock.patch.object(sys, 'argv', [tool, *arguments]):
        runpy.run_path(tool, run_name='__main__')
    assert json.loads((out / 'results.json').read_text()) == found
    assert (out / 'overlay.mp4').is_file()
