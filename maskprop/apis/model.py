"""A model from its config and checkpoint, ready for inference."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model.utils import revert_sync_batchnorm
from torch import nn

import maskprop
from maskprop.engine.build_errors import explain_build_errors, explain_downloads
from maskprop.engine.checkpoint import load_checkpoint_file, saved_classes
from maskprop.engine.checkpoint_content import check_content
from maskprop.engine.config import ConfigError, is_whole_model, load_config, use_variant
from maskprop.engine.config_types import check_types
from maskprop.engine.weights import load_weights
from maskprop.zoo import find_model


def init_model(
    config: str | Path | Config,
    checkpoint: str | Path | None = None,
    device: str | torch.device | None = None,
    cfg_options: dict | None = None,
    variant: str | None = None,
) -> nn.Module:
    """Builds a model for inference.

    Args:
        config: a config file, a config, the name of a model of :func:`~maskprop.zoo.list_models`, or published
            weights (``.safetensors``, ``hf://OWNER/NAME``), which hold their config.
        checkpoint: weights that ``maskprop train`` wrote, a URL, or the name of a model; None: those that
            ``config`` names, else as a training begins. It is read with ``weights_only=True``, so it cannot
            run code.
        device: None: the first GPU if there is one, else the CPU.
        cfg_options: config keys to override, as ``--cfg-options``.
        variant: which of the config's ``variants`` says how objects are linked; None: the model itself.

    Returns:
        The model in eval mode, with ``model.cfg`` and ``model.dataset_meta`` (``classes``: names by label,
        ``category_ids``: the ids that results carry).

    Raises:
        FileNotFoundError: no such checkpoint.
        DownloadError: it could not be downloaded.
        CheckpointError: the checkpoint is damaged, holds a forbidden class or doesn't fit the model.
        ConfigError: no such config; it names a type or an argument that there is not; neither checkpoint nor
            config says what the classes are, or the config's ``num_classes`` differs; ``device`` is none, or a
            GPU that is not there.
    """
    try:
        torch.device(device or 'cpu')
    except RuntimeError as error:
        raise ConfigError(f'device {device}: {str(error).splitlines()[0]}') from error
    if str(device).startswith('cuda') and not torch.cuda.is_available():
        raise ConfigError(f'device {device}: torch finds no GPU here. Leave it out, or take cpu')
    maskprop.register_all()
    # After register_all, which installs the kernels that mmdet needs.
    from mmdet.registry import MODELS

    from maskprop.engine.num_classes import fit_num_classes

    cfg = load_config(config, cfg_options)
    check_types(cfg, runs=False)
    for key in ('model', 'test_dataloader'):
        if not isinstance(cfg.get(key), Mapping):
            raise ConfigError(f'config {cfg.filename}: expected a dict {key}, found {cfg.get(key)!r}')
    if checkpoint is None and isinstance(config, str | Path) and is_whole_model(str(config)):
        checkpoint = config
    if variant is not None:
        use_variant(cfg, variant)
    loaded = None
    if checkpoint is not None:
        loaded = load_checkpoint_file(checkpoint)
        check_content(loaded, str(checkpoint))
    meta = find_dataset_meta(cfg, loaded, checkpoint)
    fit_num_classes(cfg.model, len(meta['classes']), str(checkpoint or 'the config'))
    with explain_build_errors(cfg, values=True):
        model = revert_sync_batchnorm(MODELS.build(cfg.model))
    if loaded is None:
        with explain_downloads(cfg):
            model.init_weights()
    else:
        load_weights(model, loaded, str(checkpoint))
    model.dataset_meta = meta
    model.cfg = cfg
    return model.to(device or ('cuda' if torch.cuda.is_available() else 'cpu')).eval()


def require_same_classes(model: nn.Module, dataset: Any) -> None:
    """See that a label is the same class to a model of :func:`init_model` and to a data set.

    Raises:
        ConfigError: it isn't, as of YouTube-VIS 2019 and 2021, which have 40 classes each.
    """
    trained, wanted = list(model.dataset_meta['classes']), list(dataset.metainfo['classes'])
    if trained != wanted:
        raise ConfigError(
            f'the model was trained on the classes {trained}, but {dataset.ann_file} has {wanted}: take a test '
            'set with the same categories, in the same order of their ids'
        )


def find_dataset_meta(
    cfg: Config, checkpoint: Mapping[str, Any] | None, name: str | Path | None = None
) -> dict[str, list]:
    """Class names and category ids: from the checkpoint, the index, the config, or the test set's file.

    Args:
        cfg: the config.
        checkpoint: as read.
        name: of the checkpoint, which the index of models may know.

    Returns:
        dict(classes=[name of label 0, ...], category_ids=[id of label 0, ...]); ids default to 1, 2, ...

    Raises:
        ConfigError: none of them knows.
    """
    info = find_model(name)
    listed = dict(classes=info.classes) if info else {}
    for meta in (
        saved_classes(checkpoint or {}),
        listed,
        cfg.get('metainfo'),
        (cfg.test_dataloader.get('dataset') or {}).get('metainfo'),
    ):
        meta = {key.lower(): value for key, value in (meta or {}).items()}
        if meta.get('classes'):
            return _complete(meta, cfg.get('metainfo'))
    if checkpoint is not None:
        warnings.warn(
            'the checkpoint does not say what its classes are; they are read from the test set', stacklevel=2
        )
    return _complete(_meta_of_test_set(cfg))


def _meta_of_test_set(cfg: Config) -> Mapping[str, Any]:
    from mmdet.registry import DATASETS

    from maskprop.datasets.ytvis_json import AnnotationError

    try:
        return DATASETS.build(cfg.test_dataloader.dataset).metainfo
    except (AnnotationError, FileNotFoundError) as error:
        raise ConfigError(
            'the class names are not known: the checkpoint has no meta/dataset_meta, the config no metainfo, and '
            f"the test set's file can't be read ({error}). Add them to the config: "
            "metainfo = dict(classes=('cat', 'dog'), category_ids=[1, 2])"
        ) from error


def _complete(meta: Mapping[str, Any], known: Mapping[str, Any] | None = None) -> dict[str, list]:
    """With category ids: its own, or those of ``known`` for the same classes (COCO's have gaps), or 1, 2, ..."""
    classes = list(meta['classes'])
    ids = meta.get('category_ids')
    if not ids and known and list(known.get('classes', ())) == classes:
        ids = known.get('category_ids')
    ids = [int(i) for i in ids or range(1, len(classes) + 1)]
    if len(ids) != len(classes):
        raise ConfigError(f'{len(classes)} class names but {len(ids)} category ids: {classes}, {ids}')
    return dict(classes=classes, category_ids=ids)
