"""What a checkpoint holds beside weights, checked before anything is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from maskprop.engine.checkpoint import CheckpointError

_MOST = 2**31  # epochs, iterations


def check_content(content: Any, name: str, resume: bool = False) -> None:
    """See that what will be read of a checkpoint is of the right kind.

    Args:
        content: of the checkpoint. name: of the checkpoint, for errors. resume: a training is to go on from it.

    Raises:
        CheckpointError: it isn't; the message names checkpoint, field and what was found.
    """
    if not isinstance(content, Mapping):
        _fail(name, '', content, 'a dict with a state_dict')
    meta = _mapping(content, 'meta', name)
    for key in ('dataset_meta', 'DATASET_META'):
        classes = {str(field).lower(): value for field, value in _mapping(meta, key, name, 'meta.').items()}
        _check_classes(classes, name, f'meta.{key}.')
    _check_classes({'classes': meta.get('CLASSES', meta.get('classes'))}, name, 'meta.')
    if not resume:
        return
    for key in ('epoch', 'iter'):
        value = meta.get(key)
        if value is None or not _is_count(value) or value >= _MOST:
            _fail(name, f'meta.{key}', value, f'a whole number from 0 to {_MOST - 1}, to go on from')
    seed = meta.get('seed')
    if seed is not None and not (_is_count(seed) and seed < 2**32):
        _fail(name, 'meta.seed', seed, f'a whole number from 0 to {2**32 - 1}')
    if 'message_hub' in content:
        hub = content['message_hub']
        if not isinstance(hub, Mapping):
            _fail(name, 'message_hub', hub, 'a dict')
        for key in ('log_scalars', 'runtime_info', 'resumed_keys'):
            _mapping(hub, key, name, 'message_hub.')
        length = (hub.get('runtime_info') or {}).get('iters_per_epoch')
        if length is not None and not (_is_count(length) and length):
            _fail(name, 'message_hub.runtime_info.iters_per_epoch', length, 'a whole number of 1 or more')
        if length is not None:
            _check_progress(meta['epoch'], meta['iter'], length, name)
    for key in ('optimizer', 'state_dict'):
        if key in content and not isinstance(content[key], Mapping):
            _fail(name, key, content[key], 'a dict')
    if 'optimizer' in content:
        _check_optimizer(content['optimizer'], name)
    for key in ('param_schedulers', 'random_states'):
        if content.get(key) is not None:
            _check_dicts(content[key], key, name)


def _check_progress(epochs: int, done: int, length: int, name: str) -> None:
    least, most = epochs * length, (epochs + 1) * length
    if not least <= done <= most:
        _fail(name, 'meta.iter', done, f'{least} to {most}, as {epochs} epochs of {length} iterations are done')


def _check_optimizer(state: Mapping[str, Any], name: str) -> None:
    if 'param_groups' not in state:
        _fail(name, 'optimizer', state, 'a dict with state and param_groups')
    _mapping(state, 'state', name, 'optimizer.')
    _check_dicts(state['param_groups'], 'optimizer.param_groups', name)


def _check_dicts(value: Any, field: str, name: str) -> None:
    if not (_is_list(value) and all(isinstance(part, Mapping) for part in value)):
        _fail(name, field, value, 'a list of dicts')


def _check_classes(meta: Mapping[str, Any], name: str, where: str) -> None:
    classes, ids = meta.get('classes'), meta.get('category_ids')
    if classes is not None and not (_is_list(classes) and all(isinstance(c, str) for c in classes)):
        _fail(name, f'{where}classes', classes, 'a list of class names')
    if ids is not None and not (_is_list(ids) and all(isinstance(i, int) for i in ids)):
        _fail(name, f'{where}category_ids', ids, 'a list of whole numbers')


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _mapping(owner: Mapping[str, Any], key: str, name: str, where: str = '') -> Mapping[str, Any]:
    value = owner.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        _fail(name, f'{where}{key}', value, 'a dict')
    return value


def _fail(name: str, field: str, found: Any, expected: str) -> NoReturn:
    text = f'{found!r}' if isinstance(found, str | int | float | None) else f'a {type(found).__name__}'
    place = f'{field}: ' if field else ''
    text = text if len(text) <= 80 else f'{text[:77]}...'
    raise CheckpointError(
        f'checkpoint {name}: {place}expected {expected}, found {text}; it is damaged, or not a checkpoint of '
        'mmengine. Use another one'
    )
