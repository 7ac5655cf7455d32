"""Every config builds at full size and makes a training step and a test step on small frames."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

import maskprop

maskprop.register_all()

from mmdet.registry import MODELS, TRANSFORMS  # noqa: E402

from maskprop.engine.num_classes import fit_num_classes  # noqa: E402
from tests.models.builders import CLASSES, make_batch  # noqa: E402

pytestmark = pytest.mark.slow
ALL = sorted(p for p in Path('configs').rglob('*.py') if '_base_' not in p.parts)
MODELS_OF = {path: Config.fromfile(path).model for path in ALL}
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
