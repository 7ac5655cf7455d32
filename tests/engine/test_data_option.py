"""--data and --split put data sets, evaluators and classes in their places, and real runs take them."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import pytest
from mmengine.config import Config

import maskprop

maskprop.register_all()

from maskprop.datasets.layouts import find_sets  # noqa: E402
from maskprop.datasets.ytvis_json import AnnotationError  # noqa: E402
from maskprop.engine import cli  # noqa: E402
from maskprop.engine.config import ConfigError  # noqa: E402
from maskprop.engine.data_option import use_data, use_split  # noqa: E402
from maskprop.engine.num_classes import fit_num_classes  # noqa: E402
from tests.engine.tiny_config import STAND_IN  # noqa: E402
from tests.helpers import write_tiny_ytvis  # noqa: E402

_runs = itertools.count()
METRIC = dict(type='YTVISMetric', ann_file='old.json', frame_stride=4, frame_range=(0.0, 0.5))


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    return write_tiny_ytvis(tmp_path_factory.mktemp('set'))


def dataset(**keys) -> dict:
    old = dict(data_root='old/', ann_file='old.json', data_prefix=dict(img_path='old'), frame_stride=4)
    return {'type': 'YouTubeVISJsonDataset', **old, 'frame_range': (0.0, 0.5), 'indices': 7, **keys}


def config(train: dict, evaluator: dict | list, model: dict | None = None) -> Config:
    loaders = {f'{split}_dataloader': dict(dataset=dataset()) for split in ('val', 'test')}
    keys = dict(
        train_dataloader=dict(dataset=train), val_evaluator=evaluator, test_evaluator=evaluator, val_cfg={}
    )
    return Config(dict(**loaders, **keys, model=model or {}))


def test_all_places_of_a_config(root):
    model = dict(
        num_classes=40,
        detector=dict(roi_head=dict(bbox_head=[dict(type='B', num_classes=40)], mask_head=dict(type='M'))),
        semantic_head=dict(type='S', num_classes=41),
    )
    cfg = config(dataset(metainfo=dict(classes=('a',))), [METRIC, dict(type='Other')], model)
    cfg.metainfo = dict(classes=('a',))
    lines = use_data(cfg, find_sets(root, 'train'))
    for split, file in (('train', 'train'), ('val', 'val'), ('test', 'val')):
        found = cfg[f'{split}_dataloader'].dataset
        assert found.ann_file == f'{root}/annotations/{file}.json' and found.data_root == ''
        assert found.data_prefix == dict(img_path=f'{root}/{file}/JPEGImages')
        assert not {'frame_range', 'indices', 'metainfo'} & set(found)
    assert cfg.train_dataloader.dataset.frame_stride == 4  # how a training draws frames is its own
    assert 'frame_stride' not in cfg.val_dataloader.dataset
    scored = dict(type='YTVISMetric', ann_file=f'{root}/annotations/val.json', format_only=False)
    assert cfg.val_evaluator == cfg.test_evaluator == [scored, dict(type='Other')]
    assert cfg.metainfo == dict(classes=('square', 'wide', 'tall'), category_ids=[1, 2, 4])
    fit_num_classes(cfg.model, 3)
    heads = cfg.model.detector.roi_head
    assert (cfg.model.num_classes, heads.bbox_head[0].num_classes, heads.mask_head.num_classes) == (3, 3, 3)
    assert cfg.model.semantic_head.num_classes == 4
    assert (
        len(lines) == 3
        and 'frame_range, indices of the config, which are for its own data, are left out' in lines[0]
    )
    assert f'{root}/annotations/val.json (3 videos' in lines[1] and 'frame_stride' in lines[1]


def test_sets_inside_of_others_and_a_mixture(root):
    wrapped = dict(type='RepeatDataset', dataset=dict(type='ConcatVideoDataset', datasets=[dataset()]))
    cfg = config(wrapped, METRIC)
    use_data(cfg, find_sets(root, 'train'))
    inner = cfg.train_dataloader.dataset.dataset.datasets[0]
    assert inner.ann_file == f'{root}/annotations/train.json'
    wrapped['dataset']['datasets'].append(dataset())
    with pytest.raises(ConfigError, match=r'train_dataloader.dataset.dataset is a mixture of 2 sets'):
        use_data(config(wrapped, METRIC), find_sets(root, 'train'))
    with pytest.raises(ConfigError, match='dataset.type is YouTubeVISDataset, which does not read'):
        use_data(config(dataset(type='YouTubeVISDataset'), METRIC), find_sets(root, 'train'))


def test_what_is_blind_to_classes_keeps_the_model_s(root):
    metainfo = dict(classes=('a', 'b'))
    cfg = config(dataset(type='OtherClassesDataset', metainfo=metainfo), METRIC, dict(num_classes=2))
    cfg.metainfo = metainfo
    use_data(cfg, find_sets(root, 'train'))
    assert cfg.train_dataloader.dataset.metainfo == cfg.metainfo == metainfo and cfg.model.num_classes == 2


def test_crops_have_a_class_more_and_as_many_identities_as_objects(root):
    crops = dataset(type='InstanceCropDataset', background=True)
    cfg = config(crops, dict(type='CropAccuracy'), dict(head=dict(type='CropClassHead', num_classes=41)))
    use_data(cfg, find_sets(root, 'train'))
    assert cfg.model.head.num_classes == 4
    assert cfg.val_dataloader.dataset.frame_stride == 4  # nothing is scored by video
    cfg = config(crops, dict(type='ReIDMetrics'), dict(head=dict(type='ReIDHead', num_classes=1)))
    use_data(cfg, sets := find_sets(root, 'train'))
    assert cfg.model.head.num_classes == sets.train.objects == 3


def test_a_set_without_annotations_is_not_scored_and_one_file_not_validated(root, tmp_path):
    file = tmp_path / 'all.json'
    shutil.copy(root / 'annotations/train.json', file)
    shutil.copytree(root / 'train/JPEGImages', tmp_path / 'images')
    cfg = config(dataset(), METRIC)
    lines = use_data(cfg, find_sets(file, 'train'))
    assert cfg.val_dataloader is cfg.val_evaluator is cfg.val_cfg is None and 'no validation' in lines[-1]
    assert cfg.test_evaluator.ann_file == str(file) and not cfg.test_evaluator.format_only
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, 'annotations': None}))
    cfg = config(dataset(), METRIC)
    assert len(use_data(cfg, find_sets(file, 'test'))) == 1
    assert cfg.test_evaluator.format_only and cfg.train_dataloader.dataset.ann_file == 'old.json'


def test_a_test_of_the_validation_set():
    cfg = config(dataset(), METRIC)
    cfg.test_evaluator, cfg.test_dataloader = dict(type='X'), dict(dataset=dataset(ann_file='published.json'))
    use_split(cfg, 'test')
    assert cfg.test_evaluator.type == 'X'
    use_split(cfg, 'val')
    assert cfg.test_evaluator.type == 'YTVISMetric' and cfg.test_dataloader.dataset.ann_file == 'old.json'
    cfg.val_evaluator = None
    with pytest.raises(ConfigError, match='--split val: val_evaluator is not set'):
        use_split(cfg, 'val')


def train(*words: str | Path):
    # mmengine keeps loggers and message hubs by this name and by the second of the start
    words = STAND_IN, *words, '--cfg-options', f'experiment_name=data_{next(_runs)}'
    return cli.train(cli.train_parser().parse_args(list(map(str, words))))


def test_a_training_and_a_test_on_a_folder(root, tmp_path, capsys):
    """The config of the repository as it is: only options say where data are."""
    options = [
        '--data',
        root,
        '--size',
        '64x48',
        '--epochs',
        '1',
        '--cfg-options',
        'train_dataloader.batch_size=3',
    ]
    runner = train('--work-dir', tmp_path / 'work', *options)
    assert runner.epoch == 1 and runner.iter == 3
    assert runner.train_dataloader.dataset.ann_file == f'{root}/annotations/train.json'
    assert runner.val_dataloader.dataset[0, 0]['inputs'].shape == (1, 3, 48, 64)
    assert 'val/AP' in runner.message_hub.log_scalars
    said = capsys.readouterr().out
    assert '--data: train: ' in said and f'{root}/val/JPEGImages' in said
    written = Config.fromfile(tmp_path / 'work' / 'tiny_stand_in.py')
    assert written.test_evaluator.ann_file == f'{root}/annotations/val.json'

    def test(*words: str | Path) -> dict:
        words = STAND_IN, tmp_path / 'work/iter_3.pth', '--work-dir', tmp_path / 'test', *words
        return cli.test(cli.test_parser().parse_args(list(map(str, words))))

    on_val = test('--data', root, '--split', 'val', '--size', '64x48')
    on_file = test('--data', root / 'annotations/val.json', '--out', tmp_path / 'results.json', '--size', '48p')
    assert on_val.keys() == on_file.keys() and on_val['AP'] >= 0 and (tmp_path / 'results.json').is_file()


def test_a_training_on_one_file_has_no_validation(root, tmp_path, capsys):
    file = tmp_path / 'mine.json'
    shutil.copy(root / 'annotations/train.json', file)
    (tmp_path / 'frames').symlink_to(root / 'train/JPEGImages')
    runner = train('--work-dir', tmp_path / 'work', '--data', file, '--epochs', '1')
    assert runner.val_loop is None and runner.epoch == 1
    assert 'no validation. One file has no validation set. For AP after each epoch' in capsys.readouterr().out


def test_a_wrong_folder_is_told_before_the_config_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr('maskprop.engine.runs.load_config', None)
    with pytest.raises(AnnotationError, match='--data .*: no training set there'):
        train('--data', tmp_path)
