"""mmengine's own Runner, and the functions behind the tools: training and test without a command line."""

from __future__ import annotations

import json

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

import maskprop
from maskprop import apis
from maskprop.engine.config import RUNNER_WORK_DIR, ConfigError, load_config

maskprop.register_all()

from tests.engine.tiny_config import MASKPROP, tiny_config  # noqa: E402
from tests.helpers import write_tiny_ytvis  # noqa: E402

pytestmark = pytest.mark.slow

DEMO = 'configs/demo/maskprop_tiny_synthetic.py'


def on_the_tiny_set(cfg: Config, root, work_dir, **changes) -> Config:
    """The config with the tiny set in its loaders, for two iterations."""
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.data_root, folder = f'{root}/', 'train' if split == 'train' else 'val'
        dataset.data_prefix = dict(img_path=f'{folder}/JPEGImages')
        cfg[f'{split}_dataloader'].update(num_workers=0, persistent_workers=False)
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        evaluator.ann_file = f'{root}/annotations/val.json'
    cfg.train_dataloader.batch_size = 1
    cfg.train_dataloader.sampler.samples_per_epoch = 2
    cfg.train_cfg.max_epochs = cfg.train_cfg.val_interval = 1
    cfg.work_dir, cfg.experiment_name = str(work_dir), work_dir.name
    cfg.merge_from_dict(changes)
    return cfg


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('tiny')
    write_tiny_ytvis(root)
    return root


def classes_of(root) -> int:
    return len(json.loads((root / 'annotations/train.json').read_text())['categories'])


def test_runner_from_cfg_trains_and_tests(root, tmp_path):
    changes = {'model.num_classes': classes_of(root)}
    runner = Runner.from_cfg(on_the_tiny_set(Config.fromfile(DEMO), root, tmp_path / 'train', **changes))
    assert runner.model.detector.roi_head.bbox_head.num_classes == classes_of(root)
    runner.train()
    cfg = on_the_tiny_set(Config.fromfile(DEMO), root, tmp_path / 'test', **changes)
    cfg.load_from = str(tmp_path / 'train/epoch_1.pth')
    assert 'AP' in ' '.join(Runner.from_cfg(cfg).test())


def test_work_folders(tmp_path):
    """The Runner alone finds one in the config, which the tools replace by one of the config's name."""
    cfg = Config.fromfile(DEMO)
    assert cfg.work_dir == RUNNER_WORK_DIR
    for given in (DEMO, cfg):
        assert load_config(given).work_dir == 'work_dirs/maskprop_tiny_synthetic'
    cfg.work_dir = str(tmp_path)
    assert load_config(cfg).work_dir == str(tmp_path)
    assert load_config(cfg, work_dir='other').work_dir == 'other'


def test_configs_of_the_known_sets_know_their_classes():
    for file, classes in (
        (DEMO, 5),
        ('configs/maskprop/maskprop_htc_r50_fpn_20e_ytvis2019.py', 40),
        ('configs/masktrack_rcnn/masktrack_rcnn_r50_fpn_12e_ytvis2021.py', 40),
        ('configs/objprop/objprop_r50_fpn_12e_ytvis2019.py', 40),
        ('configs/davis16/maskprop_tiny_davis16.py', 8),
    ):
        assert Config.fromfile(file).model.num_classes == classes, file


def test_another_number_of_classes_is_named_before_the_first_step(root, tmp_path):
    changes = {'model.num_classes': classes_of(root) + 1}
    runner = Runner.from_cfg(on_the_tiny_set(Config.fromfile(DEMO), root, tmp_path / 'wrong', **changes))
    with pytest.raises(ConfigError, match=f'has {classes_of(root)}: set model.num_classes={classes_of(root)}'):
        runner.train()
    runner = Runner.from_cfg(on_the_tiny_set(Config.fromfile(DEMO), root, tmp_path / 'wrong_test', **changes))
    with pytest.raises(ConfigError, match='test_dataloader.dataset'):
        runner.test()


def test_a_missing_number_of_classes_is_named(root, tmp_path):
    cfg = on_the_tiny_set(Config.fromfile(DEMO), root, tmp_path / 'none', **{'model.num_classes': None})
    with pytest.raises(ConfigError, match='bbox_head.num_classes is not set: set model.num_classes'):
        Runner.from_cfg(cfg)


def test_train_and_test_of_the_api_do_what_the_tools_do(root, tmp_path):
    config = tiny_config(root, tmp_path / 'api', MASKPROP)
    text = config.pretty_text
    runner = apis.train(config, seed=3)
    assert config.pretty_text == text, "the caller's config stays as it is"
    assert runner.iter > 0 and (tmp_path / 'api/last_checkpoint').is_file()
    checkpoint = (tmp_path / 'api/last_checkpoint').read_text().strip()
    out, metrics = tmp_path / 'results.json', tmp_path / 'metrics.json'
    found = apis.test(config, checkpoint, out=out, metrics=metrics, work_dir=tmp_path / 'tested')
    assert json.loads(metrics.read_text())['AP'] == pytest.approx(found['AP']) and out.is_file()
    # going on: the epochs are done
    again = apis.train(config, resume=True)
    assert again.iter == runner.iter


def test_errors_of_the_api_are_those_of_the_tools(root, tmp_path):
    config = tiny_config(root, tmp_path / 'api', MASKPROP)
    with pytest.raises(ConfigError, match='no such file'):
        apis.train(tmp_path / 'none.py')
    with pytest.raises(FileNotFoundError, match='no such file.* Train one'):
        apis.test(config, tmp_path / 'none.pth')
    with pytest.raises(ConfigError, match=r"model.clip_raduis: VideoMaskRCNN has no such argument.*'clip_radius'"):
        apis.train(config, cfg_options={'model.clip_raduis': 3})
    with pytest.raises(ConfigError, match='model.mask_source is now model.propagation_head.mask_source'):
        apis.train(config, cfg_options={'model.mask_source': 'ground_truth'})
