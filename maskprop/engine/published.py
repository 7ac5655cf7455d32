"""Published weights: a ``.safetensors`` file with config, classes and metrics beside the weights, and no code.

Metadata of the file, all texts: ``config`` (as ``Config.pretty_text`` writes it), ``dataset_meta`` and ``metrics``
(JSON), ``revision``, ``format`` ('pt').
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from mmengine.config import Config
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from maskprop.utils.files import replace_when_done

PRIVATE = (
    'work_dir',
    'load_from',
    'resume',
    'launcher',
)  # of a config: where a training ran and what it began with


def write_published(
    path: Path,
    weights: Mapping[str, Tensor],
    config: Mapping[str, Any],
    dataset_meta: Mapping[str, Any],
    **texts: str,
) -> None:
    """Write weights with what is needed to use them.

    Args:
        path: the file.
        weights: by name; views and shared tensors are written as copies.
        config: the whole config; keys that say where a training ran are left out.
        dataset_meta: ``classes``, ``category_ids``.
        texts: more metadata.
    """
    config = {key: value for key, value in config.items() if key not in PRIVATE}
    metadata = dict(
        texts, format='pt', config=Config(config).pretty_text, dataset_meta=json.dumps(dict(dataset_meta))
    )
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}
    with replace_when_done(path) as temporary:
        temporary.write_bytes(save(tensors, metadata))  # save_file's error of a full disk is no OSError


def read_published(path: Path, map_location: Any = 'cpu') -> dict[str, Any]:
    """As a checkpoint of mmengine: ``state_dict``, ``meta`` with ``dataset_meta`` and ``cfg``.

    Raises:
        ValueError: it is damaged or no such file; says how.
    """
    device = map_location if isinstance(map_location, str) else 'cpu'
    try:
        weights, metadata = load_file(path, device=device), _read_metadata(path)
        dataset_meta = json.loads(metadata.get('dataset_meta', '{}'))
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise ValueError(str(error)) from error
    return dict(state_dict=weights, meta=dict(dataset_meta=dataset_meta, cfg=metadata.get('config', '')))


def read_config(path: Path) -> dict[str, Any]:
    """The config in a published file; empty if it holds weights alone.

    Raises:
        ValueError: the file is damaged, or its config is not one of plain values.
    """
    try:
        text = _read_metadata(path).get('config', '')
    except (SafetensorError, OSError) as error:
        raise ValueError(str(error)) from error
    return read_config_text(text)


def _read_metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework='pt') as file:
        return file.metadata() or {}


def read_config_text(text: str) -> dict[str, Any]:
    """A config's ``pretty_text`` as a dict, by looking at it: nothing of it is run, no module imported.

    Raises:
        ValueError: it has more than names with plain values.
    """
    try:
        assignments = ast.parse(text).body
        return dict(map(_assigned, assignments))
    except (SyntaxError, AttributeError, RecursionError) as error:
        raise ValueError(f'a config of plain values was expected, NAME = VALUE ({error})') from None


def _assigned(statement: Any) -> tuple[str, Any]:
    return statement.targets[0].id, _plain(statement.value)


def _plain(node: ast.expr | None) -> Any:
    """The value of a literal, of ``dict(...)``, of ``inf`` and ``nan``."""
    match node:
        case ast.Call(func=ast.Name(id='dict'), args=[], keywords=keywords) if all(k.arg for k in keywords):
            return {keyword.arg: _plain(keyword.value) for keyword in keywords}
        case ast.Dict(keys=keys, values=values) if all(keys):
            return {_plain(key): _plain(value) for key, value in zip(keys, values, strict=True)}
        case ast.List(elts=items):
            return [_plain(item) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_plain(item) for item in items)
        case ast.Call(func=ast.Name(id='dict'), args=[ast.Dict() as content], keywords=[]):
            return _plain(content)
        case ast.Name(id='inf' | 'nan' as name):
            return float(name)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Name(id='inf')):
            return -float('inf')
    return ast.literal_eval(cast(ast.expr, node))
