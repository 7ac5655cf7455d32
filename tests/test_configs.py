"""Every config builds at full size and makes a training step and a test step on small frames."""

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
from tests.models.builders import CLASSES, make_batch  # noqa: E402

ALL = sorted(p for p in Path('configs').rglob('*.py') if '_base_' not in p.parts)
CFGS = {path: Config.fromfile(path) for path in ALL}
MODELS_OF = {path: cfg.model for path, cfg in CFGS.items()}
CONFIGS = [path for path in ALL if MODELS_OF[path].type == 'VideoMaskRCNN']
# configs that differ in data and schedule only make the same step
STEPS = sorted({repr(MODELS_OF[path]): path for path in reversed(CONFIGS)}.values())
# Most of a step's time goes into the gradients of what makes features: the first config of each alone has them.
FEATURES = {
    repr((model.detector.backbone, model.detector.neck, model.get('aggregator'))): path
    for path, model in reversed(MODELS_OF.items())
    if path in CONFIGS
}


def build(cfg: Config) -> torch.nn.Module:
    fit_num_classes(cfg.model, CLASSES)
    if cfg.model.get('refinement_head'):
        cfg.model.refinement_head.patch_size = 32  # 384 is for big frames
    if cfg.model.get('classification_head'):
        cfg.model.classification_head.crop_size = (32, 32)
        net = cfg.model.classification_head.net
        net.head.num_classes = CLASSES + cfg.model.classification_head.background
        if 'base_width' in net.backbone:  # more than 800 million weights
            net.backbone.update(base_width=4, depth=50)
    without_downloads(cfg.model.get('linker') or {})
    if (cfg.model.get('propagation_head') or {}).get('type') == 'OSMNHead':
        # most of the weights and of the time are the guide's, and test frames are small here
        cfg.model.propagation_head.update(guide_size=32, input_size=None)
    detector = cfg.model.detector
    if 'rcnn' not in detector.test_cfg:  # one stage
        detector.test_cfg.max_per_img = 5
        return MODELS.build(cfg.model)
    stages = detector.train_cfg.rcnn
    for stage in stages if isinstance(stages, list) else [stages]:
        stage.sampler.num = 32
    detector.test_cfg.rpn.max_per_img = detector.train_cfg.rpn_proposal.max_per_img = 50
    detector.test_cfg.rcnn.max_per_img = 5  # random weights find everything everywhere
    return MODELS.build(cfg.model)


def without_downloads(part: Config) -> None:
    """Flow of random weights, and few refinements of it, for a linker or propagator that has any."""
    if part.get('flow', {}).get('type') == 'RAFTFlow':
        part.flow.update(weights=None, num_flow_updates=1)


def train_pipelines(cfg: Config) -> list[list]:
    """The training pipeline, or those of all sets of a mixture."""
    dataset = cfg.train_dataloader.dataset
    return [part.pipeline for part in dataset.get('datasets', [dataset])]


@pytest.mark.slow
@pytest.mark.parametrize('path', STEPS, ids=str)
def test_builds_and_steps(path):
    cfg = Config.fromfile(path)
    model = build(cfg).train()
    if path not in FEATURES.values():
        for part in (model.detector.backbone, model.detector.neck, model.aggregator):
            if part is not None:
                part.requires_grad_(False)
    inputs, samples = make_batch(([1, 2], [2, 3]))
    if model.aggregator is not None:  # its support frames: the pair again
        count = model.aggregator.num_support
        assert cfg.train_dataloader.dataset.pipeline[0].num_support == count
        inputs = torch.cat([inputs] * (1 + count), 1)
        samples[0].video_data_samples = samples[0].video_data_samples * (1 + count)
    loss, _ = model.parse_losses(model.loss(inputs, samples))
    loss.backward()
    assert torch.isfinite(loss)
    assert any(p.grad is not None for p in model.parameters())

    model.eval()
    stream = model.start_video()
    for t in range(2):
        stream.step(inputs[0, t][None], samples[0].video_data_samples[t].metainfo)
    stream.finish()
    assert stream.video_instances().length == 2


@pytest.mark.slow
@pytest.mark.parametrize('path', CONFIGS, ids=str)
def test_pipelines_and_variants_build(path, tmp_path):
    cfg = Config.fromfile(path)
    weights = tmp_path / 'reid.pth'
    weights.touch()  # a linker that needs weights says at once when their file is missing
    others = [(cfg[f'{split}_dataloader'] or cfg.test_dataloader).dataset.pipeline for split in ('val', 'test')]
    for transform in [step for pipeline in (*train_pipelines(cfg), *others) for step in pipeline]:
        TRANSFORMS.build(transform)
    with torch.device('meta'):  # without weights, which take most of the time
        model = build(cfg)
    for overrides in cfg.get('variants', {}).values():
        if isinstance(overrides.get('linker', {}).get('reid'), dict):
            overrides.linker.reid.init_cfg.checkpoint = str(weights)
        for part in ('propagator', 'linker'):
            without_downloads(overrides.get(part, {}))
        model.start_video(**overrides)


@pytest.mark.parametrize('path', sorted(set(ALL) - set(CONFIGS)), ids=str)
def test_other_models_build(path, monkeypatch):
    """Nets beside the video model; their trainings are tested where they are."""
    linspace = torch.linspace  # Swin reads its drop rates
    monkeypatch.setattr(torch, 'linspace', lambda *args: linspace(*args, device='cpu'))
    cfg = Config.fromfile(path)
    with torch.device('meta'):
        MODELS.build(cfg.model)
    for split in ('train', 'val', 'test'):
        for transform in cfg[f'{split}_dataloader'].dataset.pipeline:
            TRANSFORMS.build(transform)


def changed(change) -> tuple[dict[Path, Config], set[str]]:
    """All configs that an option of train and test has changed, of which none is wrong, and why others are not."""
    done, refused = {}, set()
    for path, cfg in CFGS.items():
        cfg = deepcopy(cfg)
        try:
            change(cfg)
        except ConfigError as error:
            refused.add(f'{path.stem}: {error}')
            continue
        check_types(cfg)
        done[path] = cfg
    return done, refused


def test_data_goes_into_every_config(tmp_path):
    sets = find_sets(write_tiny_ytvis(tmp_path, videos=1), 'train')
    done, refused = changed(lambda cfg: use_data(cfg, sets))
    assert all('is a mixture of 2 sets (ConcatVideoDataset)' in why for why in refused) and len(refused) == 2
    for path, cfg in done.items():
        keys = [f'{split}_{part}' for split in ('train', 'val', 'test') for part in ('dataloader', 'evaluator')]
        places = [cfg[key] for key in keys if cfg.get(key)]
        texts = re.findall(r"'((?:data|\.\.)/[^']*)'", repr(places))
        assert not texts, f'{path}: {texts} are still those of the config'
        strides = [cfg[key].get('frame_stride', 1) for key in ('val_evaluator', 'test_evaluator') if cfg.get(key)]
        assert set(strides) == {1}
        if path in CONFIGS and cfg.train_dataloader.dataset.type != 'OtherClassesDataset':
            fit_num_classes(cfg.model, 3)  # refuses a head of another number
            for part in ('classification_head', 'attention_head'):
                assert (cfg.model.get(part) or {}).get('num_classes', 3) == 3


def test_size_and_epochs_change_every_config():
    done, refused = changed(lambda cfg: use_size(cfg, Size(640, 360)))
    assert {why.split(':')[0] for why in refused} == {
        *(path.stem for path in ALL if 'CropInstance' in repr(CFGS[path].train_dataloader)),
        *('maskprop_htc_r50_fpn_s2_trajectory', 'tiny_stage_s2_trajectory'),
    }
    for cfg in done.values():
        assert set(re.findall(r"'Resize', 'scale': (\(\d+, \d+\))", repr(cfg.test_dataloader))) == {'(640, 360)'}
    done, refused = changed(lambda cfg: use_epochs(cfg, 3))
    assert all('--cfg-options max_iters=N' in why for why in refused)
    assert all('IterBasedTrainLoop' in repr(CFGS[path].train_cfg) for path in set(ALL) - set(done))
    assert all(cfg.train_cfg.max_epochs == 3 for cfg in done.values())


def test_types_and_the_best_checkpoint():
    """What validates by video AP keeps the best, and nothing else asks for it."""
    for path, cfg in CFGS.items():
        check_types(cfg)
        validates = cfg.val_evaluator is None or 'YTVISMetric' in repr(cfg.val_evaluator)
        hook = cfg.default_hooks.checkpoint
        assert (hook.save_best, hook.rule) == (('AP', 'greater') if validates else (None, None)), path
