"""The index of models with published weights: ``model-index.yml``, and ``metafile.yml`` in folders of configs.

OpenMMLab's format. An entry of ``Models`` has ``Name``, ``In Collection``, ``Config``, ``Weights`` (a URL, or a
file by its path from the index), ``Metadata`` (``Training Data``, ``Classes`` in the order of their ids,
``Source``: the page that states the results, ``SHA256`` unless the file's name has its first digits) and
``Results``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

import yaml

import maskprop

INDEX = 'model-index.yml'


@dataclass(frozen=True)
class ModelInfo:
    """A model with published weights.

    Attributes:
        name: as the tools and ``init_model`` take it.
        config: its config file.
        weights: the URL of its checkpoint, or the file.
        classes: names by label, in the order of the category ids; empty if the config has them.
        sha256: of the checkpoint; None if its name has the first digits.
        training_data: what it was trained on.
        results: (data set, metric, value) as published; measured by others, see ``source``.
        source: the page that states them.
    """

    name: str
    config: Path
    weights: str
    classes: tuple[str, ...]
    sha256: str | None
    training_data: str
    results: tuple[tuple[str, str, float], ...]
    source: str


def config_root() -> Path:
    """The folder that holds ``configs/`` and the index: the checkout, or what was installed with the package."""
    package = Path(maskprop.__file__).parent
    return package.parent if (package.parent / INDEX).is_file() else package / '.mim'


@lru_cache(maxsize=1)
def _read_index() -> dict[str, ModelInfo]:
    root = config_root()
    if not (root / INDEX).is_file():
        return {}
    index = yaml.safe_load((root / INDEX).read_text(encoding='utf-8'))
    entries = [
        entry
        for file in index['Import']
        for entry in yaml.safe_load((root / file).read_text(encoding='utf-8'))['Models']
    ]
    return {entry['Name']: _read_entry(entry, root) for entry in entries}


def _read_entry(entry: dict, root: Path) -> ModelInfo:
    metadata, weights = entry['Metadata'], entry['Weights']
    return ModelInfo(
        name=entry['Name'],
        config=root / entry['Config'],
        weights=weights if '://' in weights else str(root / weights),
        classes=tuple(metadata.get('Classes', ())),
        sha256=metadata.get('SHA256'),
        training_data=metadata['Training Data'],
        results=tuple(
            (result['Dataset'], metric, value)
            for result in entry['Results']
            for metric, value in result['Metrics'].items()
        ),
        source=metadata['Source'],
    )


def list_models() -> list[str]:
    """Names of the models with published weights, sorted; :func:`find_model` says more of each."""
    return sorted(_read_index())


def list_configs() -> list[Path]:
    """Files of all configs and studies, sorted; not those in ``_base_``, of which they are made."""
    root = config_root() / 'configs'
    return sorted(path for path in root.rglob('*.py') if '_base_' not in path.relative_to(root).parts)


def configs_named(name: str) -> list[Path]:
    """Files of the configs of a name, such as ``maskprop_htc_r50_fpn_20e_ytvis2019``, with or without ``.py``."""
    name = name.removesuffix('.py')
    return [] if '/' in name else [path for path in list_configs() if path.stem == name]


def did_you_mean(name: str, more: Sequence[str] = ()) -> str:
    """', did you mean ...?' if a name is nearly that of a model or one of ``more``, else ''."""
    close = get_close_matches(name, [*list_models(), *more], 1) if '/' not in name else []
    return f', did you mean {close[0]}?' if close else ''


def find_model(name: object) -> ModelInfo | None:
    """The model of a name, or None if the index has none; a file of that name goes before."""
    if not isinstance(name, str) or name not in _read_index() or Path(name).is_file():
        return None
    return _read_index()[name]
