"""Configs and models with published weights, by name: the index, and downloads."""

from maskprop.zoo.downloads import DownloadError, download
from maskprop.zoo.hub import hub_file
from maskprop.zoo.index import (
    ModelInfo,
    config_root,
    configs_named,
    did_you_mean,
    find_model,
    list_configs,
    list_models,
)

__all__ = [
    'DownloadError',
    'ModelInfo',
    'config_root',
    'configs_named',
    'did_you_mean',
    'download',
    'find_model',
    'hub_file',
    'list_configs',
    'list_models',
]
