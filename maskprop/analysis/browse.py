"""Pictures of a data set: annotated videos as the file has them, and samples as the training gets them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

import maskprop
from maskprop.analysis.report import Report
from maskprop.analysis.samples import draw_sample
from maskprop.datasets.ytvis_json import AnnotationError, load_ytvis
from maskprop.engine.build_errors import explain_build_errors
from maskprop.engine.config import ConfigError, load_config
from maskprop.utils.files import check_writable
from maskprop.utils.text import plural
from maskprop.visualization.files import write_image
from maskprop.visualization.strip import draw_strip
from maskprop.visualization.tracks import tracks_from_annotations, tracks_from_dataset

#: (name of the file, caption, (H, W, 3) uint8 BGR)
Picture = tuple[str, str, np.ndarray]


def browse(
    source: str | Path | Config,
    out: str | Path,
    *,
    number: int = 8,
    seed: int = 0,
    images: str | Path | None = None,
    split: str = 'train',
    cfg_options: dict | None = None,
) -> list[Path]:
    """Draw videos of a set with their annotations and, of a config's training set, samples after augmentation.

    Args:
        source: annotation file in YouTube-VIS format (.json), or a config.
        out: a folder, which gets a JPEG for each picture; or a page (.html), which holds them.
        number: of videos, and of samples. seed: which videos, which samples, and how they are augmented.
        images: folder of the frames, of an annotation file. split: 'train', 'val' or 'test', of a config.
        cfg_options: keys of the config to override.

    Returns:
        the files written.

    Raises:
        AnnotationError, ConfigError: the set cannot be read, or has no annotations; frames are missing.
    """
    out = Path(out)
    page = out.suffix.lower() in ('.html', '.htm')
    check_writable(out, '--out', folder=not page)
    if isinstance(source, (str, Path)) and Path(source).suffix == '.json':
        pictures = file_pictures(source, images, number, seed)
        title = f'Annotations of {Path(source).name}'
    else:
        pictures = config_pictures(source, split, number, seed, cfg_options)
        title = f'The {split} set of {source.filename if isinstance(source, Config) else source}'
    report, written = Report(title), []
    for name, caption, picture in pictures:
        if page:
            report.photo(picture, caption)
        else:
            written.append(out / f'{name}.jpg')
            write_image(written[-1], picture)
    if page:
        report.write(out)
        written.append(out)
    return written


def file_pictures(path: str | Path, images: str | Path | None, number: int, seed: int) -> Iterator[Picture]:
    """A strip of each of ``number`` videos of an annotation file."""
    data = load_ytvis(path, require_annotations=True)
    if images is None:
        raise ConfigError(f'{path}: --images FOLDER is needed: the folder that its file_names start from')
    names = {category['id']: category['name'] for category in data['categories']}
    for index in _choose(len(data['videos']), number, seed):
        video = data['videos'][index]
        files = [Path(images, name) for name in video['file_names']]
        if missing := next((file for file in files if not file.is_file()), None):
            raise AnnotationError(
                f'{missing}: no such frame; give the folder that file_names of {path} start from by --images'
            )
        own = [annotation for annotation in data['annotations'] or () if annotation['video_id'] == video['id']]
        tracks = tracks_from_annotations(own, names)
        caption = _caption(video['id'], files[0].parent.name, len(files), tracks)
        yield f'video_{video["id"]}', caption, draw_strip(files, {'annotations': tracks})


def config_pictures(
    config: str | Path | Config, split: str, number: int, seed: int, options: dict | None
) -> Iterator[Picture]:
    """Strips of ``number`` videos of a config's set, then ``number`` samples if it is the training set."""
    maskprop.register_all()
    from maskprop.engine.checks import build_dataset

    cfg = load_config(config, options)
    if not cfg.get(f'{split}_dataloader'):
        raise ConfigError(f'config {cfg.filename}: {split}_dataloader is not set')
    with explain_build_errors(cfg):
        dataset = build_dataset(cfg, split)
    classes = dataset.metainfo['classes']
    yield from _video_pictures(dataset, classes, number, seed)
    if split != 'train':
        return
    with explain_build_errors(cfg, values=True):
        requests = _sampler(cfg, dataset, seed)
    for place, index in enumerate(islice(iter(requests), number)):
        picture = draw_sample(dataset[index], classes, title=f'sample {place}')
        yield f'sample_{place}', f'Sample {place}, as the training gets it: {_place(dataset, index)}', picture


def _video_pictures(dataset: Any, classes: list[str], number: int, seed: int) -> Iterator[Picture]:
    for index in _choose(len(dataset), number, seed):
        info = dataset.get_data_info(index)
        if 'images' not in info:  # a set of single images or crops
            return
        files = [image['img_path'] for image in info['images']]
        tracks = tracks_from_dataset(info['images'], classes)
        caption = _caption(info['video_id'], Path(files[0]).parent.name, len(files), tracks)
        yield f'video_{index}_id_{info["video_id"]}', caption, draw_strip(files, {'annotations': tracks})


def _choose(total: int, number: int, seed: int) -> list[int]:
    return sorted(np.random.default_rng(seed).permutation(total)[:number].tolist())


def _caption(video_id: int, name: str, length: int, tracks: list) -> str:
    return f'Video {video_id} ({name}): {plural(length, "frame")}, {plural(len(tracks), "object")}'


def _sampler(cfg: Config, dataset: Any, seed: int) -> Any:
    """The training's sampler, with this seed for order and augmentation."""
    from mmdet.registry import DATA_SAMPLERS

    from maskprop.utils.random_state import seed_all

    seed_all(seed)  # for samplers and data sets that draw from the global generators
    return DATA_SAMPLERS.build({**cfg.train_dataloader.sampler, 'seed': seed}, default_args=dict(dataset=dataset))


def _place(dataset: Any, index: Any) -> str:
    video, frame = getattr(index, 'video', None), getattr(index, 'frame', None)
    if video is None:
        return f'index {index}'
    return f'video {dataset.get_data_info(video).get("video_id", video)}, key frame {frame}'
