"""Values of a config that have another type than what they are for, found before anything is built."""

from __future__ import annotations

import inspect
import logging
import math
import os
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import chain
from numbers import Integral, Real
from pathlib import PurePath
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS

from maskprop.engine.config import OPTIONAL_KEYS, ConfigError
from maskprop.engine.config_names import hint_at, own_parts, unknown_arguments, unknown_names, unknown_types
from maskprop.engine.config_parts import arguments_of, closest, makers, registered, resolve
from maskprop.utils.numeric import MOST_STRIDE

_DICTS = (
    'auto_scale_lr', 'default_hooks', 'env_cfg', 'log_processor', 'model', 'model_wrapper_cfg', 'optim_wrapper',
    'randomness', 'strategy', 'test_cfg', 'test_dataloader', 'train_cfg', 'train_dataloader', 'val_cfg',
    'val_dataloader', 'variants', 'visualization', 'visualizer',
)  # fmt: skip
_LISTS = ('custom_hooks', 'param_scheduler', 'test_evaluator', 'val_evaluator')  # of dicts; often one will do
_TEXTS = ('default_scope', 'experiment_name', 'launcher', 'load_from', 'work_dir')
_TOGETHER = {
    'train': ('train_dataloader', 'train_cfg', 'optim_wrapper'),
    'val': ('val_dataloader', 'val_cfg', 'val_evaluator'),
    'test': ('test_dataloader', 'test_cfg', 'test_evaluator'),
}
# classes whose annotations say what they take; those of others are asked once they have refused a value
_TRUSTED = ('maskprop.', 'mmengine.', 'torch.utils.data.')
_MOST = 2**31
# arguments that take more than their annotations say
_WIDER = dict(loss_scale=str | float | dict | None)
# what mmengine and torch take without annotations
_OF_LOADERS = dict(
    batch_size=int | None, num_workers=int, prefetch_factor=int | None, persistent_workers=bool, drop_last=bool,
    collate_fn=dict | Callable | None,
)  # fmt: skip
_OTHERS = {
    'auto_scale_lr.base_batch_size': int | None,
    'auto_scale_lr.enable': bool | None,
    'compile': dict | bool | None,
    'env_cfg.dist_cfg': dict | None,
    'env_cfg.mp_cfg': dict | None,
    'env_cfg.mp_cfg.opencv_num_threads': int | None,
    'find_unused_parameters': bool | None,
    'load_partial': bool | None,
    'log_processor.window_size': int | None,
    'metainfo': dict | None,
    'optim_wrapper.clip_grad': dict | None,
    'optim_wrapper.clip_grad.max_norm': float | None,
    'optim_wrapper.clip_grad.max_value': float | None,
    'optim_wrapper.paramwise_cfg': dict | None,
    'randomness.deterministic': bool | None,
    'rank_timeout': float | None,
    'resume': bool | None,
}
# (key, least, most); more workers or threads than these would fill a machine
_RANGES = (
    *((f'{split}_dataloader.num_workers', 0, 1024) for split in _TOGETHER),
    *((f'{split}_dataloader.batch_size', 1, _MOST) for split in _TOGETHER),
    ('auto_scale_lr.base_batch_size', 0, _MOST),
    ('optim_wrapper.accumulative_counts', 1, _MOST),
    ('env_cfg.mp_cfg.opencv_num_threads', -1, max(64, os.cpu_count() or 1)),
    ('rank_timeout', 1, _MOST),
)


def check_types(cfg: Config, runs: bool = True) -> None:
    """See that the values of a config have types that what they are for can take.

    Args:
        cfg: the config. runs: it is for a training or a test, for which some keys need each other.

    Raises:
        ConfigError: with the key of the first that hasn't, what is expected there and what was found.
    """
    fault = next(chain(_faults(cfg), _lacking(cfg) if runs else ()), None)
    if fault:
        raise ConfigError(f'config {cfg.filename}: {fault}')


def wrong_arguments(kind: Any, part: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with arguments of a part whose class's annotations do not allow the values, by argument."""
    # of schedules: whole floats count as well as integers; epochs that become iterations may be fractions
    is_schedule = getattr(kind, '__module__', '').startswith('mmengine.optim.scheduler')
    rounded = partial(_rounded, fractions=bool(part.get('convert_to_iter_based')))
    return {
        name: f'expected {_describe(hint)}, found {shown(part[name])}'
        for name, (hint, default) in _hints(kind).items()
        if name in part
        and not _filled_in(name, part[name], default)
        and not _fits(rounded(part[name]) if is_schedule else part[name], _WIDER.get(name, hint))
    }


def _rounded(value: Any, fractions: bool) -> Any:
    if isinstance(value, list | tuple):
        return [_rounded(entry, fractions) for entry in value]
    whole = isinstance(value, float) and math.isfinite(value) and (fractions or value.is_integer())
    return round(value) if whole else value


def _filled_in(name: str, value: Any, default: Any) -> bool:
    """Whether None stands for a default, or for the number of classes, which the data tell."""
    return value is None and (default is None or name == 'num_classes')


def shown(value: Any) -> str:
    """A short repr of a value of a config."""
    text = repr(value)
    return text if len(text) <= 80 else f'{text[:77]}...'


def _faults(cfg: Config) -> Iterator[str]:
    yield from _containers(cfg)
    yield from _runtime(cfg)
    for key in (key for key in cfg if key in OPTIONAL_KEYS):  # not the variables of its file
        yield from _not_numbers(cfg[key], key)
        yield from _parts(cfg[key], key)
    for name, options in (cfg.get('variants') or {}).items():
        if not isinstance(options, Mapping):
            yield f'variants.{name}: expected a dict, found {shown(options)}'
        else:
            yield from stream_faults(cfg.get('model') or {}, options, f'variants.{name}')
    for split in _TOGETHER:
        yield from _loader(cfg, f'{split}_dataloader')
    yield from _schedule(cfg)
    yield from unknown_names(cfg)


def _parts(value: Any, path: str) -> Iterator[str]:
    """Of the parts of a value, those with arguments of wrong types."""
    for place, part, registry in own_parts(value, path):
        kind = part['type']
        if not (isinstance(kind, str) and kind.strip()) and not callable(kind):
            yield f'{place}.type: expected the name of a class, found {shown(kind)}'
        elif getattr(found := resolve(kind, registry), '__module__', '').startswith(_TRUSTED):
            yield from (f'{place}.{name}: {fault}' for name, fault in wrong_arguments(found, part).items())
            stride = part.get('frame_stride')
            if isinstance(stride, int) and _fits(stride, int) and not 1 <= stride <= MOST_STRIDE:
                expected = f'expected a number from 1 to {MOST_STRIDE}'
                yield f'{place}.frame_stride: {expected}, found {shown(stride)}'


def stream_faults(model: Mapping[str, Any], options: Mapping[str, Any], path: str) -> Iterator[str]:
    """'KEY: what is wrong with it', of the names and types of what a model's ``start_video`` is to get.

    Args:
        model: its config. options: keyword arguments. path: of the options, for messages.
    """
    kind = getattr(resolve(model.get('type')), 'FORWARDS', None)
    if kind is None:
        return
    known = arguments_of(kind)
    for name in options:
        if name not in known:
            yield f'{path}.{name}: {model["type"]} has no such argument{hint_at(name, known)}'
    yield from (f'{path}.{name}: {fault}' for name, fault in wrong_arguments(kind, options).items())
    yield from unknown_types(options, path)
    yield from _parts(options, path)
    yield from unknown_arguments(options, path)


def _lacking(cfg: Config) -> Iterator[str]:
    scope = cfg.get('default_scope')
    if scope not in MODELS.children:
        yield f"default_scope: expected 'mmdet', where the classes of configs are, found {shown(scope)}"
    for keys in _TOGETHER.values():
        given = [key for key in keys if cfg.get(key)]
        if given and len(given) < len(keys):
            missing = ' and '.join(key for key in keys if key not in given)
            verb = 'is' if len(given) == 1 else 'are'
            yield f'{missing}: not set, but {" and ".join(given)} {verb}; set all of {", ".join(keys)}, or none'


def _containers(cfg: Config) -> Iterator[str]:
    for key in _DICTS:
        if cfg.get(key) is not None and not isinstance(cfg[key], Mapping):
            yield f'{key}: expected a dict, found {shown(cfg[key])}'
    for key in ('env_cfg', 'randomness'):  # of which mmengine's Runner takes no None
        if key in cfg and cfg[key] is None:
            yield f'{key}: expected a dict, found None'
    for key in _LISTS:
        value = cfg.get(key)
        alone = isinstance(value, Mapping) and key != 'custom_hooks'  # of which mmengine takes a list only
        if value is not None and not alone and not isinstance(value, list | tuple):
            yield f'{key}: expected a list of dicts, found {shown(value)}'
        for number, entry in enumerate(value if isinstance(value, list | tuple) else ()):
            if not isinstance(entry, Mapping) or 'type' not in entry:
                yield f'{key}.{number}: expected dict(type=...), found {shown(entry)}'
    for key in _TEXTS:
        if cfg.get(key) is not None and not isinstance(cfg[key], str | PurePath):
            yield f'{key}: expected a text, found {shown(cfg[key])}'
        elif isinstance(cfg.get(key), str) and not cfg[key].strip():
            yield f'{key}: is empty; leave it out, or set it to None'
    for name, hook in (cfg.get('default_hooks') or {}).items():
        if hook is not None and not (isinstance(hook, Mapping) and 'type' in hook):
            yield f'default_hooks.{name}: expected dict(type=...) or None, found {shown(hook)}'
    for key in ('model',):
        if cfg.get(key) and 'type' not in cfg[key]:
            yield f'{key}.type: is not set'


def _runtime(cfg: Config) -> Iterator[str]:
    level = cfg.get('log_level')
    if level is not None and not (isinstance(level, str) and isinstance(logging.getLevelName(level), int)):
        if not isinstance(level, int) or isinstance(level, bool):
            yield f"log_level: expected 'DEBUG', 'INFO', 'WARNING' or 'ERROR', found {shown(level)}"
    seed = (cfg.get('randomness') or {}).get('seed')
    if seed is not None and not (_fits(seed, int) and 0 <= seed < 2**32):
        yield f'randomness.seed: expected a whole number from 0 to {2**32 - 1}, or None, found {shown(seed)}'
    for key, hint in _OTHERS.items():
        value = _at(cfg, key)
        if not _fits(value, hint):
            yield f'{key}: expected {_describe(hint)}, found {shown(value)}'
    for key, least, most in _RANGES:
        value = _at(cfg, key)
        if _fits(value, float) and not least <= value <= most:
            yield f'{key}: expected a number from {least} to {most}, found {shown(value)}'
    method = _at(cfg, 'env_cfg.mp_cfg.mp_start_method')
    if method not in (None, 'fork', 'spawn', 'forkserver'):
        yield f"env_cfg.mp_cfg.mp_start_method: expected 'fork', 'spawn' or 'forkserver', found {shown(method)}"


def _loader(cfg: Config, key: str) -> Iterator[str]:
    loader = cfg.get(key)
    if not loader:
        return
    for name, hint in _OF_LOADERS.items():
        if name in loader and not _fits(loader[name], hint):
            yield f'{key}.{name}: expected {_describe(hint)}, found {shown(loader[name])}'
    dataset = loader.get('dataset')
    if isinstance(dataset, Mapping) and isinstance(file := dataset.get('ann_file'), str) and not file.strip():
        yield f'{key}.dataset.ann_file: is empty; set it to the annotation file'
    for name in ('dataset', 'sampler', 'batch_sampler'):
        part = loader.get(name)
        if (name == 'dataset' or part is not None) and not (isinstance(part, Mapping) and 'type' in part):
            yield f'{key}.{name}: expected dict(type=...), found {shown(part)}'


def _schedule(cfg: Config) -> Iterator[str]:
    for key in ('max_epochs', 'max_iters'):
        value = (cfg.get('train_cfg') or {}).get(key)
        if value is not None and not (_fits(value, int) and 0 <= value < _MOST):
            yield f'train_cfg.{key}: expected a whole number from 0 to {_MOST - 1}, found {shown(value)}'
    wrapper = cfg.get('optim_wrapper') or {}
    optimizer = wrapper.get('optimizer')
    if wrapper and 'constructor' not in wrapper and not (isinstance(optimizer, Mapping) and 'type' in optimizer):
        yield f'optim_wrapper.optimizer: expected dict(type=..., lr=...), found {shown(optimizer)}'
    named, what = wrapper.get('constructor'), 'optimizer constructor'
    if isinstance(named, str) and '.' not in named and named not in registered(what):
        yield f'optim_wrapper.constructor: there is no {what} {named!r}{closest(named, registered(what))}'
    schedulers = cfg.get('param_scheduler') or ()
    for number, part in enumerate(schedulers if isinstance(schedulers, list | tuple) else [schedulers]):
        length = part.get('T_max') if isinstance(part, Mapping) else None
        if length is not None and _fits(length, float) and not length > 0:
            yield f'param_scheduler.{number}.T_max: expected a number above 0, found {shown(length)}'
    rate = optimizer.get('lr') if isinstance(optimizer, Mapping) else None
    if rate is not None and not (_fits(rate, float) and 0 <= rate < math.inf):
        yield f'optim_wrapper.optimizer.lr: expected a number of 0 or more, found {shown(rate)}'


def _at(cfg: Config, key: str) -> Any:
    """The value at a dotted key; None where there is none."""
    value: Any = cfg
    for name in key.split('.'):
        value = value.get(name) if isinstance(value, Mapping | Config) else None
    return value


def _not_numbers(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, float) and math.isnan(value):
        yield f'{path}: found nan, expected a number'
    entries: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        entries = value.items()
    elif isinstance(value, list | tuple):
        entries = enumerate(value)
    for key, entry in entries:
        yield from _not_numbers(entry, f'{path}.{key}')


@cache
def _hints(kind: Any) -> dict[str, tuple[Any, Any]]:
    """(annotation, default) of each argument; without annotations that cannot be read."""
    found: dict[str, tuple[Any, Any]] = {}
    if hasattr(kind, 'FORWARDS'):
        found.update(_hints(kind.FORWARDS))
    for function in makers(kind) if callable(kind) else ():
        try:
            hints = typing.get_type_hints(function)
        except Exception:  # names of other libraries that are there for type checkers only
            continue
        for name, parameter in inspect.signature(function).parameters.items():
            if name in hints:
                found.setdefault(name, (hints[name], parameter.default))
    return found


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of a config may stand for an annotation; what is not plain Python is let pass."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is typing.Literal:
        return value in inner
    if hint is type(None):
        return value is None
    if hint is bool:
        return isinstance(value, bool | Integral)
    if hint is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, Real) and not isinstance(value, bool)
    if hint is str:
        return isinstance(value, str | PurePath) or inspect.isclass(value)  # itself in place of its name
    if (origin or hint) in (list, tuple, Sequence, Iterable):
        return isinstance(value, list | tuple | range) and _fits_entries(value, origin, inner)
    if (origin or hint) in (dict, Mapping):
        return isinstance(value, Mapping)
    return True


def _fits_entries(value: Sequence, origin: Any, inner: tuple) -> bool:
    if origin is tuple and inner and inner[-1] is not Ellipsis:
        return len(value) == len(inner) and all(map(_fits, value, inner))
    entries = value[:1] if isinstance(value, range) else value  # which are alike, and maybe without end
    return not inner or all(_fits(entry, inner[0]) for entry in entries)


def _describe(hint: Any) -> str:
    text = hint.__name__ if inspect.isclass(hint) and not typing.get_args(hint) else str(hint)
    return text.replace('typing.', '').replace('NoneType', 'None')
