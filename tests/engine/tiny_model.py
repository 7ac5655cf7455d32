"""A stand-in for a video model: enough to train on frame pairs and to stream a video, in milliseconds."""

from __future__ import annotations

import numpy as np
import torch
from mmdet.registry import DATA_SAMPLERS, MODELS
from mmengine.model import BaseModel
from pycocotools import mask as mask_api
from torch import Tensor, nn


@MODELS.register_module()
class TinyVideoModel(BaseModel):
    """Segments each class by two convolutions, with dropout so that the training depends on random states.

    Args:
        bbox_head: its ``num_classes`` is what tools fill in from the data set.
        norm: batch norm in training mode ('train'), in evaluation mode ('eval') or none.
    """

    def __init__(self, *, bbox_head: dict, dropout: float = 0.3, norm: str | None = None, data_preprocessor=None):
        super().__init__(data_preprocessor)
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8) if norm else nn.Identity()
        self.dropout = nn.Dropout2d(dropout)
        self.last = nn.Conv2d(8, bbox_head['num_classes'], 1)
        self.norm_eval = norm == 'eval'

    def train(self, mode: bool = True) -> TinyVideoModel:
        super().train(mode)
        if self.norm_eval:
            self.norm.eval()
        return self

    def predict_maps(self, images: Tensor) -> Tensor:
        return self.last(self.dropout(self.norm(self.first(images)).relu())).sigmoid()

    def forward(self, inputs: Tensor, data_samples: list, mode: str = 'tensor', **kwargs):
        """Loss: soft IoU of each class map with the class's objects, mean over the batch's objects."""
        assert mode == 'loss'
        maps = self.predict_maps(inputs.flatten(0, 1))
        frames = [sample for track in data_samples for sample in track.video_data_samples]
        losses, total = [], 0
        for class_maps, frame in zip(maps, frames, strict=True):
            instances = frame.gt_instances
            total += len(instances)
            masks = instances.masks.to_tensor(torch.float32, maps.device)
            for mask, label in zip(masks, instances.labels.tolist(), strict=True):
                found = class_maps[label]
                losses.append(1 - (found * mask).sum() / (found + mask - found * mask).sum())
        if not losses:
            return dict(loss_iou=maps.sum() * 0)
        return dict(loss_iou=torch.stack(losses).sum() / total)

    def start_video(self) -> TinyStream:
        return TinyStream(self)


@DATA_SAMPLERS.register_module()
class ShuffledFrames:
    """The first frame of each video (of the first ``last`` videos)."""

    def __init__(self, dataset, seed=None, last: int | None = None) -> None:
        self.indices = [(video, 0) for video in range(len(dataset))][:last]

    def __iter__(self):
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)


class TinyStream:
    """Gives one object per class: where its map is above its mean."""

    def __init__(self, model: TinyVideoModel) -> None:
        self.model = model
        self.masks: list[np.ndarray] = []
        self.finished = False

    def step(self, image: Tensor, meta: dict) -> list:
        assert not self.model.training and not torch.is_grad_enabled() and image.shape[:2] == (1, 3)
        height, width = meta['img_shape'][:2]
        maps = self.model.predict_maps(image)[:, :, :height, :width].float()
        maps = nn.functional.interpolate(maps, meta['ori_shape'][:2], mode='bilinear')[0]
        self.masks.append((maps > maps.mean()).cpu().numpy())
        return []

    def finish(self) -> list:
        self.finished = True
        return []

    def video_instances(self) -> TinyStream:
        assert self.finished
        return self

    def to_results(self, video_id: int, category_ids: list[int]) -> list[dict]:
        results = []
        for label, category_id in enumerate(category_ids):
            rles = [mask_api.encode(np.asfortranarray(m[label].astype(np.uint8))) for m in self.masks]
            segmentations = [dict(size=r['size'], counts=r['counts'].decode()) for r in rles]
            score = float(np.mean([m[label].mean() for m in self.masks]))
            results.append(
                dict(video_id=video_id, category_id=category_id, score=score, segmentations=segmentations)
            )
        return results
