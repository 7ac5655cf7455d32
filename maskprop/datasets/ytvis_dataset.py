"""The mmdet data set that reads YouTube-VIS annotation files as they are published."""

from __future__ import annotations

import pickle
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import mmengine.fileio as fileio
import numpy as np
import torch
from mmdet.datasets import BaseVideoDataset
from mmdet.registry import DATASETS
from mmengine.logging import print_log

from maskprop.datasets.image_folders import is_whole_image
from maskprop.datasets.samplers import FrameRequest
from maskprop.datasets.shared_lists import load_once
from maskprop.datasets.video_records import video_record
from maskprop.datasets.ytvis_json import Annotation, AnnotationError, GroundTruth, load_ytvis, select_frames
from maskprop.utils.garbage import without_garbage_collection
from maskprop.utils.random_state import seeded


@DATASETS.register_module()
class YouTubeVISJsonDataset(BaseVideoDataset):
    """Videos of a YouTube-VIS annotation file; classes come from the file, in the order of category ids.

    ``metainfo`` has ``classes`` (names by label) and ``category_ids`` (category id by label).

    An index is a :class:`~maskprop.datasets.samplers.FrameRequest` (training: this key frame, with the random
    numbers of the request), a pair (video, frame), or a video (training: a random key frame; test: all frames).

    In training, videos without a usable annotation are dropped. A usable one has a mask, or is ``box_only``, and
    is no crowd. In test mode all videos stay, and annotations may be missing.

    Still images (docs/stills.md): an object that is ``box_only`` goes through the pipeline with its filled box as
    a mask, so that every transform moves its box. In the samples that come out, ``gt_instances.mask_valid`` (N,)
    bool is False for it and its mask is empty; sets without such objects have no ``mask_valid``. The labels of a
    video's ``unknown_categories`` are in ``metainfo['unknown_labels']`` of its frames. In test mode objects
    without masks are left out.

    Args:
        frame_stride: Use the frames 0, s, 2s, ... of each video.
        frame_range: Use this part of each video, as fractions; taken before the stride. See
            :func:`~maskprop.datasets.ytvis_json.frame_indices`.
        keep_empty_frames: Whether a frame without any usable object may be a key frame in training. As the other
            frame of a pair it is used in either case.
        need_masks: Whether a key frame in training must have an object with a mask, as pairs for heads that carry
            masks do; else a box will do.
        *args, **kwargs: As mmdet's ``BaseVideoDataset``: ``ann_file``, ``data_root``, ``data_prefix`` with
            ``img_path``, ``pipeline``, ``test_mode``, ...

    Raises:
        AnnotationError: The file has errors; ``metainfo`` names other classes than the file; a training set has
            no annotation to train on.
        ValueError: ``frame_stride`` or ``frame_range`` is out of range.
    """

    def __init__(
        self,
        *args: Any,
        frame_stride: int = 1,
        frame_range: tuple[float, float] = (0.0, 1.0),
        keep_empty_frames: bool = False,
        need_masks: bool = False,
        **kwargs: Any,
    ) -> None:
        self.frame_stride = frame_stride
        self.frame_range = (float(frame_range[0]), float(frame_range[1]))
        self.keep_empty_frames = keep_empty_frames
        self.need_masks = need_masks
        self.left_out = 0  # videos without an object
        super().__init__(*args, **kwargs)

    def full_init(self) -> None:
        """Load the list, once for all data sets of the same file and options, those of other processes too."""
        if self._fully_initialized:
            return
        with without_garbage_collection():
            load_once(self, super().full_init)
        if self.left_out:
            print_log(f'{self.ann_file}: {self.left_out} videos without an object are left out', 'current')

    def _serialize_data(self) -> tuple[np.ndarray, np.ndarray]:
        """mmengine's, but without a garbage collection, for which reading leaves nothing."""
        videos = [pickle.dumps(video, protocol=4) for video in self.data_list]
        self.data_list.clear()
        return np.frombuffer(b''.join(videos), dtype=np.uint8), np.cumsum([len(video) for video in videos])

    def load_data_list(self) -> list[dict]:
        """The videos; see :func:`maskprop.datasets.video_records.video_record`."""
        with fileio.get_local_path(self.ann_file, backend_args=self.backend_args) as path:
            gt = load_ytvis(path, require_annotations=not self.test_mode, for_training=True)
        self._set_classes(gt)
        self.is_partial = any(a.get('box_only') for a in gt['annotations'] or []) or any(
            video.get('unknown_categories') for video in gt['videos']
        )
        gt = select_frames(gt, self.frame_stride, self.frame_range)
        annotations: dict[int, list[Annotation]] = defaultdict(list)
        for annotation in gt['annotations'] or []:
            annotations[annotation['video_id']].append(annotation)
        data_list: list[dict] = []
        folder, first_image = self.data_prefix.get('img_path') or '', 0
        for video in gt['videos']:
            data_list.append(
                video_record(
                    video, annotations[video['id']], first_image, self.cat2label, folder, test_mode=self.test_mode
                )
            )
            first_image += len(video['file_names'])
        return data_list

    def filter_data(self) -> list[dict]:
        """Training: the videos with something to train on."""
        if self.test_mode:
            return self.data_list
        kept = [video for video in self.data_list if any(self._is_usable(image) for image in video['images'])]
        if not kept:
            raise AnnotationError(
                f'{self.ann_file}: annotations: none with a mask and iscrowd 0 in the frames used (frame_stride='
                f'{self.frame_stride}, frame_range={self.frame_range}); nothing to train on'
                + ('; need_masks=True leaves out objects that have a box only' if self.need_masks else '')
            )
        self.left_out = len(self.data_list) - len(kept)
        return kept

    def key_frames(self) -> list[list[int]]:
        """For each video, the frames that samples are drawn for: in test mode all of them."""
        every = self.test_mode or self.keep_empty_frames
        table = []
        for video in range(len(self)):
            images = self.get_data_info(video)['images']
            table.append([i for i, image in enumerate(images) if every or self._is_usable(image)])
        return table

    def key_frame_labels(self) -> list[list[set[int]]]:
        """The labels of the objects, without crowds, of each of :meth:`key_frames`."""
        labels = []
        for video, frames in enumerate(self.key_frames()):
            objects = [image['instances'] for image in self.get_data_info(video)['images']]
            labels.append([{o['bbox_label'] for o in objects[frame] if not o['ignore_flag']} for frame in frames])
        return labels

    def __getitem__(self, index: FrameRequest | tuple[int, int] | int) -> Any:
        if isinstance(index, FrameRequest):
            with seeded(index.seed, index.epoch, index.position):
                return super().__getitem__((index.video, index.frame))
        return super().__getitem__(index)

    def prepare_data(self, idx: tuple[int, int] | int) -> Any:
        """mmdet's; a frame that is damaged is named.

        Raises:
            OSError: it cannot be read.
        """
        try:
            return self._mark_partial(super().prepare_data(idx), idx)
        except (AssertionError, cv2.error):  # mmcv's and OpenCV's, which may not say of which file
            images = self.get_data_info(idx[0] if isinstance(idx, tuple) else idx)['images']
            damaged = next((i['img_path'] for i in images if not is_whole_image(Path(i['img_path']))), None)
            if damaged is None:
                raise
            raise OSError(
                f'{damaged}: not an image that can be read: damaged, or of more than 179 million pixels'
            ) from None

    def _mark_partial(self, packed: Any, idx: tuple[int, int] | int) -> Any:
        """The pipeline's sample with what its annotations leave open: masks, and classes."""
        if packed is None or self.test_mode or not self.is_partial or 'data_samples' not in packed:
            return packed
        video = self.get_data_info(idx[0] if isinstance(idx, tuple) else idx)
        objects = [o for image in video['images'] for o in image['instances']]
        box_only = torch.tensor([o['instance_id'] for o in objects if _box_only(o)], dtype=torch.int32)
        for frame in packed['data_samples'].video_data_samples:
            frame.set_metainfo(dict(unknown_labels=video['unknown_labels']))
            instances = frame.gt_instances
            instances.mask_valid = ~torch.isin(instances.instances_ids, box_only)
            instances.masks.masks[~instances.mask_valid.numpy()] = 0
        return packed

    def _is_usable(self, image: dict) -> bool:
        return any(not (o['ignore_flag'] or (self.need_masks and _box_only(o))) for o in image['instances'])

    def _set_classes(self, gt: GroundTruth) -> None:
        categories = sorted(gt['categories'], key=lambda category: category['id'])
        classes = tuple(category['name'] for category in categories)
        given = self._metainfo.get('classes')
        if given is not None and tuple(given) != classes:
            raise AnnotationError(
                f'{self.ann_file}: categories: the file has {list(classes)} (in the order of their ids), but '
                f'metainfo has classes {list(given)}; leave metainfo out or make them agree'
            )
        self.cat_ids = [category['id'] for category in categories]
        self.cat2label = {number: label for label, number in enumerate(self.cat_ids)}
        self._metainfo.update(classes=classes, category_ids=list(self.cat_ids))


def _box_only(instance: dict) -> bool:
    return instance.get('box_only', False)
