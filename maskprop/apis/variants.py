"""Several trackers on the same detections: one detector pass, as many linkings as wanted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from mmengine.dataset import pseudo_collate
from torch.utils.data import Dataset

from maskprop.apis.model import require_same_classes
from maskprop.apis.views import load_views
from maskprop.engine.config import ConfigError
from maskprop.evaluation.results_io import name_categories

Results = list[dict]
Streams = Mapping[tuple[str, int], Any]  # of a video, by variant and stride


@torch.no_grad()
def run_variants(
    model: torch.nn.Module,
    dataset: Dataset,
    variants: Mapping[str, dict],
    frame_strides: Sequence[int] = (1,),
    ground_truth: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[tuple[str, int], Results]:
    """Track every video of a set with several variants of a model, on the same detections.

    A frame goes through backbone and detector once, whatever the number of variants and strides, and is kept no
    longer than a stream needs it. (With an aggregator: once for every stride, which decides its neighbours. A
    model that is no ``VideoMaskRCNN`` sees it once for every variant and stride.)

    Args:
        model: a ``VideoModel`` in evaluation mode.
        dataset: a ``YouTubeVISJsonDataset`` in test mode with ``frame_stride=1``.
        variants: what each replaces, as keyword arguments of ``model.start_video``.
        ground_truth: take the annotations in place of the detector's boxes, classes and masks.
        frame_strides: each variant is run on every s-th frame, for all of these.
        progress: called with (videos done, videos in all).

    Returns:
        ``{(variant, stride): results}`` in the YouTube-VIS format.

    Raises:
        ConfigError: the model was trained on other classes than the set's, and detects itself; or it can't take
            the annotations' detections.
    """
    results: dict[tuple[str, int], Results] = defaultdict(list)
    names = dict(zip(dataset.metainfo['category_ids'], dataset.metainfo['classes'], strict=True))
    if shares_detections(model):
        model.check_classes(dataset.metainfo['classes'])
        push = _push_views
    elif ground_truth:
        raise ConfigError(f'{type(model).__name__} takes no detections, so neither those of the annotations')
    else:
        push = _push_images
    if not ground_truth and not getattr(model, 'reads_detections', False) and hasattr(model, 'dataset_meta'):
        require_same_classes(model, dataset)
    for video in range(len(dataset)):
        video_id = dataset.get_data_info(video)['video_id']
        streams = {
            (name, stride): model.start_video(**overrides)
            for stride in frame_strides
            for name, overrides in variants.items()
        }
        push(model, dataset, video, streams, ground_truth)
        for row in list(streams):
            stream = streams.pop(row)
            stream.finish()
            records = stream.video_instances().to_results(video_id, list(names))
            results[row] += name_categories(records, names)
            del stream  # with the frames that it holds
        if progress is not None:
            progress(video + 1, len(dataset))
    return dict(results)


def shares_detections(model: torch.nn.Module) -> bool:
    """Whether several streams of a model can take what it detected once: that of a ``VideoMaskRCNN``."""
    return hasattr(model, 'encode')


def _push_views(
    model: torch.nn.Module,
    dataset: Dataset,
    video: int,
    streams: Mapping[tuple[str, int], Any],
    ground_truth: bool,
) -> None:
    """Give the frames of a video to streams that take what was detected in them."""
    info, length = dataset.get_data_info(video), dataset.get_len_per_video(video)
    strides = dict.fromkeys(stride for _, stride in streams)
    for group in [strides] if model.aggregator is None else [(stride,) for stride in strides]:
        indices = [i for i in range(length) if any(i % stride == 0 for stride in group)]
        for index, view in load_views(model, dataset, video, indices):
            watching = [s for (_, stride), s in streams.items() if stride in group and index % stride == 0]
            frame = model.encode(
                view,
                needs=set().union(*(stream.needs for stream in watching)),
                instances=info['images'][index]['instances'] if ground_truth else None,
            )
            for stream in watching:
                stream.push(frame)


def _push_images(
    model: torch.nn.Module,
    dataset: Dataset,
    video: int,
    streams: Mapping[tuple[str, int], Any],
    ground_truth: bool,
) -> None:
    """Give the frames of a video to streams that take images."""
    for index in range(dataset.get_len_per_video(video)):
        watching = [stream for (_, stride), stream in streams.items() if index % stride == 0]
        if watching:
            batch = model.data_preprocessor(pseudo_collate([dataset[video, index]]), False)
            for stream in watching:
                stream.step(batch['inputs'][0], batch['data_samples'][0][0].metainfo)
