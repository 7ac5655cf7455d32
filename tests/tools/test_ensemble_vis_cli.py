"""EnsembleVIS's four trainings in order, each from what the ones before it wrote, and the test of the whole."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from unittest import mock

import pytest
from mmengine.config import Config

import maskprop

maskprop.register_all()

from maskprop.engine.checkpoint import load_checkpoint_file  # noqa: E402
from tests.engine.tiny_config import quick_runs  # noqa: E402
from tests.helpers import write_tiny_ytvis  # noqa: E402

ROOT = Path(__file__).parents[2]
CLASSES = 3


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    return write_tiny_ytvis(tmp_path_factory.mktemp('set'), videos=6, frames=4)


def run_tool(name: str, *args: str) -> str | None:
    """The error of a tool, or None."""
    with mock.patch.object(sys, 'argv', [name, *args]), quick_runs():
        try:
            runpy.run_path(str(ROOT / 'tools' / name), run_name='__main__')
        except SystemExit as error:
            return error.code and str(error.code)


def write_config(part: str, root: Path, folder: Path) -> Config:
    """A config of EnsembleVIS on the tiny set, for very few steps."""
    cfg = Config.fromfile(str(ROOT / f'configs/ensemble_vis/ensemble_vis_{part}tiny_synthetic.py'))
    cfg.work_dir = str(folder / f'{part}work')
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.update(num_workers=0, persistent_workers=False)
        images = 'train' if split == 'train' else 'val'
        loader.dataset.update(
            data_root=f'{root}/', data_prefix=dict(img_path=f'{images}/JPEGImages'), frame_stride=1
        )
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        if evaluator.type == 'YTVISMetric':
            evaluator.update(ann_file=f'{root}/annotations/val.json', frame_stride=1)
    if part in ('reid_', 'classifier_'):
        cfg.train_cfg.update(max_iters=2, val_interval=9)
        cfg.default_hooks.checkpoint.interval = 2
        cfg.train_dataloader.dataset.update(
            triplet_sampler=part == 'reid_' and dict(num_ids=2, ins_per_id=2) or None
        )
    else:
        cfg.train_cfg.update(max_epochs=1, val_interval=9)
        cfg.train_dataloader.sampler.samples_per_epoch = 4
        cfg.model.detector.test_cfg.rcnn.update(score_thr=0.0, max_per_img=3)
    if part == 'classifier_':
        cfg.model.head.num_classes = CLASSES + 1
    return cfg


def train(cfg: Config, folder: Path) -> Path:
    path = folder / 'config.py'
    cfg.dump(str(path))
    assert run_tool('train.py', str(path)) is None
    return next(Path(cfg.work_dir).glob('*_[12].pth'))


def test_four_trainings_and_a_test(root, tmp_path, capsys):
    cfg = write_config('', root, tmp_path)
    heads = dict(reid_=cfg.model.reid_head, classifier_=cfg.model.classification_head)
    heads['classifier_'].net.head.num_classes = CLASSES + 1
    cfg.load_from = str(train(write_config('detector_', root, tmp_path), tmp_path))
    cfg.dump(str(tmp_path / 'early.py'))
    capsys.readouterr()
    assert run_tool('train.py', str(tmp_path / 'early.py'))
    assert 'no such file; train the net first' in capsys.readouterr().err
    for part, head in heads.items():
        head.net.init_cfg.checkpoint = str(train(write_config(part, root, tmp_path), tmp_path))
    checkpoint = train(cfg, tmp_path)

    weights = load_checkpoint_file(checkpoint)['state_dict']
    for part, head in (('reid_', 'reid_head'), ('classifier_', 'classification_head')):
        own = load_checkpoint_file(Path(heads[part].net.init_cfg.checkpoint))['state_dict']
        assert all(weights[f'{head}.net.{key}'].equal(value) for key, value in own.items()), 'loaded, and frozen'
    out = tmp_path / 'results.json'
    config = str(tmp_path / 'config.py')
    args = ('--out', str(out), '--work-dir', str(tmp_path))
    assert run_tool('test.py', config, str(checkpoint), *args) is None
    tracks = json.loads(out.read_text())
    assert tracks and {len(track['segmentations']) for track in tracks} == {4}
    labels = {track['category_id'] for track in tracks}
    assert labels == {1, 2, 4}, 'the classifier gives every class its share'
