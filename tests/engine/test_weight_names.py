"""Weights keep their names, so that checkpoints of earlier versions load."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

import maskprop
from maskprop.engine.deprecation import RENAMED_WEIGHTS

maskprop.register_all()

from mmdet.registry import MODELS  # noqa: E402

from maskprop.engine.num_classes import fit_num_classes  # noqa: E402

NAMES = Path(__file__).with_name('weight_names.txt')  # 'config part: name', numbers of layers as N
PARTS = {
    'ablations/refinement': ('propagation_head', 'refinement_head'),
    'maskprop/maskprop_htc_stsn_x101_fpn_20e_ytvis2019': ('aggregator',),
    'masktrack_rcnn/masktrack_rcnn_tiny_synthetic': ('track_head',),
    'objprop/objprop_r50_fpn_12e_ytvis2019': ('attention_head', 'track_head'),
    'sipmask/sipmask_tiny_synthetic': ('track_head',),
    'feelvos/feelvos_tiny_synthetic': ('propagation_head',),
    'osmn/osmn_tiny_synthetic': ('propagation_head',),
    'ensemble_vis/ensemble_vis_tiny_synthetic': ('refinement_head', 'reid_head'),
    'stem_seg/stem_seg_tiny_synthetic': ('embedding_head', 'class_head'),
}


def names_of(config: str, part: str) -> set[str]:
    """Without those of backbones, which are mmdet's or torchvision's."""
    cfg = Config.fromfile(f'configs/{config}.py')
    fit_num_classes(cfg.model, 3)
    with torch.device('meta'):
        state = MODELS.build(cfg.model[part]).state_dict()
    return {re.sub(r'(?<=\.)\d+(?=\.|$)', 'N', name) for name in state if 'backbone.' not in name}


@pytest.mark.parametrize(('config', 'part'), [(config, part) for config, parts in PARTS.items() for part in parts])
def test_names_are_those_of_earlier_checkpoints(config, part):
    known = {
        line.partition(': ')[2] for line in NAMES.read_text().splitlines() if line.startswith(f'{config} {part}: ')
    }
    found = names_of(config, part)
    for old, new in RENAMED_WEIGHTS.items():
        known = {re.sub(f'^{re.escape(old)}', new, f'{part}.{name}').removeprefix(f'{part}.') for name in known}
    assert known, f'{NAMES.name} lacks {config} {part}'
    assert found == known, f'give each renamed weight a line in RENAMED_WEIGHTS; new ones one in {NAMES.name}'
