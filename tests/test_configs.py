"""Every config builds at full size and makes a training step and a test step on small frames."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

import maskprop

maskprop.register_all()

from mmdet.registry import MODELS, TRANSFORMS  # noqa: E402

from maskprop.engine.checks import fit_num_classes  # noqa: E402
from tests.models.builders import CLASSES, make_batch  # noqa: E402

CONFIGS = sorted(p for p in Path('configs').rglob('*.py') if '_base_' not in p.parts)


@pytest.mark.parametrize('path', CONFIGS, ids=str)
def test_builds_and_steps(path):
    cfg = Config.fromfile(path)
    fit_num_classes(cfg.model, CLASSES)
    model = MODELS.build(cfg.model).train()
    inputs, samples = make_batch(([1, 2], [2, 3]))
    loss, _ = model.parse_losses(model.loss(inputs, samples))
    loss.backward()
    assert torch.isfinite(loss)

    model.eval()
    stream = model.start_video()
    for t in range(2):
        stream.step(inputs[0, t][None], samples[0].video_data_samples[t].metainfo)
    stream.finish()
    assert stream.video_instances().length == 2


@pytest.mark.parametrize('path', CONFIGS, ids=str)
def test_pipelines_and_variants_build(path):
    cfg = Config.fromfile(path)
    for split in ('train', 'val', 'test'):
        for transform in cfg[f'{split}_dataloader'].dataset.pipeline:
            TRANSFORMS.build(transform)
    fit_num_classes(cfg.model, CLASSES)
    model = MODELS.build(cfg.model)
    for overrides in cfg.get('variants', {}).values():
        model.start_video(**overrides)
