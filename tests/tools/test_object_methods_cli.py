"""FEELVOS's and OSMN's tiny configs through tools/train.py and tools/test.py, on a tiny set."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from unittest import mock

import pytest

import maskprop

maskprop.register_all()

from tests.engine.tiny_config import quick_runs, tiny_config  # noqa: E402
from tests.helpers import write_tiny_ytvis  # noqa: E402

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs'


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    return write_tiny_ytvis(tmp_path_factory.mktemp('set'), frames=4)


def run_tool(name: str, *args: str) -> None:
    with mock.patch.object(sys, 'argv', [name, *args]), quick_runs():
        try:
            runpy.run_path(str(ROOT / 'tools' / name), run_name='__main__')
        except SystemExit as error:
            assert not error.code, error.code


def write_config(file: str, root: Path, folder: Path) -> str:
    cfg = tiny_config(
        root,
        folder / 'work',
        file=CONFIGS / file,
        train_dataloader__num_workers=0,
        train_dataloader__persistent_workers=False,
        train_dataloader__batch_size=2,
        train_dataloader__sampler__samples_per_epoch=4,
        train_cfg__max_epochs=1,
        train_cfg__val_interval=9,
        model__detector__test_cfg__rcnn__score_thr=0.0,
        model__detector__test_cfg__rcnn__max_per_img=3,
    )
    for split in ('train', 'val', 'test'):
        cfg[
            f'{split}_dataloader'
        ].dataset.data_prefix.img_path = f'{"train" if split == "train" else "val"}/JPEGImages'
        cfg[f'{split}_dataloader'].dataset.frame_stride = 1
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        evaluator.frame_stride = 1
    cfg.pop('experiment_name')
    path = folder / 'config.py'
    cfg.dump(str(path))
    return str(path)


@pytest.mark.parametrize('file', ['feelvos/feelvos_tiny_synthetic.py', 'osmn/osmn_tiny_synthetic.py'])
def test_trains_and_tests(file, root, tmp_path, capsys):
    config = write_config(file, root, tmp_path)
    run_tool('train.py', config)
    (checkpoint,) = (tmp_path / 'work').glob('epoch_1.pth')
    results = tmp_path / 'results.json'
    run_tool('test.py', config, str(checkpoint), '--out', str(results), '--work-dir', str(tmp_path))
    tracks = json.loads(results.read_text())
    assert tracks and {len(track['segmentations']) for track in tracks} == {4}
    printed = capsys.readouterr()
    assert 'AP75' in printed.out + printed.err
