"""What a config names and cannot be built, said in one line with the key's place in the config."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.config import Config
from torch.utils.data import DataLoader

from maskprop.engine.config import OPTIONAL_KEYS, ConfigError
from maskprop.engine.config_names import DEFAULT_LOOPS
from maskprop.engine.config_parts import (
    arguments_of,
    closest,
    guilty_key,
    part_at_work,
    part_being_built,
    parts_of,
    registered,
    resolve,
)
from maskprop.engine.config_types import wrong_arguments
from maskprop.utils.errors import UserError

UNKNOWN = re.compile(r'(\S+) is not in the \w+::(.+?) registry')
UNEXPECTED = re.compile(r"(\w+)(?:\.__init__)?\(\) got an unexpected keyword argument '(\w+)'")
MISSING = re.compile(r'(\w+)(?:\.__init__)?\(\) missing \d+ required [\w -]*arguments?: (.+)')


@contextmanager
def explain_build_errors(cfg: Config, values: bool = False) -> Iterator[None]:
    """Unknown types, unexpected and missing arguments in ``cfg`` become a ConfigError; other errors pass.

    Args:
        cfg: what is built. values: whatever is raised while a part is built does too, whose value it refuses.

    Raises:
        ConfigError: it names the key and, for a misspelt one, the closest that there is.
    """
    try:
        yield
    except (UserError, OSError):  # they say what to do
        raise
    except Exception as error:
        message = _misspelt(cfg, error)
        if message is None and values:
            message = refusal(cfg, error, part_being_built(error, _own(cfg)))
        if message is None and values and type(error) is ValueError:
            message = str(error)
        if message is None:
            raise
        raise ConfigError(f'config {cfg.filename}: {message}') from error


@contextmanager
def explain_run(cfg: Config) -> Iterator[None]:
    """Of a whole run: what a part refuses while it is built is a ConfigError; others pass, with the part's name.

    Raises:
        ConfigError: see :func:`refusal`.
    """
    try:
        yield
    except (UserError, OSError):
        raise
    except Exception as error:
        message = _misspelt(cfg, error) or refusal(cfg, error, part_being_built(error, _own(cfg)))
        if message is not None:
            raise ConfigError(f'config {cfg.filename}: {message}') from error
        if found := part_at_work(error, _own(cfg)):
            setattr(error, 'place', f'{found[0]} of {cfg.filename}')  # noqa: B010  for the tool's one line
        raise


@contextmanager
def explain_work(cfg: Config, key: str) -> Iterator[None]:
    """Whatever a first try of a part raises becomes a ConfigError that names the part, or ``key``.

    Raises:
        ConfigError: see :func:`refusal`.
    """
    try:
        yield
    except (UserError, OSError):
        raise
    except Exception as error:
        found = part_being_built(error, _own(cfg)) or part_at_work(error, _own(cfg))
        message = _misspelt(cfg, error) or refusal(cfg, error, found)
        message = message or f'{key}: {describe_error(error)}'
        raise ConfigError(f'config {cfg.filename}: {message}') from error


def refusal(cfg: Config, error: Exception, found: tuple[str, dict] | None) -> str | None:
    """'model.neck.num_outs=x: what FPN says of it', of the part that an error came from; None without a part."""
    if found is None:
        return None
    path, part = found
    wrong = wrong_arguments(resolve(part['type']), part)
    key = guilty_key(error, part, wrong)
    if key is None:
        return f'{path} ({_name(part["type"])}): {describe_error(error)}'
    return f'{path}.{key}: {wrong.get(key) or describe_error(error)}'


def describe_error(error: BaseException) -> str:
    """Its words in one line; with its kind, where that says something."""
    text = ' '.join(str(error).split()) or 'no message'
    text = text if len(text) <= 300 else f'{text[:297]}...'
    return text if type(error) in (ValueError, AssertionError) else f'{type(error).__name__}: {text}'


def _own(cfg: Config) -> dict[str, Any]:
    """What runs read of a config, without the variables of its file."""
    return {key: cfg[key] for key in cfg if key in OPTIONAL_KEYS}


def _name(kind: Any) -> str:
    return kind if isinstance(kind, str) else getattr(kind, '__name__', str(kind))


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


def _misspelt(cfg: Config, error: Exception) -> str | None:
    if not isinstance(error, KeyError | TypeError):
        return None
    return _explain(cfg, str(error.args[0]) if error.args else '')


def _explain(cfg: Config, text: str) -> str | None:
    """What an error of mmengine's registries or of Python is in terms of the config; None: it isn't about it."""
    parts = [(path, part) for key in cfg if key in OPTIONAL_KEYS for path, part in parts_of(cfg[key], key)]
    loaders = [key for key in cfg if key.endswith('_dataloader') and cfg[key]]
    parts += [(key, dict(cfg[key], type=DataLoader)) for key in loaders]
    untyped = [key for key in DEFAULT_LOOPS if isinstance(cfg.get(key), dict) and 'type' not in cfg[key]]
    parts += [(key, dict(cfg[key], type=DEFAULT_LOOPS[key])) for key in untyped]
    if match := UNKNOWN.match(text):
        wanted, kind = match.groups()
        path = next((path for path, part in parts if part['type'] == wanted), None)
        return path and f'{path}.type: there is no {kind} {wanted!r}{closest(wanted, registered(kind))}'
    if match := UNEXPECTED.match(text):
        name, key = match.groups()
        # a class that takes the key, but hands it on to a base class that doesn't, is itself at fault
        kinds = [(path, kind) for path, part in parts if key in part and (kind := _kind(part, name))]
        path, kind = next(((path, kind) for path, kind in kinds if key not in arguments_of(kind)), (None, None))
        if kind is None:
            return None
        known = arguments_of(kind)
        hint = closest(key, known) or (f'; it has {", ".join(known)}' if known else '')
        return f'{path}.{key}: {kind.__name__} has no such argument{hint}'
    if match := MISSING.match(text):
        name, words = match.groups()
        missing = re.findall(r"'(\w+)'", words)
        for path, part in parts:
            kind = _kind(part, name)
            if kind and set(missing) <= set(arguments_of(kind)) - set(part):
                return f'{path}: {part["type"]} needs {", ".join(missing)}'
    return None


def _kind(part: dict, name: str) -> Any:
    """What a part's ``type`` is, if it or a class that it is made from has this name; else None."""
    kind = resolve(part['type'])
    bases = kind.__mro__ if inspect.isclass(kind) else [kind]
    return kind if name in [getattr(base, '__name__', None) for base in bases] else None
