"""Crops of the instances of any set in YouTube-VIS format, to train an appearance net on."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from mmdet.datasets import ReIDDataset
from mmdet.registry import DATASETS

from maskprop.datasets.ytvis_dataset import YouTubeVISJsonDataset
from maskprop.datasets.ytvis_json import AnnotationError


@DATASETS.register_module()
class InstanceCropDataset(ReIDDataset):
    """mmdet's ``ReIDDataset`` without files of crops: a sample for each instance and frame.

    A sample has ``img_path``, ``bbox`` (x1, y1, x2, y2 in pixels) and ``gt_label`` (the instance, counted from 0)
    and goes through the pipeline; with ``triplet_sampler=dict(num_ids=P, ins_per_id=K)`` lists of P K of them do.

    Crowds are left out, and identities with one crop only: nothing is like them.

    Args:
        frame_stride, frame_range: as :class:`~maskprop.datasets.ytvis_dataset.YouTubeVISJsonDataset`'s.
        min_side: boxes must be this many pixels wide and high.
        *args, **kwargs: as mmdet's ``ReIDDataset``: ``ann_file``, ``data_root``, ``data_prefix`` with
            ``img_path``, ``triplet_sampler``, ``pipeline``, ...

    Raises:
        AnnotationError: the file has errors, or fewer identities with two crops than a sample needs.
    """

    def __init__(
        self,
        *args: Any,
        frame_stride: int = 1,
        frame_range: tuple[float, float] = (0.0, 1.0),
        min_side: float = 4,
        **kwargs: Any,
    ) -> None:
        self.frame_options = dict(frame_stride=frame_stride, frame_range=frame_range)
        self.min_side = min_side
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """The samples: identities in the order of their first frames."""
        videos = YouTubeVISJsonDataset(
            ann_file=self.ann_file, data_prefix=self.data_prefix, pipeline=[], **self.frame_options
        )
        self._metainfo.update(videos.metainfo)
        crops: dict[int, list[dict]] = defaultdict(list)
        for video in range(len(videos)):
            for image in videos.get_data_info(video)['images']:
                for instance in image['instances']:
                    if self._is_usable(instance):
                        crops[instance['instance_id']].append(
                            dict(img_path=image['img_path'], bbox=instance['bbox'])
                        )
        identities = [found for found in crops.values() if len(found) > 1]
        needed = (self.triplet_sampler or {}).get('num_ids', 1)
        if len(identities) < needed:
            raise AnnotationError(
                f'{self.ann_file}: annotations: {len(identities)} with two boxes of {self.min_side} pixels or '
                f'more in the frames used, and a sample needs {needed}: lower min_side or triplet_sampler.num_ids'
            )
        data_list = [
            {**crop, 'gt_label': np.array(label, dtype=np.int64)}
            for label, found in enumerate(identities)
            for crop in found
        ]
        self._parse_ann_info(data_list)
        return data_list

    def _is_usable(self, instance: dict) -> bool:
        x1, y1, x2, y2 = instance['bbox']
        return not instance['ignore_flag'] and min(x2 - x1, y2 - y1) >= self.min_side
