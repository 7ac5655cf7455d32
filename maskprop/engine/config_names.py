"""Names in a config that nothing would read: a misspelt key has no effect, and no other error tells of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config
from torch.utils.data import DataLoader

from maskprop.engine.cfg_options import value_at
from maskprop.engine.config import OPTIONAL_KEYS
from maskprop.engine.config_parts import (
    LOADERS,
    arguments_of,
    closest,
    is_known,
    is_open,
    keeps_rest,
    name_of,
    nearly,
    parts_of,
    registered,
    resolve,
)

# beside the arguments of a part's class: what mmengine takes out of the part before the class is called
_READ_BEFORE = {
    'custom_hooks': ('priority',),
    'default_hooks': ('priority',),
    **dict.fromkeys(LOADERS, ('num_batch_per_epoch',)),
    'optim_wrapper': ('constructor', 'paramwise_cfg'),
    'param_scheduler': ('convert_to_iter_based',),
    'train_cfg': ('by_epoch',),
}
# of mmengine's Runner, where a config names none
DEFAULT_LOOPS = dict(train_cfg='EpochBasedTrainLoop', val_cfg='ValLoop', test_cfg='TestLoop')
_DEFAULT_HOOKS = (
    'runtime_info',
    'timer',
    'sampler_seed',
    'logger',
    'param_scheduler',
    'checkpoint',
    'visualization',
)
# of dicts without a type: all that is read
_PLAIN = {
    'auto_scale_lr': ('base_batch_size', 'enable'),
    'env_cfg': ('cudnn_benchmark', 'dist_cfg', 'mp_cfg', 'resource_limit'),
    'env_cfg.mp_cfg': ('mp_start_method', 'opencv_num_threads'),
    'optim_wrapper.clip_grad': (
        'clip_value', 'error_if_nonfinite', 'foreach', 'max_norm', 'norm_type', 'parameters', 'type',
    ),
    'randomness': ('deterministic', 'diff_rank_seed', 'seed'),
}  # fmt: skip
_PARAMWISE = (
    'bias_decay_mult', 'bias_lr_mult', 'bypass_duplicate', 'custom_keys', 'dcn_offset_lr_mult',
    'dwconv_decay_mult', 'flat_decay_mult', 'norm_decay_mult',
)  # fmt: skip
# (place of a part, the registry that mmengine looks for its type in)
_REGISTRIES = [
    (re.compile(place), registry)
    for place, registry in (
        (r'(custom|default)_hooks\.\w+', 'hook'),
        (r'(train|val|test)_cfg', 'loop'),
        (r'(train|val|test)_dataloader(\.dataset|\.datasets\.\d+)+', 'dataset'),
        (r'.*\.pipeline\.\d+', 'transform'),
        (r'(.*\.)?(linker|propagator)', 'task util'),
        (r'(train|val|test)_dataloader\.(batch_)?sampler', 'data sampler'),
        (r'(val|test)_evaluator\.metrics(\.\d+)?', 'metric'),
        (r'log_processor', 'log_processor'),
        (r'optim_wrapper', 'optim_wrapper'),
        (r'optim_wrapper\.optimizer', 'optimizer'),
        (r'param_scheduler(\.\d+)?', 'parameter scheduler'),
        (r'visualizer', 'visualizer'),
        (r'visualizer\.vis_backends\.\d+', 'vis_backend'),
    )
]
_NMS_KEYS = (
    'class_agnostic', 'iou_thr', 'iou_threshold', 'max_num', 'method', 'min_score', 'offset', 'score_threshold',
    'sigma', 'split_thr', 'type',
)  # fmt: skip
_PROPOSAL_KEYS = ('max_per_img', 'min_bbox_size', 'nms', 'nms_across_levels', 'nms_post', 'nms_pre')
_ASSIGNED = ('allowed_border', 'assigner', 'debug', 'pos_weight', 'sampler')
_GUIDED = ('center_ratio', 'ga_assigner', 'ga_sampler', 'ignore_ratio')
_POINTS = (
    'importance_sample_ratio', 'num_points', 'oversample_ratio', 'scale_factor', 'subdivision_num_points',
    'subdivision_steps',
)  # fmt: skip
# what mmdet's two-stage detectors read of train_cfg and test_cfg, by the name of the dict
_OF_STAGES = {
    'train_cfg': ('rcnn', 'rpn', 'rpn_proposal'),
    'test_cfg': ('rcnn', 'rpn'),
    'rpn': (*_PROPOSAL_KEYS, *_ASSIGNED, *_GUIDED),
    'rpn_proposal': _PROPOSAL_KEYS,
    'rcnn': (
        *_ASSIGNED, *_POINTS, 'carl', 'dynamic_rcnn', 'isr', 'mask_size', 'mask_thr_binary', 'max_num_grid',
        'max_per_img', 'nms', 'pos_radius', 'score_thr',
    ),
    'nms': _NMS_KEYS,
}  # fmt: skip
# a one-stage detector's class says what it reads; these are usual
_OF_ONE_STAGE = (
    *_PROPOSAL_KEYS, *_ASSIGNED, 'conf_thr', 'filter_thr', 'kernel', 'mask_thr', 'mask_thr_binary',
    'multi_label', 'score_thr', 'sigma',
)  # fmt: skip


def unknown_names(cfg: Config) -> Iterator[str]:
    """'KEY: what is wrong with it', of each key whose name nothing reads, and of each type that is none."""
    for key in (key for key in cfg if key in OPTIONAL_KEYS):  # not the variables of its file
        if key != 'model':  # whose parts have registries of their own; building it asks them
            yield from unknown_types(cfg[key], key)
        yield from unknown_arguments(cfg[key], key)
    kinds = {**DEFAULT_LOOPS, 'visualization': 'VideoVisualizationHook', **dict.fromkeys(LOADERS, DataLoader)}
    if not (value_at(cfg, 'train_cfg') or {}).get('by_epoch', True):
        kinds['train_cfg'] = 'IterBasedTrainLoop'
    if not (value_at(cfg, 'optim_wrapper') or {}).get('constructor'):  # which may have several
        kinds['optim_wrapper'] = 'OptimWrapper'
    for key, kind in kinds.items():
        if isinstance(cfg.get(key), Mapping) and 'type' not in cfg[key]:
            yield from _arguments(key, resolve(kind), cfg[key])
    for key, known in _PLAIN.items():
        yield from _not_among(known, value_at(cfg, key), key)
    if not (value_at(cfg, 'optim_wrapper') or {}).get('constructor'):
        yield from _not_among(
            _PARAMWISE, value_at(cfg, 'optim_wrapper.paramwise_cfg'), 'optim_wrapper.paramwise_cfg'
        )
    for name in cfg.get('default_hooks') or {}:
        if name not in _DEFAULT_HOOKS and (meant := nearly(name.rstrip('_0123456789'), _DEFAULT_HOOKS)):
            yield f'default_hooks.{name}: would be a hook beside the usual ones; did you mean {meant!r}?'


def unknown_arguments(value: Any, path: str) -> Iterator[str]:
    """'KEY: what is wrong with it', of each name in the parts of a value that their classes would not read."""
    for place, part, registry in own_parts(value, path):
        kind = resolve(part['type'], registry)
        if not callable(kind):
            continue
        yield from _arguments(place, kind, part)
        if place.endswith('detector') and getattr(kind, '__module__', '').startswith(('maskprop.', 'mmdet.')):
            for name in ('train_cfg', 'test_cfg'):
                yield from _of_detector(f'{place}.{name}', name, part.get(name))


def unknown_types(value: Any, path: str) -> Iterator[str]:
    """'KEY.type: there is no ...', of each part of a value whose type nothing has."""
    for place, part, registry in own_parts(value, path):
        kind = part['type']
        known = registered(registry)
        if isinstance(kind, str) and kind.strip() and '.' not in kind and kind not in known:
            what = f'{registry} {kind!r}' if registry else f'{kind!r}'
            own = '' if nearly(kind, known) else '; if it is your own, name its module in custom_imports'
            yield f'{place}.type: there is no {what}{own}{closest(kind, known)}'


def own_parts(value: Any, path: str) -> Iterator[tuple[str, Mapping, str | None]]:
    """Parts with the registry of their type, as far as their place tells it.

    Without dicts in parts of others' classes, whose ``type`` may name whatever these like; what is in a model is
    built in any case.
    """
    others: tuple[str, ...] = ()
    for place, part in parts_of(value, path):
        registry = next((name for pattern, name in _REGISTRIES if pattern.fullmatch(place)), None)
        if registry is None and place.startswith(others) and not place.startswith('model.'):
            continue
        yield place, part, registry
        kind = resolve(part['type'], registry)
        if not is_known(kind) or getattr(kind, '__module__', '').startswith('mmengine.'):
            others = (*others, f'{place}.')


def _arguments(path: str, kind: Any, part: Mapping[str, Any]) -> Iterator[str]:
    """Names that are no arguments of a part's class, nor of those that it hands arguments on to."""
    if keeps_rest(kind):
        return
    title = name_of(kind)
    for name in part:
        if not str(name).isidentifier():
            yield f'{path}.{name}: {name!r} can be no argument of {title}'
    first = path.split('.')[0]
    known = [*arguments_of(kind), *_READ_BEFORE.get(first, ())]
    if title == 'EMAHook':  # hands on what it does not know
        known += arguments_of(resolve(part.get('ema_type', 'ExponentialMovingAverage')))
    # building the model asks others' classes, unless they are open; some parts are for others, as norm_cfg is
    asked_later = first == 'model' and not getattr(kind, '__module__', '').startswith('maskprop.')
    takes = getattr(kind, 'takes', None)  # a class's own rule for further keys
    for name in map(str, part):
        if name in known or name in ('type', '_scope_') or not name.isidentifier() or (takes and takes(name)):
            continue
        if is_open(kind) and title != 'EMAHook':
            if meant := nearly(name, known):
                yield f'{path}.{name}: {title} would not read it; did you mean {meant!r}?'
        elif not asked_later:
            yield f'{path}.{name}: {title} has no such argument{hint_at(name, known)}'


def _of_detector(path: str, level: str, value: Any) -> Iterator[str]:
    """Keys that a detector's stages do not read; cascades have a list of dicts for their stages."""
    if isinstance(value, list | tuple):
        for number, entry in enumerate(value):
            yield from _of_detector(f'{path}.{number}', level, entry)
    if not isinstance(value, Mapping):
        return
    if level.endswith('_cfg') and not {'rpn', 'rcnn', 'rpn_proposal'} & set(value):
        for name in map(str, value):
            if name not in _OF_ONE_STAGE and (meant := nearly(name, _OF_ONE_STAGE)) and meant not in value:
                yield f'{path}.{name}: is read by nothing; did you mean {meant!r}?'
    else:
        yield from _not_among(_OF_STAGES[level], value, path)
    for name, entry in value.items():
        if name in _OF_STAGES:
            yield from _of_detector(f'{path}.{name}', name, entry)


def _not_among(known: tuple[str, ...], value: Any, path: str) -> Iterator[str]:
    for name in map(str, value if isinstance(value, Mapping) else ()):
        if name not in known:
            yield f'{path}.{name}: is no such key{hint_at(name, known)}'


def hint_at(name: str, known: Any) -> str:
    """What a name may have been meant to be, or all that there are, for the end of a message."""
    return closest(str(name), known) or (f'; it has {", ".join(known)}' if known else '')
