"""Videos of a data set, frame by frame, with their features."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import torch
from mmengine.dataset import pseudo_collate

from maskprop.structures import View


def load_views(
    model: torch.nn.Module, dataset: torch.utils.data.Dataset, video: int, indices: Iterable[int]
) -> Iterator[tuple[int, View]]:
    """Frames of one video with their features, each as soon as it is ready.

    Args:
        model: a ``VideoMaskRCNN`` in evaluation mode.
        dataset: a ``YouTubeVISJsonDataset`` in test mode.
        video: its index in the set.
        indices: of its frames, ascending; the model takes them for the whole video.

    Yields:
        (index, view), in order.
    """
    features = model.start_features()
    waiting: deque[int] = deque()
    for index in indices:
        waiting.append(index)
        batch = model.data_preprocessor(pseudo_collate([dataset[video, index]]), False)
        for view in features.step(batch['inputs'][0], batch['data_samples'][0][0].metainfo):
            yield waiting.popleft(), view
    for view in features.finish():
        yield waiting.popleft(), view
