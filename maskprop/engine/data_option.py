"""``--data`` and ``--split``: a config's data sets, evaluators and classes, set from what a folder or file has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from maskprop.datasets.layouts import DataSet, DataSets, metainfo
from maskprop.engine.config_parts import parts_of, resolve
from maskprop.engine.errors import ConfigError
from maskprop.engine.num_classes import heads_with_classes

_OF_THE_OLD_SET = ('frame_range', 'indices')  # keys that choose a part of the set that a config was written for


def use_data(cfg: Config, sets: DataSets) -> list[str]:
    """Put data sets in the places of a config's, in place.

    Videos are taken whole, and validation and test score every frame of the file: ``frame_range``, ``indices`` and
    the ``frame_stride`` of sets that are scored by a ``YTVISMetric`` are those of the config's own set, and go.
    A set without annotations is not scored. The number of classes is left open for
    :func:`~maskprop.engine.num_classes.fit_num_classes`, which takes it from the built set.

    Args:
        cfg: the config.
        sets: for a training (without ``val`` there is no validation), or for a test (``test`` alone).

    Returns:
        What was done, a line each.

    Raises:
        ConfigError: a set of the config is a mixture of several, or is of a type that reads other files.
    """
    lines = []
    for split in ('train', 'val', 'test'):
        data = getattr(sets, split)
        if data is not None and cfg.get(f'{split}_dataloader'):
            lines.append(f'--data: {split}: {data}{_place(cfg, split, data)}')
    if sets.train is not None and sets.val is None and cfg.get('val_dataloader'):
        cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
        lines.append(f'--data: no validation. {sets.note}')
    elif sets.note:
        lines.append(f'--data: {sets.note}')
    if known := sets.train or sets.test:
        _set_classes(cfg, known)
    return lines


def use_split(cfg: Config, split: str) -> None:
    """Let a test take the config's validation set, in place.

    Raises:
        ConfigError: it has none.
    """
    if split == 'test':
        return
    missing = [key for key in ('val_dataloader', 'val_evaluator') if not cfg.get(key)]
    if missing:
        raise ConfigError(f'config {cfg.filename}: --split val: {" and ".join(missing)} is not set')
    cfg.test_dataloader, cfg.test_evaluator = cfg.val_dataloader, cfg.val_evaluator


def _place(cfg: Config, split: str, data: DataSet) -> str:
    """Set the files of one split; which of its keys changed beside them."""
    scored = False
    for evaluator in _as_list(cfg.get(f'{split}_evaluator')):
        if 'ann_file' in evaluator:
            evaluator['ann_file'] = str(data.ann_file)
        if evaluator.get('type') == 'YTVISMetric':
            scored = True
            evaluator.pop('frame_range', None)
            evaluator.pop('frame_stride', None)
            evaluator['format_only'] = not data.objects
    dropped = []
    for dataset in _innermost(cfg[f'{split}_dataloader']['dataset'], f'{split}_dataloader.dataset'):
        dataset.update(data_root='', ann_file=str(data.ann_file), data_prefix=dict(img_path=str(data.images)))
        if not _is_blind(dataset):
            dataset.pop('metainfo', None)
        for key in (*_OF_THE_OLD_SET, *(['frame_stride'] if scored else [])):
            if dataset.pop(key, None) not in (None, 1, (0.0, 1.0), [0.0, 1.0]):
                dropped.append(key)
    return f'; {", ".join(dropped)} of the config, which are for its own data, are left out' if dropped else ''


def _innermost(dataset: Any, path: str) -> Iterator[Any]:
    """The data sets that read files: inside of mmengine's wrappers, which have one of them."""
    if 'datasets' in dataset:
        several = dataset['datasets']
        if len(several) != 1:
            raise ConfigError(
                f'--data: {path} is a mixture of {len(several)} sets ({dataset.get("type")}), and which one is '
                f'meant is not known: set data_root, ann_file and data_prefix.img_path of {path}.datasets.0 '
                'and so on by --cfg-options'
            )
        yield from _innermost(several[0], f'{path}.datasets.0')
    elif 'dataset' in dataset:
        yield from _innermost(dataset['dataset'], f'{path}.dataset')
    else:
        _check_reader(dataset, path)
        yield dataset


def _check_reader(dataset: Any, path: str) -> None:
    from maskprop.datasets.instance_crops import InstanceCropDataset
    from maskprop.datasets.ytvis_dataset import YouTubeVISJsonDataset

    kind = resolve(dataset.get('type'))
    if isinstance(kind, type) and not issubclass(kind, InstanceCropDataset | YouTubeVISJsonDataset):
        raise ConfigError(
            f'--data: {path}.type is {kind.__name__}, which does not read files in YouTube-VIS format as '
            'YouTubeVISJsonDataset and InstanceCropDataset do: set its files by --cfg-options'
        )


def _is_blind(dataset: Any) -> bool:
    """Whether a set shows the model's classes, which its ``metainfo`` has, whatever the file's are."""
    return str(dataset.get('type')).rpartition('.')[2] == 'OtherClassesDataset'


def _set_classes(cfg: Config, data: DataSet) -> None:
    loader = cfg.get('train_dataloader') or cfg.get('test_dataloader')
    dataset: Any = next(_innermost(loader['dataset'], 'dataset'), {}) if loader else {}
    if _is_blind(dataset):
        return
    for _, head in heads_with_classes(cfg.model, 'model'):
        head['num_classes'] = None
    background = (cfg.model.get('classification_head') or dataset).get('background', False)
    for _, part in parts_of(cfg.model, 'model'):
        if part['type'] == 'CropClassHead':
            part['num_classes'] = len(data.classes) + bool(background)
        elif part['type'] == 'ReIDHead' and part.get('num_classes') is not None:
            part['num_classes'] = max(part['num_classes'], data.objects)  # identities
    if cfg.get('metainfo'):
        cfg.metainfo = metainfo(data)


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value] if value else []
