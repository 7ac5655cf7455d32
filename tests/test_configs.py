"""Every config is sound, and takes what the options of training and test change."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

import maskprop

maskprop.register_all()

from mmdet.registry import MODELS, TRANSFORMS  # noqa: E402

from maskprop.datasets.layouts import find_sets  # noqa: E402
from maskprop.engine.config_types import check_types  # noqa: E402
from maskprop.engine.data_option import use_data  # noqa: E402
from maskprop.engine.errors import ConfigError  # noqa: E402
from maskprop.engine.num_classes import fit_num_classes  # noqa: E402
from maskprop.engine.schedule_option import use_epochs  # noqa: E402
from maskprop.engine.size_option import Size, use_size  # noqa: E402
from tests.helpers import write_tiny_ytvis  # noqa: E402

Configs = dict[Path, Config]


@pytest.fixture(scope='module')
def cfgs() -> Configs:
    """All configs; no test changes one."""
    paths = sorted(p for p in Path('configs').rglob('*.py') if '_base_' not in p.parts)
    return {path: Config.fromfile(path) for path in paths}


def is_video_model(cfg: Config) -> bool:
    return cfg.model.type == 'VideoMaskRCNN'


@pytest.mark.slow
def test_other_models_build(cfgs, monkeypatch):
    """Models beside the one that the methods share; their trainings are tested where they are."""
    linspace = torch.linspace  # Swin reads its drop rates
    monkeypatch.setattr(torch, 'linspace', lambda *args: linspace(*args, device='cpu'))
    others = {path: deepcopy(cfg) for path, cfg in cfgs.items() if not is_video_model(cfg)}
    assert len(others) > 5
    for path, cfg in others.items():
        print(path)  # shown if it fails
        with torch.device('meta'):
            MODELS.build(cfg.model)
        for split in ('train', 'val', 'test'):
            for transform in cfg[f'{split}_dataloader'].dataset.pipeline:
                TRANSFORMS.build(transform)


def changed(cfgs: Configs, change) -> tuple[Configs, set[str]]:
    """All configs that an option of train and test has changed, of which none is wrong, and why others are not."""
    done, refused = {}, set()
    for path, cfg in cfgs.items():
        cfg = deepcopy(cfg)
        try:
            change(cfg)
        except ConfigError as error:
            refused.add(f'{path.stem}: {error}')
            continue
        check_types(cfg)
        done[path] = cfg
    return done, refused


def test_data_goes_into_every_config(cfgs, tmp_path):
    sets = find_sets(write_tiny_ytvis(tmp_path, videos=1), 'train')
    done, refused = changed(cfgs, lambda cfg: use_data(cfg, sets))
    assert all('is a mixture of 2 sets (ConcatVideoDataset)' in why for why in refused) and len(refused) == 2
    for path, cfg in done.items():
        keys = [f'{split}_{part}' for split in ('train', 'val', 'test') for part in ('dataloader', 'evaluator')]
        places = [cfg[key] for key in keys if cfg.get(key)]
        texts = re.findall(r"'((?:data|\.\.)/[^']*)'", repr(places))
        assert not texts, f'{path}: {texts} are still those of the config'
        strides = [cfg[key].get('frame_stride', 1) for key in ('val_evaluator', 'test_evaluator') if cfg.get(key)]
        assert set(strides) == {1}
        if is_video_model(cfg) and cfg.train_dataloader.dataset.type != 'OtherClassesDataset':
            fit_num_classes(cfg.model, 3)  # refuses a head of another number
            for part in ('classification_head', 'attention_head'):
                assert (cfg.model.get(part) or {}).get('num_classes', 3) == 3


def test_size_and_epochs_change_every_config(cfgs):
    done, refused = changed(cfgs, lambda cfg: use_size(cfg, Size(640, 360)))
    assert {why.split(':')[0] for why in refused} == {
        *(path.stem for path in cfgs if 'CropInstance' in repr(cfgs[path].train_dataloader)),
        *('maskprop_htc_r50_fpn_s2_trajectory', 'tiny_stage_s2_trajectory'),
    }
    for cfg in done.values():
        assert set(re.findall(r"'Resize', 'scale': (\(\d+, \d+\))", repr(cfg.test_dataloader))) == {'(640, 360)'}
    done, refused = changed(cfgs, lambda cfg: use_epochs(cfg, 3))
    assert all('--cfg-options max_iters=N' in why for why in refused)
    assert all('IterBasedTrainLoop' in repr(cfgs[path].train_cfg) for path in set(cfgs) - set(done))
    assert all(cfg.train_cfg.max_epochs == 3 for cfg in done.values())


def test_types_and_the_best_checkpoint(cfgs):
    """What validates by video AP keeps the best, and nothing else asks for it."""
    for path, cfg in cfgs.items():
        check_types(cfg)
        validates = cfg.val_evaluator is None or 'YTVISMetric' in repr(cfg.val_evaluator)
        hook = cfg.default_hooks.checkpoint
        assert (hook.save_best, hook.rule) == (('AP', 'greater') if validates else (None, None)), path
