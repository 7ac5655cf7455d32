"""Several trackers on the same detections: one detector pass, as many linkings as wanted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import torch

from maskprop.apis.model import require_same_classes
from maskprop.apis.views import load_views

Results = list[dict]


@torch.no_grad()
def run_variants(
    model: torch.nn.Module,
    dataset: torch.utils.data.Dataset,
    variants: Mapping[str, dict],
    frame_strides: Sequence[int] = (1,),
    ground_truth: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[tuple[str, int], Results]:
    """Track every video of a set with several variants of a model, on the same detections.

    A frame goes through backbone and detector once, whatever the number of variants and strides, and is kept no
    longer than a stream needs it. (With an aggregator: once for every stride, which decides its neighbours.)

    Args:
        model: a ``VideoMaskRCNN`` in evaluation mode.
        dataset: a ``YouTubeVISJsonDataset`` in test mode with ``frame_stride=1``.
        variants: what each replaces, as keyword arguments of ``model.start_video``.
        ground_truth: take the annotations in place of the detector's boxes, classes and masks.
        frame_strides: each variant is run on every s-th frame, for all of these.
        progress: called with (videos done, videos in all).

    Returns:
        ``{(variant, stride): results}`` in the YouTube-VIS format.

    Raises:
        ConfigError: the model was trained on other classes than the set's, and detects itself.
    """
    results: dict[tuple[str, int], Results] = defaultdict(list)
    category_ids = dataset.metainfo['category_ids']
    model.check_classes(dataset.metainfo['classes'])
    if not ground_truth and not model.reads_detections and hasattr(model, 'dataset_meta'):
        require_same_classes(model, dataset)
    for video in range(len(dataset)):
        info = dataset.get_data_info(video)
        streams = {
            (name, stride): model.start_video(**overrides)
            for stride in frame_strides
            for name, overrides in variants.items()
        }
        length = dataset.get_len_per_video(video)
        for group in [frame_strides] if model.aggregator is None else [(stride,) for stride in frame_strides]:
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
        for row, stream in streams.items():
            stream.finish()
            results[row] += stream.video_instances().to_results(info['video_id'], category_ids)
        if progress is not None:
            progress(video + 1, len(dataset))
    return dict(results)
