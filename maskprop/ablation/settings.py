"""What defines a training or a test: two with equal settings need to be made once only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

TRAINING = (
    'model', 'train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler', 'auto_scale_lr', 'load_from',
    'custom_hooks',
)  # fmt: skip
TEST = ('model', 'test_dataloader', 'test_cfg')
# of the model, without effect on training
TEST_ONLY = (
    'linker', 'propagator', 'detections', 'clip_radius', 'merge_iou', 'output_mask', 'mask_paste', 'fill',
    'history_fill', 'score_rule', 'min_frames',
)  # fmt: skip
# speed; the seed is a setting of its own
LEFT_OUT = ('num_workers', 'persistent_workers', 'val_interval')
_ABSENT = object()


def training_settings(cfg: Config, own_data: bool = False) -> dict[str, Any]:
    """What a training depends on, without seed and what acts at test only.

    Args:
        own_data: the data set is the config's own, so that its place counts; else it is a setting of its own.
    """
    settings = _plain({key: cfg[key] for key in TRAINING if key in cfg})
    for key in (*TEST_ONLY, 'num_classes'):  # the data's, in a test too
        settings['model'].pop(key, None)
    ((settings['model'].get('detector') or {}).get('test_cfg') or {}).pop('rcnn', None)
    (settings['train_dataloader'].get('sampler') or {}).pop('seed', None)
    if whole_batch(cfg):  # how it is split among processes is no matter
        settings['train_dataloader'].pop('batch_size', None)
    return settings if own_data else _without(settings, 'data_root')


def test_settings(cfg: Config, own_data: bool = False) -> dict[str, Any]:
    """What a test depends on, beside the weights; ``own_data`` as in :func:`training_settings`."""
    settings = _plain({key: cfg[key] for key in (*TEST, *['test_evaluator'] * own_data) if key in cfg})
    for key in ('train_cfg', 'frozen', 'num_classes'):
        settings['model'].pop(key, None)
    settings['test_dataloader'].pop('batch_size', None)
    return settings if own_data else _without(settings, 'data_root')


def whole_batch(cfg: Config) -> int:
    """Samples of a step over all processes, for which the learning rate is meant; 0: the config doesn't say."""
    return int((cfg.get('auto_scale_lr') or {}).get('base_batch_size') or 0)


def settings_key(settings: Any) -> str:
    """Twelve hexadecimal digits that stand for the settings."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def files_key(files: Iterable[Path]) -> str:
    """32 hexadecimal digits that stand for the contents of files."""
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return hashlib.sha256(''.join(digests).encode()).hexdigest()[:32]


def differences(old: Any, new: Any, name: str = '') -> list[str]:
    """Where two settings differ, ``['model.frozen: not set before, now ["detector"]', ...]``."""
    if old is not _ABSENT and new is not _ABSENT and old == new:
        return []
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return [
            text
            for key in sorted({*old, *new}, key=str)
            for text in differences(old.get(key, _ABSENT), new.get(key, _ABSENT), f'{name}.{key}'.strip('.'))
        ]
    return [f'{name}: {_shown(old)} before, now {_shown(new)}']


def _plain(value: Any) -> Any:
    """Without what is left out. None stays: it may differ from the default of a key that isn't there."""
    if isinstance(value, Mapping):
        # the data fill in a num_classes of None
        return {
            str(k): _plain(v)
            for k, v in value.items()
            if k not in LEFT_OUT and not (k == 'num_classes' and v is None)
        }
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def _without(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        return {k: _without(v, key) for k, v in value.items() if k != key}
    return [_without(v, key) for v in value] if isinstance(value, list) else value


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return 'not set'
    text = 'None' if value is None else json.dumps(value, default=str)
    return text if len(text) <= 60 else f'{text[:57]}...'
