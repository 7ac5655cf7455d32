"""Detections of single frames in COCO's results format, for ``FileDetections`` and COCO's own tools."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from maskprop.apis.views import load_views
from maskprop.datasets.listed_frames import ListedFrames
from maskprop.structures import View


def detect_frames(
    model: torch.nn.Module,
    dataset: torch.utils.data.Dataset,
    refined: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[list[dict]]:
    """What a model's detector finds in every frame of a set: before merging, linking and propagation.

    Args:
        model: a ``VideoMaskRCNN`` in evaluation mode.
        dataset: a ``YouTubeVISJsonDataset`` in test mode, of any frame stride.
        refined: write the refinement head's masks instead of the mask head's.
        progress: called with (videos done, videos in all).

    Yields:
        the records of one frame: ``image_id`` (the number of the frame among all that the annotation file lists,
        see :class:`~maskprop.datasets.listed_frames.ListedFrames`), ``bbox`` (x, y, width, height in pixels of the
        video), ``category_id``, ``score``, ``segmentation`` (compressed RLE at the video's size).
    """
    listed, category_ids = ListedFrames(dataset.ann_file), dataset.metainfo['category_ids']
    for video in range(len(dataset)):
        images = dataset.get_data_info(video)['images']
        for index, view in load_views(model, dataset, video, range(len(images))):
            place = listed.find(images[index]['video_id'], images[index]['file_name'])
            assert place is not None  # it is from this file
            found = frame_detections(model, view, refined)
            for record in found:
                record['category_id'] = int(category_ids[record['category_id']])
            yield [dict(image_id=listed.number(place), **record) for record in found]
        if progress is not None:
            progress(video + 1, len(dataset))


@torch.no_grad()
def frame_detections(model: torch.nn.Module, view: View, refined: bool = False) -> list[dict]:
    """The records of one frame, with the class index as ``category_id``."""
    found = model.frame_detector.detect(view.feats, [view.meta])[0]
    scale = found.boxes.new_tensor(view.meta['scale_factor']).repeat(2)
    if refined:
        rles = model.refinement_head.encode(view, found).values
    else:
        rles = model.frame_encoder.final_masks(view.meta, found)
    columns = zip((found.boxes / scale).tolist(), found.labels.tolist(), found.scores.tolist(), rles, strict=True)
    return [
        dict(bbox=[x1, y1, x2 - x1, y2 - y1], category_id=label, score=score, segmentation=rle)
        for (x1, y1, x2, y2), label, score, rle in columns
    ]
