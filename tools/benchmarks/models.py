"""The models that are timed: one full-size detector, Mask R-CNN ResNet-50-FPN, with and without what joins frames.

Weights are random, so detections are injected: the detector does all its work, then its boxes and the shapes of
its masks are replaced by given ones, alike in this project's models and in mmdet's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from torch import Tensor, nn

import maskprop
from maskprop.models import batched_boxes

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
CLASSES = 40  # YouTube-VIS 2019


def mask_track_cfg() -> ConfigDict:
    """Config of this project's MaskTrack R-CNN; its detector is the one that all models here have."""
    maskprop.register_all()
    model = Config.fromfile(CONFIGS / '_base_/models/mask_track_rcnn_r50_fpn.py').model
    for head in (model.detector.roi_head.bbox_head, model.detector.roi_head.mask_head):
        head.num_classes = CLASSES
    model.detector.init_cfg = None
    return model


def maskprop_cfg(**changes: Any) -> ConfigDict:
    """Config of MaskProp on that detector, with the paper's branch and linker, and 2 T + 1 = 13."""
    paper = Config.fromfile(CONFIGS / '_base_/models/maskprop_htc_r50_fpn.py').model
    model = mask_track_cfg()
    model.track_head = None
    model.update(propagation_head=paper.propagation_head, linker=paper.linker, clip_radius=paper.clip_radius)
    model.update(score_rule=paper.score_rule, merge_iou=None, min_frames=1)
    model.update(changes)
    return model


def mmdet_mask_track_cfg(type: str = 'MendedMaskTrackRCNN') -> ConfigDict:
    """Config of mmdet's own MaskTrack R-CNN and tracker on that detector, with its training mended."""
    from mmengine.hub import get_config

    model = get_config('mmdet::masktrack_rcnn/masktrack-rcnn_mask-rcnn_r50_fpn_8xb1-12e_youtubevis2019.py').model
    model.type = type
    model.detector = mask_track_cfg().detector
    return model


def build(cfg: ConfigDict, device: str = 'cpu', seed: int = 0) -> nn.Module:
    """The model with random weights, in evaluation mode."""
    from mmdet.registry import MODELS

    MMLogger.get_instance('benchmarks', log_level='ERROR')  # init_weights says every parameter
    torch.manual_seed(seed)
    model = MODELS.build(cfg)
    model.init_weights()
    return model.to(device).eval()


def share_detector(source: nn.Module, target: nn.Module) -> None:
    """Give a model the other one's detector weights."""
    target.detector.load_state_dict(source.detector.state_dict())


def boxes_on_a_grid(count: int, height: int, width: int, moved: float = 0.0) -> Tensor:
    """(count, 4) boxes in pixels that don't overlap, shifted to the right by ``moved`` pixels."""
    columns = max(round((count * width / height) ** 0.5), 1)
    rows = -(-count // columns)
    index = torch.arange(count)
    cell = torch.tensor([width / columns, height / rows])
    corner = torch.stack([index % columns, index // columns], 1) * cell
    boxes = torch.cat([corner + 0.15 * cell, corner + 0.85 * cell], 1)
    boxes[:, ::2] += moved
    return boxes


class InjectedDetections:
    """Replaces what a detector found in each frame by ``count`` objects with elliptic masks that move slowly.

    mmdet's two-stage detectors go through ``roi_head.predict_bbox`` and ``roi_head.mask_head``, several frames at
    once through ``batched_boxes.predict_boxes``: all still do all their work. ``frame`` counts up with every
    prediction; ``found`` lists the numbers of detections.
    """

    def __init__(self, detector: nn.Module, count: int, size: tuple[int, int]) -> None:
        self.count, self.size = count, size
        self.frame = 0
        self.found: list[int] = []
        self._predict_bbox = detector.roi_head.predict_bbox
        self._predict_boxes, self._detector = batched_boxes.predict_boxes, detector
        detector.roi_head.predict_bbox = self._boxes
        batched_boxes.predict_boxes = self._batched_boxes
        detector.roi_head.mask_head.register_forward_hook(self._masks)

    def _boxes(self, feats: tuple[Tensor, ...], metas: list[dict], *args: Any, **kwargs: Any) -> list:
        return self._replaced(self._predict_bbox(feats, metas, *args, **kwargs), feats)

    def _batched_boxes(self, detector: nn.Module, feats: tuple[Tensor, ...], *args: Any, **kwargs: Any) -> list:
        results = self._predict_boxes(detector, feats, *args, **kwargs)
        return self._replaced(results, feats) if detector is self._detector else results

    def _replaced(self, results: list, feats: tuple[Tensor, ...]) -> list:
        for index, result in enumerate(results):
            boxes = boxes_on_a_grid(self.count, *self.size, moved=self.frame % 8)
            boxes = boxes.to(feats[0].device, non_blocking=True)  # a wait would be counted as the model's
            replacement = result.new()
            replacement.bboxes = boxes
            replacement.scores = torch.linspace(0.9, 0.5, self.count, device=boxes.device)
            replacement.labels = torch.arange(self.count, device=boxes.device) % CLASSES
            results[index] = replacement
            self.frame += 1
            self.found.append(self.count)
        return results

    @staticmethod
    def _masks(module: nn.Module, inputs: tuple, logits: Tensor) -> Tensor:
        side = torch.linspace(-1, 1, logits.shape[-1], device=logits.device, dtype=logits.dtype)
        ellipse = 8 * (0.8 - side.square() - side.square()[:, None])
        return logits * 0 + ellipse
