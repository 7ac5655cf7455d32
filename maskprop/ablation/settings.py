"""What defines a training or a test: two with equal settings need to be made once only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

TRAINING = ('model', 'train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler', 'auto_scale_lr')
TEST = ('model', 'test_dataloader', 'test_cfg')
# of the model, without effect on training
TEST_ONLY = (
    'linker', 'propagator', 'detections', 'clip_radius', 'merge_iou', 'output_mask', 'mask_paste', 'fill',
    'history_fill', 'score_rule', 'min_frames',
)  # fmt: skip
# places and speed; num_classes is filled in from the data; the seed and the whole batch are settings of their own
LEFT_OUT = ('data_root', 'num_workers', 'persistent_workers', 'num_classes', 'val_interval', 'batch_size')


def training_settings(cfg: Config) -> dict[str, Any]:
    """What a training depends on, without places, seed and what acts at test only."""
    settings = _plain({key: cfg.get(key) for key in TRAINING})
    for key in TEST_ONLY:
        settings['model'].pop(key, None)
    settings['model'].get('detector', {}).get('test_cfg', {}).pop('rcnn', None)
    settings['train_dataloader'].get('sampler', {}).pop('seed', None)
    return settings


def test_settings(cfg: Config) -> dict[str, Any]:
    """What a test depends on, beside the weights."""
    settings = _plain({key: cfg.get(key) for key in TEST})
    for key in ('train_cfg', 'frozen'):
        settings['model'].pop(key, None)
    return settings


def settings_key(settings: Any) -> str:
    """Twelve hexadecimal digits that stand for the settings."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def differences(old: Any, new: Any, name: str = '') -> list[str]:
    """Where two settings differ, ``['model.frozen: none before, now ["detector"]', ...]``."""
    if old == new:
        return []
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = sorted({*old, *new}, key=str)
        return [
            text for key in keys for text in differences(old.get(key), new.get(key), f'{name}.{key}'.strip('.'))
        ]
    return [f'{name}: {_shown(old)} before, now {_shown(new)}']


def _plain(value: Any) -> Any:
    """Without None, which is the default of a key that isn't there, and without what is left out."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items() if v is not None and k not in LEFT_OUT}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def _shown(value: Any) -> str:
    text = 'none' if value is None else json.dumps(value, default=str)
    return text if len(text) <= 60 else f'{text[:57]}...'
