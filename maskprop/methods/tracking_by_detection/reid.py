"""The appearance net of DeepSORT, loaded once for all videos of a process."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn

from maskprop.engine.checkpoint import load_checkpoint_file, load_url
from maskprop.engine.weights import load_weights

ADVICE = (
    'Train a net by: maskprop train configs/tracking_by_detection/reid_tiny_synthetic.py '
    "(docs/methods/tracking_by_detection.md), or compare the track head's embeddings: reid='embeds'"
)


def load_reid(cfg: dict, device: str | torch.device = 'cpu') -> nn.Module:
    """A net in evaluation mode that gives embeddings of crops; the same one for the same config and device.

    Args:
        cfg: of a ``ReIDNet`` (or mmdet's ``BaseReID``, with mmpretrain installed) with ``data_preprocessor.mean``
            and ``std``; ``init_cfg=dict(type='Pretrained', checkpoint=PATH_OR_URL)`` names its weights.
        device: where it runs.

    Raises:
        ConnectionError: the weights can't be downloaded.
        CheckpointError: they are damaged or don't fit.
    """
    return _load(json.dumps(cfg, sort_keys=True), str(device))


@lru_cache(maxsize=4)
def _load(text: str, device: str) -> nn.Module:
    cfg = json.loads(text)
    checkpoint = cfg.pop('init_cfg')['checkpoint']
    weights = _read(checkpoint)
    net = MODELS.build(cfg)
    load_weights(net, weights, checkpoint)
    return net.requires_grad_(False).to(device).eval()


def _read(checkpoint: str) -> Any:
    try:
        return load_url(checkpoint) if '://' in checkpoint else load_checkpoint_file(checkpoint)
    except ConnectionError as error:
        raise ConnectionError(f'linker.reid: {error}. {ADVICE}') from error


def check_reid(cfg: dict) -> dict:
    """A copy of the config, if it can be loaded.

    Raises:
        ValueError: it names no weights, or not how its inputs are normalised.
        FileNotFoundError: the file of its weights is missing.
    """
    cfg = deepcopy(dict(cfg))
    checkpoint = (cfg.get('init_cfg') or {}).get('checkpoint')
    if not checkpoint:
        raise ValueError(
            "linker.reid has no weights: set reid.init_cfg=dict(type='Pretrained', checkpoint=PATH_OR_URL)"
        )
    if not {'mean', 'std'} <= set(cfg.get('data_preprocessor') or {}):
        raise ValueError('linker.reid.data_preprocessor needs mean and std, of RGB images from 0 to 255')
    if '://' not in checkpoint and not Path(checkpoint).is_file():
        raise FileNotFoundError(f'linker.reid: checkpoint {checkpoint}: no such file. {ADVICE}')
    return cfg


def normalize(image: Tensor, cfg: dict) -> Tensor:
    """(1, 3, H, W) float, normalised as ``cfg.data_preprocessor`` says, of a (3, H, W) RGB image from 0 to 255."""
    mean, std = (torch.tensor(cfg['data_preprocessor'][key], device=image.device) for key in ('mean', 'std'))
    return ((image.float() - mean.view(3, 1, 1)) / std.view(3, 1, 1))[None]
