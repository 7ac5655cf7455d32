"""Variables of a config file, such as ``data_root``, set by ``--cfg-options``: it is read with the new value.

mmengine runs a config file and merges options into what comes out, when the variables of the file have gone into
other keys. Here the options of variables are put behind each assignment of the variable, in the file and in those
of its ``_base_``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path, PurePath
from typing import Any
from unittest import mock

from mmengine import hub
from mmengine.config import Config
from mmengine.config import config as reader

from maskprop.engine.cfg_options import Options, refuse_list, value_at
from maskprop.engine.errors import ConfigError
from maskprop.utils.processes import say

_SHOWN = 4  # keys that an option has changed, or should have named


def set_variables(
    cfg: Config, options: Mapping[str, Any], keys: set[str], file: Path | None
) -> tuple[Config, Mapping[str, Any]]:
    """A config with those of the options that are variables of its file; prints which keys that sets.

    Args:
        cfg: without options.
        options: ``--cfg-options``: values by a variable's name or a place in it, as ``train_pipeline.0.max_gap``.
        keys: the names that runners and tools read; all others are variables.
        file: of the config; None: there is none in which its variables are used.

    Returns:
        the config, and the options that are no variables and are still to be merged.

    Raises:
        ConfigError: there is no such variable; the file cannot be read with its value, changes it once more, or
            makes no key of it; there is no file: the message names the keys to set instead.
    """
    variables = {str(key): value for key, value in options.items() if str(key).split('.')[0] not in keys}
    for key in variables:
        refuse_list(cfg, options, key)
        if file is None:
            raise ConfigError(_not_a_variable(cfg, key, keys) or _used_up(cfg, key, keys))
    if not variables or file is None:
        return cfg, options
    rest = Options({key: value for key, value in options.items() if key not in variables})
    rest.texts.update(getattr(options, 'texts', {}))
    return _read_with(file, cfg, variables, keys), rest


def _not_a_variable(cfg: Config, key: str, keys: set[str]) -> str | None:
    first = key.split('.')[0]
    if first in cfg:
        return None
    close = get_close_matches(first, [*keys, *cfg], 1)
    hint = f'did you mean {close[0]!r}?' if close else f'it has {", ".join(sorted(cfg))}'
    return f'--cfg-options {key}: the config has no {first!r}; {hint}'


def _used_up(cfg: Config, key: str, keys: set[str]) -> str:
    """It is a variable whose uses are not known. Which keys have its value, or begin with it?"""
    value = value_at(cfg, key)
    places = [place for place in _leaves(cfg, keys) if _holds(value_at(cfg, place), value)]
    return (
        f'--cfg-options {key}: {key.split(".")[0]} is a variable of the config file, which was used up when that '
        f'was read. Set the keys that it went into{": " if places else ""}{_listed(places)}'
    )


def _read_with(file: Path, plain: Config, variables: Mapping[str, Any], keys: set[str]) -> Config:
    values = {name: _as_the_old(value, plain.get(name)) for name, value in variables.items()}
    named = '--cfg-options ' + ' '.join(f'{name}={value}' for name, value in values.items())
    try:
        with _variables_set(values) as assigned:
            cfg = Config.fromfile(str(file))
    except Exception as error:  # a config is Python: with other values anything may go wrong in it
        words = _other_kinds(values, plain) or f'{type(error).__name__}: {" ".join(str(error).split())}'
        raise ConfigError(f'{named}: {file} cannot be read with it: {words}') from error
    for name, value in values.items():
        first = name.split('.')[0]
        if first not in assigned:
            raise ConfigError(_not_a_variable(cfg, name, keys) or _used_up(cfg, name, keys))
        if first in cfg and value_at(cfg, name) != value:
            raise ConfigError(
                f'--cfg-options {name}={value}: {file} changes that once more, to {value_at(cfg, name)!r}; set '
                'the keys that it goes into'
            )
    places = dict.fromkeys([*_leaves(plain, keys), *_leaves(cfg, keys)])
    changed = [place for place in places if value_at(plain, place) != value_at(cfg, place)]
    if changed:
        say(f'{named} sets {_listed(changed)}')
    elif any(value_at(plain, name) != value for name, value in values.items()):
        raise ConfigError(f'{named}: would change nothing, because no key of the config is made of it')
    return cfg


def _other_kinds(values: Mapping[str, Any], plain: Config) -> str:
    """Which values are of another kind than those of the file; empty if none is."""
    others = {name: (value_at(plain, name), value) for name, value in values.items()}
    return ', '.join(
        f'{name}: the file has {old!r:.80}, found {value!r:.80}'
        for name, (old, value) in others.items()
        if old is not None and not isinstance(value, type(old))
    )


def _holds(found: Any, value: Any) -> bool:
    if isinstance(value, str) and isinstance(found, str):
        return bool(value) and found.startswith(value)
    return type(found) is type(value) and found == value and not isinstance(value, bool | None)


def _as_the_old(value: Any, old: Any) -> Any:
    """A folder with a slash at its end, where the file has one and adds names to it."""
    value = str(value) if isinstance(value, PurePath) else value
    if isinstance(old, str) and isinstance(value, str) and old.endswith('/') and value and not value.endswith('/'):
        return f'{value}/'
    return value


@contextmanager
def _variables_set(values: Mapping[str, Any]) -> Iterator[set[str]]:
    """Let mmengine read files with other values; gives the names that are assigned in what it reads."""
    assigned: set[str] = set()
    known, get_config = reader.RemoveAssignFromAST, hub.get_config

    class WithVariables(reader.RemoveAssignFromAST):
        """mmengine's, which takes the assignment of ``_base_`` out of a file; then ours come in."""

        def visit(self, tree: ast.AST) -> ast.AST:
            tree = super().visit(tree)
            if isinstance(tree, ast.Module):
                tree = ast.fix_missing_locations(_SetVariables(values, assigned).visit(tree))
            return tree

    def others(*args: Any, **kwargs: Any) -> Any:
        """Configs of other projects, of which a file takes parts: their variables are not meant."""
        with mock.patch.object(reader, 'RemoveAssignFromAST', known):
            return get_config(*args, **kwargs)

    with (
        mock.patch.object(reader, 'RemoveAssignFromAST', WithVariables),
        mock.patch.object(hub, 'get_config', others),
    ):
        yield assigned


class _SetVariables(ast.NodeTransformer):
    """Behind each assignment of a variable, outside of functions, one of its new value."""

    def __init__(self, values: Mapping[str, Any], assigned: set[str]) -> None:
        self._values, self._assigned = values, assigned

    def visit_FunctionDef(self, node: Any) -> Any:
        return node  # its variables are its own

    visit_ClassDef = visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Assign(self, node: ast.Assign | ast.AugAssign | ast.AnnAssign) -> list[ast.stmt]:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        names = {name for target in targets for part in ast.walk(target) if (name := _set_name(part))}
        self._assigned |= names
        return [node, *(_assignment(key, self._values[key]) for key in self._values if key.split('.')[0] in names)]

    visit_AugAssign = visit_AnnAssign = visit_Assign


def _set_name(node: ast.AST) -> str | None:
    return node.id if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else None


def _assignment(key: str, value: Any) -> ast.stmt:
    """``name = value``, or ``name['key'][0] = value``, which passes over a ``_base_`` that has no such place."""
    name, *places = key.split('.')
    target = name + ''.join(f'[{place if place.isdigit() else repr(place)}]' for place in places)
    lines = f'{target} = {value!r}'
    if places:
        lines = f'try:\n    {lines}\nexcept (IndexError, KeyError, TypeError):\n    pass'
    return ast.parse(lines).body[0]


def _leaves(cfg: Config, keys: set[str]) -> Iterator[str]:
    """Dotted keys of all that is not a dict or list, of the top-level keys named."""
    for key in cfg:
        if key in keys:
            yield from _below(cfg[key], key)


def _below(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        entries: Any = value.items()
    elif isinstance(value, list | tuple) and any(isinstance(entry, Mapping | list | tuple) for entry in value):
        entries = enumerate(value)
    else:
        yield path
        return
    for key, entry in entries:
        yield from _below(entry, f'{path}.{key}')


def _listed(keys: list[str]) -> str:
    more = f' and {len(keys) - _SHOWN} more' if len(keys) > _SHOWN else ''
    return ', '.join(keys[:_SHOWN]) + more
