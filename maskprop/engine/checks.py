"""Checks before long work: files exist, data sets load, their classes fit the model and each other."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmdet.registry import DATASETS
from mmengine.config import Config

from maskprop.datasets.resized import unusable_resize
from maskprop.datasets.ytvis_json import AnnotationError
from maskprop.engine.build_errors import explain_build_errors
from maskprop.engine.config import ConfigError
from maskprop.engine.num_classes import fit_num_classes
from maskprop.utils.files import is_file


def check_datasets(cfg: Config, splits: tuple[str, ...]) -> dict[str, Any]:
    """Build the data set of each split, look for its frames, and fit the model's ``num_classes``.

    Args:
        cfg: the config; ``num_classes`` of the heads is filled in where it is missing.
        splits: of 'train', 'val', 'test'; the first one's classes are the model's. Those without a data loader
            in the config are passed over.

    Returns:
        The data sets by split.

    Raises:
        ConfigError: a file is missing, a set is empty, or classes don't fit.
        AnnotationError: an annotation file is malformed.
    """
    datasets = {split: build_dataset(cfg, split) for split in splits if cfg.get(f'{split}_dataloader')}
    classes: tuple[str, ...] | None = None
    for split, dataset in datasets.items():
        source = f'{split}_dataloader.dataset ({describe(dataset)})'
        found = tuple(dataset.metainfo['classes'])
        if classes is None:
            classes, first = found, source
            fit_num_classes(cfg.model, len(classes), source)
        elif found != classes:
            raise ConfigError(
                f'{source} has {_list_classes(found)}, but {first} has {_list_classes(classes)}. Give both sets '
                'the same categories, in the same order of their ids'
            )
    return datasets


def build_dataset(cfg: Config, split: str) -> Any:
    """Build ``cfg.<split>_dataloader.dataset`` and check that it has videos, and all the frames that it uses."""
    key = f'{split}_dataloader.dataset'
    dataset_cfg = cfg[f'{split}_dataloader']['dataset']
    try:
        with explain_build_errors(cfg, values=True):
            dataset = DATASETS.build(dataset_cfg)
        if hasattr(dataset, 'full_init'):
            dataset.full_init()
    except FileNotFoundError as error:
        raise ConfigError(
            f'{key}: {error}. Set {key}.data_root and {key}.ann_file, in the config or by --cfg-options '
            f'{key}.data_root=PATH'
        ) from error
    except AnnotationError as error:
        if isinstance(error.__cause__, OSError):  # a wrong name, rather than a wrong file
            raise AnnotationError(f'{key}: {error}') from error
        raise
    if len(dataset) == 0:
        raise ConfigError(f'{key} ({describe(dataset)}) has no videos (left after filtering)')
    _check_frames(dataset, key)
    return dataset


def _check_frames(dataset: Any, key: str) -> None:
    """Look for every frame; one that is missing would end a training or a test hours later."""
    listed: dict[Path, set[str]] = {}  # to list a folder once is faster than to look for each of its files
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    sizes: set[tuple] = set()
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        for image in info.get('images', [info]):  # a set of videos, or of single images
            size = image.get('height'), image.get('width')
            if None not in size and size not in sizes:
                sizes.add(size)
                if fault := unusable_resize(transforms, *size):
                    video = f'video {info["video_id"]}: its ' if 'images' in info else ''
                    raise ConfigError(f'{key} ({describe(dataset)}): {video}{fault}')
            path = Path(image['img_path'])
            if path.parent not in listed:
                listed[path.parent] = set(os.listdir(path.parent)) if path.parent.is_dir() else set()
            if path.name in listed[path.parent] or is_file(path):
                continue
            video = f'video {info["video_id"]}: its frame ' if 'images' in info else ''
            raise ConfigError(
                f'{key} ({describe(dataset)}): {video}{path} does not exist. Set {key}.data_prefix.img_path to '
                'the folder that the file names of the annotation file start from, or unpack the images again'
            )


def build_annotated_test_set(cfg: Config) -> Any:
    """Build and check the test set where its annotations are needed.

    Raises:
        ConfigError: as of :func:`build_dataset`; it is no ``YouTubeVISJsonDataset``; no object is annotated.
    """
    from maskprop.datasets.ytvis_dataset import YouTubeVISJsonDataset

    if not cfg.get('test_dataloader'):
        raise ConfigError(f'config {cfg.filename}: test_dataloader is not set')
    dataset = build_dataset(cfg, 'test')
    if not isinstance(dataset, YouTubeVISJsonDataset):
        raise ConfigError(
            f'test_dataloader.dataset is a {type(dataset).__name__}, but annotations are taken from a '
            'YouTubeVISJsonDataset'
        )
    if not any(image['instances'] for i in range(len(dataset)) for image in dataset.get_data_info(i)['images']):
        val = (cfg.get('val_dataloader') or {}).get('dataset') or {}
        file, folder = val.get('ann_file', 'FILE'), (val.get('data_prefix') or {}).get('img_path', 'FOLDER')
        raise ConfigError(
            f'{dataset.ann_file}: no annotated object in the frames used, and here annotations are needed '
            '(published validation and test sets have none). Take a set that has them, such as the '
            f"config's validation set: --cfg-options test_dataloader.dataset.ann_file={file} "
            f'test_dataloader.dataset.data_prefix.img_path={folder}'
        )
    return dataset


def videos_of(dataset: Any) -> dict[int, tuple[tuple[int, int], int]]:
    """{video id: ((height, width), frames used)} of a set of videos; none of a set of single images."""
    infos = (dataset.get_data_info(i) for i in range(len(dataset)))
    return {
        info['video_id']: ((info['images'][0]['height'], info['images'][0]['width']), len(info['images']))
        for info in infos
        if 'images' in info
    }


def check_num_classes(model: Any, dataset: Any, key: str) -> None:
    """See that a model has as many classes as a data set; for Runners that were started without the tools' checks.

    Args:
        model: may lack ``num_classes``. dataset: may lack ``metainfo``. key: of the data set in the config.

    Raises:
        ConfigError: it has another number.
    """
    wanted, classes = getattr(model, 'num_classes', None), getattr(dataset, 'metainfo', {}).get('classes')
    if wanted is not None and classes is not None and len(classes) != wanted:
        raise ConfigError(
            f'model.num_classes is {wanted}, but {key} ({describe(dataset)}) has {len(classes)}: set '
            f'model.num_classes={len(classes)}'
        )


def check_metrics(metrics: Iterable[Any], dataset: Any) -> None:
    """See that the metrics can evaluate results of the data set; those that cannot tell are passed over.

    Raises:
        EvalInputError: see :meth:`maskprop.evaluation.metric.YTVISMetric.check_videos`.
    """
    checks = [metric.check_videos for metric in metrics if hasattr(metric, 'check_videos')]
    videos = videos_of(dataset) if checks else {}
    for check in checks:
        check(videos)


def describe(dataset: Any) -> str:
    """The data set's annotation file, or its type."""
    return str(getattr(dataset, 'ann_file', None) or type(dataset).__name__)


def _list_classes(classes: tuple[str, ...]) -> str:
    shown = ', '.join(classes[:4]) + (', ...' if len(classes) > 4 else '')
    return f'{len(classes)} classes ({shown})'
