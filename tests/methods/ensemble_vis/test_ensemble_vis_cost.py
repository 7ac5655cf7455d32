"""What EnsembleVIS's nets cost a frame: linear in the objects, and as many weights as there are."""

from __future__ import annotations

import copy

import pytest
from mmengine.config import Config

import maskprop

maskprop.register_all()

from mmdet.registry import MODELS  # noqa: E402

from maskprop.apis.model_cost import model_cost  # noqa: E402
from maskprop.engine.num_classes import fit_num_classes  # noqa: E402

pytestmark = pytest.mark.slow


def test_cost():
    cfg = Config.fromfile('configs/ensemble_vis/ensemble_vis_tiny_synthetic.py').model
    fit_num_classes(cfg, 5)
    costs = [model_cost(MODELS.build(copy.deepcopy(cfg)), (96, 160), n) for n in (1, 2, 5)]
    for part in ('refinement', 'crop classes', 'crop embeddings'):
        flops = [cost.flops[part] for cost in costs]
        assert flops[1] == 2 * flops[0] > 0 and flops[2] == 5 * flops[0]
    assert costs[0].parameters['crop classes'] == 702_870
