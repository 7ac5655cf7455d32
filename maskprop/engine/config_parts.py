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
from torch.utils.data import DataLoader

_HAND_ON = ('maskprop.', 'mmcv.', 'mmdet.', 'mmengine.', 'torch.')  # what they don't name, to their base classes
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def parts_of(value: Any, path: str) -> Iterator[tuple[str, dict]]:
    """Every dict in ``value`` that has a ``type``, with its path, as ``--cfg-options`` takes it."""
    if isinstance(value, dict):
        if 'type' in value:
            yield path, value
        for key, entry in value.items():
            yield from parts_of(entry, f'{path}.{key}')
    elif isinstance(value, list | tuple):
        for index, entry in enumerate(value):
            yield from parts_of(entry, f'{path}.{index}')


def resolve(kind: Any) -> Any:
    """The class or function that a ``type`` names; None if there is none."""
    return registered().get(kind.rpartition('.')[2]) if isinstance(kind, str) else kind


def registered(kind: str | None = None) -> Mapping[str, Any]:
    """All that a config can name, or of a registry of this name; mmdet's before mmengine's of the same name."""
    from mmdet import registry as mmdet_registry

    found = [*vars(mmdet_registry).values(), *vars(mmengine_registry).values()]
    own: list[dict] = []
    roots: list[dict] = []
    for registry in found:
        if isinstance(registry, Registry) and kind in (None, registry.name):
            (own if registry.parent is not None else roots).append(registry.module_dict)
    return ChainMap(*own, *roots)


def arguments_of(kind: Any) -> list[str]:
    """Names of its arguments, those that it hands on to its base classes, or to its ``FORWARDS``, too."""
    names: list[str] = arguments_of(kind.FORWARDS) if hasattr(kind, 'FORWARDS') else []
    for function in makers(kind):
        names += [p.name for p in inspect.signature(function).parameters.values() if not _is_rest(p)]
    return [name for name in dict.fromkeys(names) if name != 'self']


def makers(kind: Any) -> Iterator[Any]:
    """The functions that take a part's arguments: its ``__init__``, and those of its bases that get the rest."""
    for function in [vars(base).get('__init__') for base in kind.__mro__] if inspect.isclass(kind) else [kind]:
        if function is None or function is object.__init__:
            continue
        yield function
        if not any(p.kind == p.VAR_KEYWORD for p in inspect.signature(function).parameters.values()):
            return


def is_open(kind: Any) -> bool:
    """Whether a class may take arguments that no signature names.

    The last of the functions that get its arguments does, or one of a library that is not known, which may read
    them itself in place of handing them on.
    """
    if hasattr(kind, 'FORWARDS'):
        return False
    functions = list(makers(kind))
    asked = [made for made in functions if not str(made.__module__).startswith(_HAND_ON)] + functions[-1:]
    return any(p.kind == p.VAR_KEYWORD for made in asked for p in inspect.signature(made).parameters.values())


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
