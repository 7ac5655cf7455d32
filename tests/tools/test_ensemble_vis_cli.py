"""EnsembleVIS's last training, on the weights of the other parts, and the test of the whole."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch
from mmengine.config import Config

import maskprop

maskprop.register_all()

from mmdet.registry import MODELS  # noqa: E402

from maskprop.engine.checkpoint import load_checkpoint_file  # noqa: E402
from maskprop.engine.num_classes import fit_num_classes  # noqa: E402
from tests.engine.tiny_config import quick_runs, tiny_config  # noqa: E402
from tests.helpers import write_tiny_ytvis  # noqa: E402

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/ensemble_vis/ensemble_vis_tiny_synthetic.py'
CLASSES = 3
NETS = ('reid_head', 'classification_head')


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    return write_tiny_ytvis(tmp_path_factory.mktemp('set'), videos=2, frames=3)


def run_tool(name: str, *args: str) -> str | None:
    """The exit code of a tool if it fails, or None."""
    with mock.patch.object(sys, 'argv', [name, *args]), quick_runs():
        try:
            runpy.run_path(str(ROOT / 'tools' / name), run_name='__main__')
        except SystemExit as error:
            return error.code and str(error.code)


def write_config(root: Path, folder: Path) -> Config:
    """The config on the tiny set, for two steps, and the detector that it begins with, of random weights."""
    cfg = tiny_config(
        root,
        folder / 'work',
        file=CONFIG,
        train_dataloader__batch_size=2,
        train_dataloader__sampler__samples_per_epoch=4,
        train_cfg__max_epochs=1,
        train_cfg__val_interval=9,
        model__detector__test_cfg__rcnn__score_thr=0.0,
        model__detector__test_cfg__rcnn__max_per_img=3,
        model__refinement_head__patch_size=32,
        model__classification_head__net__head__num_classes=CLASSES + 1,
        load_from=str(folder / 'detector.pth'),
    )
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.frame_stride = 1
        loader.dataset.data_prefix.img_path = f'{"train" if split == "train" else "val"}/JPEGImages'
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        evaluator.frame_stride = 1
    cfg.pop('experiment_name')
    fit_num_classes(cfg.model, CLASSES)
    detector = MODELS.build(cfg.model).detector.state_dict()
    torch.save({f'detector.{key}': value for key, value in detector.items()}, cfg.load_from)
    cfg.dump(str(folder / 'config.py'))
    return cfg


def test_trains_and_tests(root, tmp_path, capsys):
    cfg, config = write_config(root, tmp_path), str(tmp_path / 'config.py')
    assert run_tool('train.py', config)
    assert 'no such file; train the net first' in capsys.readouterr().err
    for head in NETS:
        file = str(tmp_path / f'{head}.pth')
        torch.manual_seed(1)
        torch.save(dict(state_dict=MODELS.build({**cfg.model[head].net, 'init_cfg': None}).state_dict()), file)
        cfg.model[head].net.init_cfg.checkpoint = file
    cfg.dump(config)
    assert run_tool('train.py', config) is None

    checkpoint = tmp_path / 'work/epoch_1.pth'
    weights = load_checkpoint_file(checkpoint)['state_dict']
    for head in NETS:
        own = load_checkpoint_file(tmp_path / f'{head}.pth')['state_dict']
        assert all(weights[f'{head}.net.{key}'].equal(value) for key, value in own.items()), 'loaded, and frozen'
    out = tmp_path / 'results.json'
    assert run_tool('test.py', config, str(checkpoint), '--out', str(out), '--work-dir', str(tmp_path)) is None
    tracks = json.loads(out.read_text())
    assert tracks and {len(track['segmentations']) for track in tracks} == {3}
    assert {track['category_id'] for track in tracks} == {1, 2, 4}, 'the classifier gives every class its share'
