"""``--cfg-options KEY=VALUE``: what is read of a value is what was meant."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from mmengine.config import DictAction

from maskprop.engine.errors import ConfigError

# keys whose values are names of files, folders and runs: never lists or numbers
_TEXTS = ('ann_file', 'checkpoint', 'data_root', 'experiment_name', 'img_path', 'load_from', 'outfile_prefix')
_TEXT_ENDINGS = ('_dir', '_file', '_folder', '_path', '_root')
_HOW = 'A text is written in quotes, KEY=\'"a, b"\'; a list in brackets, KEY=[a,b]'


class Options(dict):
    """Values by key, and under ``texts`` the words that they were read of."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.texts: dict[str, str] = {}


class ConfigOptions(DictAction):
    """argparse's action of ``--cfg-options KEY=VALUE ...``: an :class:`Options`."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: Any = None
    ) -> None:
        known = getattr(namespace, self.dest, None)
        options = Options(known or {})
        options.texts.update(getattr(known, 'texts', {}))
        for word in values:
            try:
                key, value = parse_option(word)
            except ValueError as error:
                parser.error(f'--cfg-options {word}: {error}')
            options[key] = value
            options.texts[key] = word.split('=', 1)[1]
        setattr(namespace, self.dest, options)


def parse_option(word: str) -> tuple[str, Any]:
    """Key and value of ``KEY=VALUE``.

    Numbers, True, False, None, lists ``[a,b]`` or ``a,b`` and tuples ``(a,b)`` are read as such, unless they stand
    in quotes, or the key is that of a path: those are texts, with all their spaces and commas.

    Raises:
        ValueError: there is no key or no ``=``, or brackets are not closed.
    """
    key, equals, text = word.partition('=')
    if not equals or not all(key.split('.')):
        raise ValueError('expected KEY=VALUE, where KEY is the place in the config, as in train_cfg.max_epochs=3')
    bare = text.strip()
    quoted = len(bare) > 1 and bare[0] == bare[-1] and bare[0] in '\'"'
    inner = bare[1:-1] if quoted else bare
    if _is_bracketed(inner):
        return key, _parse(inner)
    if quoted or (is_text(key) and text != 'None') or not ('"' in text or "'" in text or ',' in text):
        whole = DictAction._parse_int_float_bool(text)
        return key, inner if quoted else text if is_text(key) and text != 'None' else whole
    return key, _parse(text)


def is_text(key: str) -> bool:
    """Whether a key's value is the name of a file, folder or run."""
    owner, _, last = key.rpartition('.')
    if owner == 'default_hooks':  # a hook, as default_hooks.checkpoint
        return False
    return last in _TEXTS or last.endswith(_TEXT_ENDINGS)


def value_at(value: Any, key: str) -> Any:
    """What a config has at a dotted key; None if nothing."""
    for name in key.split('.'):
        if isinstance(value, list | tuple):
            value = value[int(name)] if name.isdigit() and int(name) < len(value) else None
        else:
            value = value.get(name) if hasattr(value, 'get') else None
    return value


def refuse_list(cfg: Any, options: Mapping[str, Any], key: str) -> None:
    """See that an option was not read as a list where the config has a text.

    Raises:
        ConfigError: it was; how to write it.
    """
    text = getattr(options, 'texts', {}).get(key)
    if text is None or not isinstance(options[key], list | tuple) or _is_bracketed(text.strip('\'" ')):
        return
    if isinstance(value_at(cfg, key), str):
        raise ConfigError(
            f'--cfg-options {key}: {text!r} was read as the list {options[key]}, but the config has a text there. '
            f'{_HOW}'
        )


def _is_bracketed(text: str) -> bool:
    return text[:1] + text[-1:] in ('[]', '()')


def _parse(text: str) -> Any:
    try:
        return DictAction._parse_iterable(text)
    except (AssertionError, IndexError, RecursionError):
        raise ValueError(f'its brackets do not match, or there are too many. {_HOW}') from None
