"""The parts of a config, dicts with a ``type``: where they are, what they name, and which one an error is of."""

from __future__ import annotations

import inspect
import re
from collections import ChainMap
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from types import TracebackType
from typing import Any

from mmengine import registry as mmengine_registry
from mmengine.registry import Registry
from mmengine.utils import get_object_from_string
from torch.utils.data import DataLoader

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
# libraries whose classes hand the rest of their arguments on to their bases; those of others may keep it
_KNOWN = ('maskprop.', 'mmdet.', 'mmengine.', 'mmcv.', 'torch.')


def parts_of(value: Any, path: str) -> Iterator[tuple[str, dict]]:
    """Every dict in ``value`` that has a ``type``, with its path, as ``--cfg-options`` takes it.

    Without what is in a part of another library, whose names are its own, and clip_grad, of which it is no class.
    """
    if isinstance(value, dict):
        if 'type' in value:
            if not path.endswith('.clip_grad'):
                yield path, value
            if value['type'] == 'Albu':
                return
        for key, entry in value.items():
            yield from parts_of(entry, f'{path}.{key}')
    elif isinstance(value, list | tuple):
        for index, entry in enumerate(value):
            yield from parts_of(entry, f'{path}.{index}')


def resolve(kind: Any, registry: str | None = None) -> Any:
    """The class or function that a ``type`` names, in a registry of this name first; None if there is none."""
    if not isinstance(kind, str):
        return kind
    scope, _, name = kind.rpartition('.')
    if not scope or any(scope == one.scope for one in _registries(None)):
        return registered(registry).get(name) or registered().get(name)
    try:
        return get_object_from_string(kind)
    except Exception:  # whatever a module of others raises when it is imported
        return None


def registered(kind: str | None = None) -> Mapping[str, Any]:
    """All that a config can name, or of a registry of this name; mmdet's first, mmengine's own last."""
    found = sorted(_registries(kind), key=lambda one: (one.parent is None, one.scope != 'mmdet'))
    return ChainMap(*[registry.module_dict for registry in found])


def _registries(kind: str | None) -> list[Registry]:
    """Those of all libraries, or of the family in which one has this name: names may differ from the parent's."""
    families = [_family(root) for root in vars(mmengine_registry).values() if isinstance(root, Registry)]
    return [
        one for family in families if kind is None or any(kind == one.name for one in family) for one in family
    ]


def _family(registry: Registry) -> list[Registry]:
    return [registry, *(one for child in registry.children.values() for one in _family(child))]


def arguments_of(kind: Any) -> list[str]:
    """Names of its arguments, those that it hands on to its base classes, or to its ``FORWARDS``, too."""
    names: list[str] = arguments_of(kind.FORWARDS) if hasattr(kind, 'FORWARDS') else []
    for function in makers(kind):
        names += [p.name for p in _parameters(function) if not _is_rest(p)]
    return [name for name in dict.fromkeys(names) if name not in ('self', 'cls')]


def makers(kind: Any) -> Iterator[Any]:
    """The functions that take a part's arguments: its ``__init__``, and those of its bases that get the rest."""
    functions: list[Any]
    if inspect.isclass(kind) and kind.__init__ is object.__init__:
        functions = [] if kind.__new__ is object.__new__ else [kind.__new__]
    else:
        functions = [vars(base).get('__init__') for base in kind.__mro__] if inspect.isclass(kind) else [kind]
    for function in functions:
        if function is None or function is object.__init__:
            continue
        yield function
        if not _has_rest(function):
            return


def is_open(kind: Any) -> bool:
    """Whether a class, or the last of those that get its arguments, takes arguments that it does not name."""
    if hasattr(kind, 'FORWARDS'):
        return False
    return any(map(_has_rest, list(makers(kind))[-1:]))


def keeps_rest(kind: Any) -> bool:
    """Whether a class of others takes further arguments, which it may read itself."""
    return any(_has_rest(function) and not is_known(function) for function in makers(kind))


def is_known(kind: Any) -> bool:
    """Whether a class or function is of this project or of the libraries that it is made with."""
    return (getattr(kind, '__module__', None) or '').startswith(_KNOWN)


def name_of(kind: Any) -> str:
    """Of a class or function, for messages."""
    return getattr(kind, '__name__', None) or str(kind)


def _has_rest(function: Any) -> bool:
    return any(parameter.kind == parameter.VAR_KEYWORD for parameter in _parameters(function))


def _parameters(function: Any) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some in C do not tell theirs
        return [inspect.Parameter('rest', inspect.Parameter.VAR_KEYWORD)]


def _is_rest(parameter: inspect.Parameter) -> bool:
    return parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)


def closest(word: str, known: Any) -> str:
    """'; did you mean ...?', if one of what is known is nearly spelt like the word, and not just like it."""
    close = [name for name in get_close_matches(word, list(known), 1) if name != word]
    return f'; did you mean {close[0]!r}?' if close else ''


def nearly(word: str, known: Any) -> str | None:
    """The one of what is known that differs from the word by a slip of the finger; None: there is none."""
    return next(iter(get_close_matches(word, [name for name in known if name != word], 1, cutoff=0.85)), None)


def part_being_built(error: BaseException, cfg: Mapping[str, Any]) -> tuple[str, dict] | None:
    """Path and content of the innermost part of a config that was being built when an error was raised."""
    for frame in _frames(error.__traceback__):
        module = frame.f_globals.get('__name__')
        if module == 'mmengine.registry.build_functions':
            built = frame.f_locals.get('cfg')
            if isinstance(built, Mapping) and (found := _closest_part(built, cfg)):
                return found
        elif module == 'mmengine.runner.runner' and frame.f_code.co_name == 'build_dataloader':
            data = frame.f_locals.get('dataloader')
            data = data.get('dataset') if isinstance(data, Mapping) else None
            for key in LOADERS:
                if cfg.get(key) and _same(data, cfg[key].get('dataset')):
                    return key, {**cfg[key], 'type': DataLoader}
    return None


def part_at_work(error: BaseException, cfg: Mapping[str, Any]) -> tuple[str, dict] | None:
    """Path and content of the innermost part whose own code an error came through."""
    parts = [found for key in cfg for found in parts_of(cfg[key], key)]
    for frame in _frames(error.__traceback__):
        owner = type(frame.f_locals.get('self')).__name__
        found = next(((path, part) for path, part in parts if _name(part['type']) == owner), None)
        if found:
            return found
    return None


def guilty_key(error: BaseException, part: Mapping[str, Any], wrong: Mapping[str, str]) -> str | None:
    """Which key of a part an error is about, as far as its types (``wrong``) or the error's words tell."""
    if wrong:
        return next(iter(wrong))
    words = str(error)
    named = [
        key
        for key, value in part.items()
        if key != 'type'
        and (_has_word(words.lower(), str(key)) or (_is_telling(value) and _has_word(words, str(value))))
    ]
    return named[0] if len(named) == 1 else None


def _frames(traceback: TracebackType | None) -> list[Any]:
    """The innermost first."""
    frames = []
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    return frames[::-1]


def _closest_part(built: Mapping[str, Any], cfg: Mapping[str, Any]) -> tuple[str, dict] | None:
    """The part with most entries of what was built: arguments may have been added to it, or taken out."""
    kind = built.get('type')
    parts = [found for key in cfg for found in parts_of(cfg[key], key) if kind and found[1]['type'] == kind]
    return max(parts, key=lambda found: sum(_same(built.get(k), v) for k, v in found[1].items()), default=None)


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other) or repr(one) == repr(other)
    except Exception:  # arrays and modules compare as they like
        return one is other


def _name(kind: Any) -> str | None:
    return kind.rpartition('.')[2] if isinstance(kind, str) else getattr(kind, '__name__', None)


def _is_telling(value: Any) -> bool:
    return (
        isinstance(value, int | float | str) and not isinstance(value, bool) and str(value) not in ('', '0', '1')
    )


def _has_word(text: str, word: str) -> bool:
    return bool(re.search(rf'(?<![a-zA-Z0-9.]){re.escape(word)}s?(?!\w)', text))
