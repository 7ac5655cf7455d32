"""What a config from elsewhere may not say: values by which the libraries that it configures would run code.

A config of plain values can still run code when it is used. mmengine takes a dotted ``type`` for a Python object
and imports it, mmcv evaluates the ``type`` of its NMS, and annotation files in pickle or YAML can hold anything.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import PurePath
from typing import Any

from mmengine import registry as registries
from mmengine.registry import Registry

import maskprop

_DOTTED = re.compile(r'[A-Za-z_]\w*(\.[A-Za-z_]\w*)+')
_CODE_FILE = re.compile(r'(^|\.)(pkl|pickle|ya?ml)$', re.IGNORECASE)
_FILES = ('.json', '.pth', '.jpg', '.png', '.zip', '.mp4')
_UNUSED = ('classes', 'metainfo', 'custom_imports')  # shown, never looked up or imported


def check_foreign_config(config: Mapping[str, Any]) -> None:
    """See that nothing in a config can run code, or import what nobody registered, when it is used.

    Raises:
        ValueError: something may; names the key.
    """
    for key, text in _texts(config, ''):
        if why := _danger(text):
            raise ValueError(
                f'{key}={text!r} {why}. A config in published weights has plain values and registered types only'
            )


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """(key, text) of all texts that something may be looked up by."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, child in value.items():
            if name not in _UNUSED:
                yield from _texts(child, f'{key}.{name}'.lstrip('.'))
    elif isinstance(value, list | tuple):
        for index, child in enumerate(value):
            yield from _texts(child, f'{key}.{index}')


def _danger(text: str) -> str | None:
    if _CODE_FILE.search(text):
        return 'names a file that can hold code'
    if _has_call(text):
        return 'reads as Python code'
    if _DOTTED.fullmatch(text) and PurePath(text).suffix not in _FILES and _is_importable(text):
        return None if _is_registered(text) else 'names a Python object that is not registered'
    return None


def _has_call(text: str) -> bool:
    if '(' not in text:
        return False
    try:
        tree = ast.parse(text.strip(), mode='eval')
    except (SyntaxError, ValueError):
        return False
    except (MemoryError, RecursionError):  # too deep to look at
        return True
    return any(isinstance(node, ast.Call) for node in ast.walk(tree))


def _is_importable(text: str) -> bool:
    first = text.split('.')[0]
    try:
        return first in sys.modules or find_spec(first) is not None
    except (ImportError, ValueError):
        return True


def _is_registered(text: str) -> bool:
    """Whether it is SCOPE.NAME of a registry."""
    maskprop.register_all()
    scope, _, name = text.partition('.')
    roots = [found for found in vars(registries).values() if isinstance(found, Registry)]
    return any(found.scope == scope and name in found.module_dict for found in _descendants(roots))


def _descendants(found: list[Registry]) -> Iterator[Registry]:
    for registry in found:
        yield registry
        yield from _descendants(list(registry.children.values()))
