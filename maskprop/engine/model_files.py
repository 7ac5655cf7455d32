"""Which files the names of configs and checkpoints mean; without torch, so that a wrong name is told at once."""

from __future__ import annotations

import os
from pathlib import Path

from maskprop.engine.errors import ConfigError
from maskprop.utils.files import is_file
from maskprop.zoo import config_root, configs_named, did_you_mean, download, find_model, hub_file, list_configs

PUBLISHED_SUFFIX = '.safetensors'
_ADDRESSES = ('http://', 'https://', 'hf://')


def is_published(file: object) -> bool:
    """Whether a name is that of a published file."""
    return str(file).endswith(PUBLISHED_SUFFIX)


def is_whole_model(name: str) -> bool:
    """Whether a name says config and checkpoint at once: a model of the index, or published weights."""
    return find_model(name) is not None or is_published(name) or name.startswith('hf://')


def find_config_file(config: str | Path) -> Path:
    """The file of a config.

    Args:
        config: its path; one from the folder that has ``configs/``, such as ``configs/maskprop/NAME.py``, which is
            looked for in the installed package too; the name of a model of the index; or a config's name (its
            file's, without ``.py``).

    Raises:
        ConfigError: there is no such config, several have the name, or it is a folder.
    """
    text = str(config)
    if info := find_model(text):
        return info.config
    if is_file(Path(text)):
        return Path(text)
    if is_file(shipped := config_root() / text):
        return shipped
    if os.path.isdir(text):
        raise ConfigError(f'config {text}: is a folder; give one of the configs in it, {text}/NAME.py')
    found = configs_named(text)
    if len(found) > 1:
        names = ', '.join(str(path.relative_to(config_root())) for path in found)
        raise ConfigError(f'config {text}: several have this name: {names}. Give the path of one')
    if not found:
        hint = did_you_mean(text, [path.stem for path in list_configs()])
        raise ConfigError(f'config {text}: no such file or name{hint or "."} maskprop configs ls lists them')
    return found[0]


def local_checkpoint(checkpoint: str | os.PathLike) -> Path:
    """The file of a checkpoint: a path, a URL, ``hf://OWNER/NAME`` or a model of the index; downloaded if need be.

    Raises:
        DownloadError: as :func:`maskprop.zoo.downloads.download`.
        FileNotFoundError: no such file; names the models that are spelt alike.
        IsADirectoryError: it is a folder.
    """
    text = str(checkpoint)
    if info := find_model(text):
        return download(info.weights, info.sha256) if '://' in info.weights else Path(info.weights)
    if text.startswith(('http://', 'https://')):
        return download(text)
    if text.startswith('hf://'):
        return hub_file(text)
    if os.path.isdir(text):
        raise IsADirectoryError(f'checkpoint {text}: is a folder; give the checkpoint in it')
    if not is_file(Path(text)):
        raise FileNotFoundError(
            f'checkpoint {text}: no such file{did_you_mean(text)} (work_dirs/<config>/last_checkpoint names the '
            'last one that a training wrote)'
        )
    return Path(text)


def check_model_files(config: str, checkpoint: str) -> None:
    """See that config and checkpoint are there, without reading or downloading them.

    Raises:
        ConfigError, FileNotFoundError: one isn't; as of :func:`find_config_file` and :func:`local_checkpoint`.
    """
    if not config.startswith('hf://'):
        if is_whole_model(config) and find_model(config) is None:
            local_checkpoint(config)
        else:
            find_config_file(config)
    if find_model(checkpoint) is None and not checkpoint.startswith(_ADDRESSES):
        try:
            local_checkpoint(checkpoint)
        except FileNotFoundError as error:
            raise FileNotFoundError(f'{error}. Train one by: maskprop train {config}') from None
