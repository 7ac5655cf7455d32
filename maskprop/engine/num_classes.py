"""``num_classes`` of a model config's heads: filled in where it is missing, checked where it is set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from maskprop.engine.config import ConfigError

ALWAYS = ('bbox_head', 'mask_head')  # mmdet's have classes also where the key is left out
WITHOUT = ('rpn_head',)  # knows objects only


def fit_num_classes(model_cfg: dict, num_classes: int, source: str = 'the data set') -> None:
    """Fill in or check ``num_classes`` of every head of a model config, in place.

    A head is what stands under a key that ends in ``_head``. HTC has lists of three; all are visited. A
    ``semantic_head`` needs one more class, for the background, or as many stuff classes as it likes. The model's
    own ``num_classes``, which stands for those that are missing, gives way to this one.

    Args:
        model_cfg: the model's config.
        num_classes: of the data set.
        source: says in errors where ``num_classes`` comes from.

    Raises:
        ConfigError: a head has another number of classes.
    """
    fill_num_classes(model_cfg, num_classes)
    if model_cfg.get('num_classes') is not None:
        model_cfg['num_classes'] = num_classes
    for key, head in heads_with_classes(model_cfg, 'model'):
        semantic = _is_semantic(key)
        wanted, found = num_classes + semantic, head['num_classes']
        if found < wanted if semantic else found != wanted:
            raise ConfigError(
                f'{key}.num_classes is {found}, but {source} has {num_classes} classes: set it to {wanted}, or '
                'to None, and it is taken from the data set'
            )


def fill_num_classes(model_cfg: dict, num_classes: int | None) -> None:
    """Fill in ``num_classes`` of the heads that have none, in place.

    Raises:
        ConfigError: ``num_classes`` is None, and a head has None too.
    """
    for key, head in heads_with_classes(model_cfg, 'model'):
        if num_classes is not None and head.get('num_classes') is None:
            head['num_classes'] = num_classes + _is_semantic(key)
        elif head.get('num_classes', 0) is None:
            raise ConfigError(
                f'{key}.num_classes is not set: set model.num_classes to the number of classes of the data set '
                "(maskprop train and maskprop test do it by themselves, mmengine's Runner alone doesn't)"
            )


def heads_with_classes(node: Any, path: str) -> Iterator[tuple[str, dict]]:
    """(key, config) of every head in ``node`` that classifies."""
    if isinstance(node, dict):
        for name, value in node.items():
            several = isinstance(value, list | tuple)
            for index, head in enumerate(value if several else [value]):
                if isinstance(head, dict) and 'type' in head and _classifies(name, head):
                    yield f'{path}.{name}' + (f'[{index}]' if several else ''), head
            yield from heads_with_classes(value, f'{path}.{name}')
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from heads_with_classes(value, f'{path}[{index}]')


def _classifies(name: str, head: dict) -> bool:
    if name in ALWAYS or name == 'semantic_head':
        return True
    return name.endswith('_head') and name not in WITHOUT and 'num_classes' in head


def _is_semantic(key: str) -> bool:
    return key.split('.')[-1].startswith('semantic_head')
