"""Crops of the instances of any set in YouTube-VIS format, to train appearance nets and classifiers on."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from mmdet.datasets import ReIDDataset
from mmdet.evaluation.functional import bbox_overlaps
from mmdet.registry import DATASETS

from maskprop.datasets.ytvis_dataset import YouTubeVISJsonDataset
from maskprop.datasets.ytvis_json import AnnotationError

LABELS = ('identity', 'category')
BACKGROUND_IOU = 0.3  # of false detections with all objects of the frame: below this
TRIES = 10  # for a place of one


@DATASETS.register_module()
class InstanceCropDataset(ReIDDataset):
    """mmdet's ``ReIDDataset`` without files of crops: a sample for each instance and frame.

    A sample has ``img_path``, ``bbox`` (x1, y1, x2, y2 in pixels) and ``gt_label`` (the instance, counted from 0,
    or the class index) and goes through the pipeline; with ``triplet_sampler=dict(num_ids=P, ins_per_id=K)`` lists
    of P K of them do.

    Crowds are left out, and identities with one crop only: nothing is like them.

    Args:
        label: ``'identity'``, or ``'category'`` for a classifier.
        background: with ``label='category'``, also a box in every frame that has objects, of the size of one of
            them, which overlaps none by an IoU of .3 or more: a false detection. Its label is the number of
            classes. Always the same ones; none where no place is found, or where some classes are not annotated.
        frame_stride, frame_range: as :class:`~maskprop.datasets.ytvis_dataset.YouTubeVISJsonDataset`'s.
        min_side: boxes must be this many pixels wide and high.
        *args, **kwargs: as mmdet's ``ReIDDataset``: ``ann_file``, ``data_root``, ``data_prefix`` with
            ``img_path``, ``triplet_sampler``, ``pipeline``, ...

    Raises:
        AnnotationError: the file has errors, or fewer identities with two crops than a sample needs.
        ValueError: ``label`` is unknown, or ``background`` has no meaning with it.
    """

    def __init__(
        self,
        *args: Any,
        frame_stride: int = 1,
        frame_range: tuple[float, float] = (0.0, 1.0),
        min_side: float = 4,
        label: str = 'identity',
        background: bool = False,
        **kwargs: Any,
    ) -> None:
        if label not in LABELS:
            raise ValueError(f'label={label!r} is unknown; choose one of {LABELS}')
        if background and label != 'category':
            raise ValueError("background=True is a category more: set label='category'")
        self.label = label
        self.background = background
        self.frame_options: dict[str, Any] = dict(frame_stride=frame_stride, frame_range=frame_range)
        self.min_side = min_side
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """The samples: identities in the order of their first frames; categories in the order of frames."""
        videos = YouTubeVISJsonDataset(
            ann_file=self.ann_file, data_prefix=self.data_prefix, pipeline=[], **self.frame_options
        )
        self._metainfo.update(videos.metainfo)
        data_list = self._by_category(videos) if self.label == 'category' else self._by_identity(videos)
        self._parse_ann_info(data_list)
        return data_list

    def _by_identity(self, videos: YouTubeVISJsonDataset) -> list[dict]:
        crops: dict[int, list[dict]] = defaultdict(list)
        for video in range(len(videos)):
            for image in videos.get_data_info(video)['images']:
                for instance in filter(self._is_usable, image['instances']):
                    crops[instance['instance_id']].append(dict(img_path=image['img_path'], bbox=instance['bbox']))
        identities = [found for found in crops.values() if len(found) > 1]
        needed = (self.triplet_sampler or {}).get('num_ids', 1)
        if len(identities) < needed:
            raise AnnotationError(
                f'{self.ann_file}: annotations: {len(identities)} with two boxes of {self.min_side} pixels or '
                f'more in the frames used, and a sample needs {needed}: lower min_side or triplet_sampler.num_ids'
            )
        return [_labelled(crop, label) for label, found in enumerate(identities) for crop in found]

    def _by_category(self, videos: YouTubeVISJsonDataset) -> list[dict]:
        data_list = []
        for video in map(videos.get_data_info, range(len(videos))):
            for image in video['images']:
                usable = list(filter(self._is_usable, image['instances']))
                crops = [(instance['bbox'], instance['bbox_label']) for instance in usable]
                if self.background and usable and not video['unknown_labels']:
                    crops += [(box, len(videos.metainfo['classes'])) for box in false_boxes(image, usable)]
                data_list += [_labelled(dict(img_path=image['img_path'], bbox=box), label) for box, label in crops]
        if not data_list:
            raise AnnotationError(
                f'{self.ann_file}: annotations: none with a box of {self.min_side} pixels or more in the frames '
                'used: lower min_side'
            )
        return data_list

    def _is_usable(self, instance: dict) -> bool:
        x1, y1, x2, y2 = instance['bbox']
        return not instance['ignore_flag'] and min(x2 - x1, y2 - y1) >= self.min_side


def false_boxes(image: dict, usable: list[dict]) -> list[list[float]]:
    """A box that is no object of an image, or none; drawn by the image's number.

    Args:
        image: of ``YouTubeVISJsonDataset``. usable: those of its instances that have a size for the box.
    """
    rng = np.random.default_rng(image['img_id'])
    objects = np.array([instance['bbox'] for instance in image['instances']], dtype=np.float64)
    sizes = np.array([instance['bbox'] for instance in usable])
    sizes = sizes[:, 2:] - sizes[:, :2]
    for _ in range(TRIES):
        size = rng.choice(sizes)
        corner = rng.uniform(0, np.maximum([image['width'], image['height']] - size, 0))
        box = np.concatenate([corner, corner + size])
        if bbox_overlaps(box[None], objects).max() < BACKGROUND_IOU:
            return [box.tolist()]
    return []


def _labelled(crop: dict, label: int) -> dict:
    return {**crop, 'gt_label': np.array(label, dtype=np.int64)}
