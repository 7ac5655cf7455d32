"""``--epochs``: a training of another length, with its schedule in proportion."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config

from maskprop.engine.errors import ConfigError

_WARM_UPS = ('LinearLR', 'LinearMomentum', 'LinearParamScheduler', 'ConstantLR', 'ConstantMomentum')
_KNOWN = ('MultiStep', 'Step', 'Exponential', 'CosineAnnealing', 'Poly')
_LENGTHS = ('begin', 'end', 'T_max', 'step_size', 'milestones')
_ENDLESS = 10**8  # mmengine's default of end is 10**9


def use_epochs(cfg: Config, epochs: int) -> None:
    """Train for so many epochs, in place; the schedule keeps its shape.

    Begin, end, milestones and other lengths of ``param_scheduler`` are multiplied by the ratio of the new and the
    old number of epochs, those in iterations too; rates that are multiplied once an epoch (``ExponentialLR``) come
    to the same end. Warm-ups (linear or constant from the beginning) stay as long as they are. Where a milestone
    is no whole epoch any more, it becomes an iteration (``convert_to_iter_based``). A validation at the end of the
    training alone stays there.

    Raises:
        ConfigError: the training counts iterations, or has a schedule that is not known.
    """
    loop = cfg.get('train_cfg') or {}
    old = loop.get('max_epochs')
    if not isinstance(old, int) or old < 1:
        raise ConfigError(
            f'config {cfg.filename}: --epochs {epochs}: train_cfg counts iterations (max_iters='
            f'{loop.get("max_iters")}) and no epochs: set their number, and param_scheduler with it, by '
            f'--cfg-options {"max_iters=N" if "max_iters" in cfg else "train_cfg.max_iters=N"}'
        )
    if loop.get('dynamic_intervals'):
        raise ConfigError(
            f'config {cfg.filename}: --epochs {epochs}: train_cfg.dynamic_intervals names epochs; set it anew by '
            '--cfg-options, with train_cfg.max_epochs'
        )
    schedulers = cfg.get('param_scheduler') or []
    schedulers = schedulers if isinstance(schedulers, list | tuple) else [schedulers]
    warm_up = max((s.get('end', 0) for s in schedulers if _is_warm_up(s)), default=0)
    for index, scheduler in enumerate(schedulers):
        if not _is_warm_up(scheduler):
            _scale(scheduler, epochs / old, warm_up, f'config {cfg.filename}: param_scheduler.{index}')
    loop['max_epochs'] = epochs
    if loop.get('val_interval', 1) >= old:
        loop['val_interval'] = epochs


def _is_warm_up(scheduler: Any) -> bool:
    return scheduler.get('type') in _WARM_UPS and scheduler.get('begin', 0) == 0


def _scale(scheduler: Any, ratio: float, warm_up: float, name: str) -> None:
    kind = str(scheduler.get('type'))
    if not kind.startswith(_KNOWN):
        raise ConfigError(
            f'{name}: --epochs does not know what of {kind} to change; set param_scheduler and '
            'train_cfg.max_epochs by --cfg-options'
        )
    by_epoch = scheduler.get('by_epoch', True)
    lengths = {key: scheduler[key] for key in _LENGTHS if scheduler.get(key) is not None}
    if not by_epoch and lengths.get('begin') == warm_up:
        del lengths['begin']  # it goes on where the warm-up ends
    lengths = {key: _times(value, ratio) for key, value in lengths.items()}
    if kind.startswith('Exponential') and not scheduler.get('convert_to_iter_based'):
        scheduler['gamma'] = scheduler.get('gamma', 0.1) ** (1 / ratio)
        lengths = {key: max(round(value), key != 'begin') for key, value in lengths.items()}
    elif not by_epoch:
        lengths = {key: _rounded(value) for key, value in lengths.items()}
    elif any(value != _rounded(value) for value in lengths.values()):
        scheduler['convert_to_iter_based'] = True  # VideoTrainLoop makes whole iterations of them
    scheduler.update(lengths)


def _times(value: Any, ratio: float) -> Any:
    """A whole number where it is one, but for the last bits."""
    if isinstance(value, list | tuple):
        return [_times(one, ratio) for one in value]
    if value >= _ENDLESS:
        return value
    scaled = value * ratio
    return round(scaled) if abs(scaled - round(scaled)) < 1e-6 else scaled


def _rounded(value: Any) -> Any:
    return [round(one) for one in value] if isinstance(value, list) else round(value)
