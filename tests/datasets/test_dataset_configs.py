from __future__ import annotations

import json
from pathlib import Path

import pytest
from mmengine.config import Config

import maskprop

maskprop.register_all()

from mmdet.registry import DATASETS  # noqa: E402

from maskprop.datasets.samplers import FrameRequest  # noqa: E402
from maskprop.datasets.splits import write_split  # noqa: E402
from tests.datasets.coordinate_set import tiny_gt  # noqa: E402

CONFIGS = Path(__file__).parents[2] / 'configs'
FOLDER = CONFIGS / '_base_/datasets'
YOUTUBE_VIS = ['youtube_vis_2019', 'youtube_vis_2021', 'youtube_vis_2022', 'ovis']


def sample(cfg: Config, split: str, root: Path, index: object) -> dict:
    dataset_cfg = cfg[f'{split}_dataloader'].dataset
    dataset_cfg.update(data_root=str(root), ann_file='gt.json', data_prefix=dict(img_path='images'))
    return DATASETS.build(dataset_cfg)[index]


@pytest.mark.slow
@pytest.mark.parametrize('name', ['youtube_vis_2019', 'custom_vis'])
def test_a_training_pair_has_the_sizes_of_the_paper(name, tiny_set):
    cfg = Config.fromfile(FOLDER / f'{name}.py')
    shorter = set()
    for position in range(4):
        pair = sample(cfg, 'train', tiny_set, FrameRequest(0, 0, position, 0, 4))
        frames, channels, height, width = pair['inputs'].shape
        assert (frames, channels) == (2, 3) and 400 <= min(height, width) <= 800 and max(height, width) <= 1333
        shorter.add(min(height, width))
        assert pair['data_samples'][0].frame_id == 4
        for image in pair['data_samples']:
            assert image.gt_instances.masks.masks.shape[1:] == (height, width)
            assert image.ori_shape == (48, 80) and image.img_shape == (height, width)
    assert len(shorter) > 1


def test_custom_vis_on_another_config_keeps_its_frame_stride(tmp_path):
    """The lines of custom_vis below the demo's config (docs/data.md): data and metric take the same frames."""
    lines = (FOLDER / 'custom_vis.py').read_text()
    (tmp_path / 'mine.py').write_text(
        f"_base_ = '{CONFIGS / 'demo/maskprop_tiny_synthetic.py'}'\n" + lines[lines.index('data_root =') :]
    )
    cfg = Config.fromfile(tmp_path / 'mine.py')
    for split in ('val', 'test'):
        dataset, evaluator = cfg[f'{split}_dataloader'].dataset, cfg[f'{split}_evaluator']
        assert dataset.frame_stride == evaluator.frame_stride == 4
        assert evaluator.ann_file == dataset.data_root + dataset.ann_file == 'data/my_videos/mini_val.json'
        assert evaluator.type == 'YTVISMetric' and not evaluator.get('format_only')


def test_split_dataset_writes_the_files_that_custom_vis_names(tmp_path):
    (tmp_path / 'all.json').write_text(json.dumps(tiny_gt()))
    written = {path.name for path in write_split(tmp_path / 'all.json', 1, 0)[:2]}
    cfg = Config.fromfile(FOLDER / 'custom_vis.py')
    assert written == {cfg.train_dataloader.dataset.ann_file, cfg.val_dataloader.dataset.ann_file}


@pytest.mark.parametrize('split', ['val', 'test'])
def test_a_test_frame_is_720_on_its_shorter_side(split, tiny_set):
    frame = sample(Config.fromfile(FOLDER / 'youtube_vis_2019.py'), split, tiny_set, (0, 2))
    assert frame['inputs'].shape == (1, 3, 720, 1200)
    needed = {'frame_id', 'video_id', 'ori_video_length', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'}
    assert needed <= set(frame['data_samples'][0].metainfo_keys())


@pytest.mark.parametrize('name', YOUTUBE_VIS)
def test_mini_val_is_scored_and_the_validation_set_submitted(name):
    cfg = Config.fromfile(FOLDER / f'{name}.py')
    train, val, test = (cfg[f'{split}_dataloader'].dataset for split in ('train', 'val', 'test'))
    assert train.ann_file == 'annotations/mini_train.json' and val.ann_file == 'annotations/mini_val.json'
    assert train.data_root == val.data_root == test.data_root == f'data/{name}/'
    assert train.data_prefix == val.data_prefix != test.data_prefix
    assert cfg.val_evaluator == dict(type='YTVISMetric', ann_file=f'data/{name}/annotations/mini_val.json')
    assert cfg.test_evaluator.ann_file == f'data/{name}/{test.ann_file}' and cfg.test_evaluator.format_only
    # tools/test.py writes both files into the run's work folder
    assert cfg.test_evaluator.get('submission') is cfg.test_evaluator.get('outfile_prefix') is None


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('*/*_ytvis2021.py')), ids=lambda path: path.stem)
def test_configs_of_2021_take_its_files(path):
    cfg, data = Config.fromfile(path), Config.fromfile(FOLDER / 'youtube_vis_2021.py')
    for split in ('train', 'val', 'test'):
        found, expected = (c[f'{split}_dataloader'].dataset for c in (cfg, data))
        for key in ('data_root', 'ann_file', 'data_prefix'):
            assert found[key] == expected[key]
        if split != 'train':
            assert cfg[f'{split}_evaluator'] == data[f'{split}_evaluator']
