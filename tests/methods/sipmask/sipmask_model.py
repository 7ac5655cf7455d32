"""The tiny config's model, of random weights."""

from __future__ import annotations

import copy
from functools import cache

import torch
from mmengine.config import Config

from maskprop.engine.num_classes import fit_num_classes
from tests.models.builders import CLASSES, MODELS

CONFIG = 'configs/sipmask/sipmask_tiny_synthetic.py'


def build_sipmask(**options) -> torch.nn.Module:
    """A copy of the model with further keys, initialised by a fixed seed."""
    return copy.deepcopy(_built(repr(options))) if not options else _build(options)


@cache
def _built(_: str) -> torch.nn.Module:
    return _build({})


def _build(options: dict) -> torch.nn.Module:
    cfg = Config.fromfile(CONFIG).model
    cfg.update(options)
    fit_num_classes(cfg, CLASSES)
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    return model
