"""What a config names and cannot be built, said in one line with the key's place in the config."""

from __future__ import annotations

import inspect
import re
from collections import ChainMap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry
from torch.utils.data import DataLoader

from maskprop.engine.config import OPTIONAL_KEYS, ConfigError

UNKNOWN = re.compile(r'(\S+) is not in the \w+::(.+?) registry')
UNEXPECTED = re.compile(r"(\w+)(?:\.__init__)?\(\) got an unexpected keyword argument '(\w+)'")
MISSING = re.compile(r'(\w+)(?:\.__init__)?\(\) missing \d+ required [\w -]*arguments?: (.+)')


@contextmanager
def explain_build_errors(cfg: Config, values: bool = False) -> Iterator[None]:
    """Unknown types, unexpected and missing arguments in ``cfg`` become a ConfigError; other errors pass.

    Args:
        cfg: what is built. values: values that are refused with a ValueError do too.

    Raises:
        ConfigError: it names the key and, for a misspelt one, the closest that there is.
    """
    try:
        yield
    except ValueError as error:
        if not values or type(error) is not ValueError:  # the project's own errors say what to do
            raise
        raise ConfigError(f'config {cfg.filename}: {error}') from error
    except (KeyError, TypeError) as error:
        message = _explain(cfg, str(error.args[0]) if error.args else '')
        if message is None:
            raise
        raise ConfigError(f'config {cfg.filename}: {message}') from error


@contextmanager
def explain_downloads(cfg: Config) -> Iterator[None]:
    """Say which key asks for weights that could not be downloaded, and how to do without them.

    Args:
        cfg: what is built and initialised.

    Raises:
        ConnectionError: with the same message, and the key.
    """
    try:
        yield
    except ConnectionError as error:
        keys = _keys_of_downloads(cfg, str(error))
        if not keys:
            raise
        options = ' '.join(f'{key}=None' for key in keys)
        raise type(error)(
            f'{error}. It is asked for by {" and ".join(keys)}: to begin without it, --cfg-options {options}'
        ) from error


def _keys_of_downloads(cfg: Config, message: str) -> list[str]:
    """Keys of the config whose weights a message is about: those with its address, else all with a short name."""
    remote = {}
    for path, value in _strings(cfg._cfg_dict, ''):
        first = path.split('.')[0]
        if '://' in value and (first == 'model' or path == 'load_from'):
            remote[path.removesuffix('.checkpoint')] = value
    exact = [key for key, value in remote.items() if value in message]
    return exact or [key for key, value in remote.items() if not value.startswith('http')]


def _strings(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every string in a config with its path, as ``--cfg-options`` takes it."""
    if isinstance(value, str):
        yield path, value
    items = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    )
    for key, entry in items:
        yield from _strings(entry, f'{path}.{key}' if path else str(key))


def _explain(cfg: Config, text: str) -> str | None:
    """What an error of mmengine's registries or of Python is in terms of the config; None: it isn't about it."""
    parts = [(path, part) for key in cfg if key in OPTIONAL_KEYS for path, part in _parts(cfg[key], key)]
    loaders = [key for key in cfg if key.endswith('_dataloader') and cfg[key]]
    parts += [(key, dict(cfg[key], type=DataLoader)) for key in loaders]
    if match := UNKNOWN.match(text):
        wanted, kind = match.groups()
        path = next((path for path, part in parts if part['type'] == wanted), None)
        return path and f'{path}.type: there is no {kind} {wanted!r}{_closest(wanted, _registered(kind))}'
    if match := UNEXPECTED.match(text):
        name, key = match.groups()
        # a class that takes the key, but hands it on to a base class that doesn't, is itself at fault
        kinds = [(path, kind) for path, part in parts if key in part and (kind := _kind(part, name))]
        path, kind = next(((path, kind) for path, kind in kinds if key not in _arguments(kind)), (None, None))
        if kind is None:
            return None
        known = _arguments(kind)
        hint = _closest(key, known) or (f'; it has {", ".join(known)}' if known else '')
        return f'{path}.{key}: {kind.__name__} has no such argument{hint}'
    if match := MISSING.match(text):
        name, words = match.groups()
        missing = re.findall(r"'(\w+)'", words)
        for path, part in parts:
            kind = _kind(part, name)
            if kind and set(missing) <= set(_arguments(kind)) - set(part):
                return f'{path}: {part["type"]} needs {", ".join(missing)}'
    return None


def _parts(value: Any, path: str) -> Iterator[tuple[str, dict]]:
    """Every dict in ``value`` that has a ``type``, with its path, as ``--cfg-options`` takes it."""
    if isinstance(value, dict):
        if 'type' in value:
            yield path, value
        for key, entry in value.items():
            yield from _parts(entry, f'{path}.{key}')
    elif isinstance(value, list | tuple):
        for index, entry in enumerate(value):
            yield from _parts(entry, f'{path}.{index}')


def _kind(part: dict, name: str) -> Any:
    """What a part's ``type`` is, if it or a class that it is made from has this name; else None."""
    kind = part['type']
    if isinstance(kind, str):
        kind = _registered().get(kind.rpartition('.')[2])
    bases = kind.__mro__ if inspect.isclass(kind) else [kind]
    return kind if name in [getattr(base, '__name__', None) for base in bases] else None


def _registered(kind: str | None = None) -> Mapping[str, Any]:
    """All that a config can name, or of a registry of this name."""
    from mmdet import registry as mmdet_registry

    found = []
    for registry in vars(mmdet_registry).values():
        while isinstance(registry, Registry) and kind in (None, registry.name):
            found.append(registry.module_dict)
            registry = registry.parent
    return ChainMap(*found)


def _arguments(kind: Any) -> list[str]:
    """Names of its arguments, those that it hands on to its base classes, or to its ``FORWARDS``, too."""
    names: list[str] = _arguments(kind.FORWARDS) if hasattr(kind, 'FORWARDS') else []
    for function in [vars(base).get('__init__') for base in kind.__mro__] if inspect.isclass(kind) else [kind]:
        if function is None or function is object.__init__:
            continue
        parameters = inspect.signature(function).parameters.values()
        names += [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        if not any(p.kind == p.VAR_KEYWORD for p in parameters):
            break
    return [name for name in dict.fromkeys(names) if name != 'self']


def _closest(word: str, known: Any) -> str:
    close = get_close_matches(word, list(known), 1)
    return f'; did you mean {close[0]!r}?' if close else ''
