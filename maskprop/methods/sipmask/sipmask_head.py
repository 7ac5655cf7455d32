"""SipMask's head: FCOS with aligned features, basis maps and coefficients for the sub-regions of each box."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmcv.cnn import Scale
from mmdet.models.dense_heads import FCOSHead
from mmdet.models.layers import fast_nms
from mmdet.models.utils import multi_apply
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from torch import Tensor, nn
from torchvision.ops import box_iou

from maskprop.engine.config import ConfigError
from maskprop.methods.sipmask.feature_align import FeatureAlign
from maskprop.methods.sipmask.mask_assembly import REGIONS
from maskprop.methods.sipmask.point_assigner import RANGES, PointAssigner
from maskprop.methods.sipmask.sipmask_losses import (
    STRIDE,
    alignment_weights,
    counts_in_masks,
    halve_masks,
    mask_loss,
)
from maskprop.methods.sipmask.towers import JOINED_LEVELS, build_tower, join_levels

BASIS_SCALE = 4  # from the finest level's stride to the basis maps' of 2


class PointPredictions(NamedTuple):
    """What the head says of B images at P points of all levels.

    Attributes:
        points: of each level, (P_l, 2) float, x, y in pixels.
        logits: (B, P, classes). distances: (B, P, 4), left, top, right, bottom in pixels. centerness: (B, P).
        coefficients: (B, P, 4 K). basis: (B, K, H / 2, W / 2).
    """

    points: list[Tensor]
    logits: Tensor
    distances: Tensor
    centerness: Tensor
    coefficients: Tensor
    basis: Tensor


class PointDetections(NamedTuple):
    """What is kept of an image.

    Attributes:
        boxes: (N, 4) float in pixels of the network's input. scores: (N,). labels: (N,) long.
        coefficients: (N, 4 K) float.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    coefficients: Tensor


@MODELS.register_module()
class SipMaskHead(FCOSHead):
    """Boxes, classes, basis maps and mask coefficients of single frames.

    Distances are linear (convolution, learned scale, stride), so they may be negative. The classification features
    are aligned with the predicted box before they are classified and give the coefficients.

    Args:
        stacked_convs: depth of the regression tower; the classification tower has one convolution less.
        num_bases: K, the basis maps.
        basis_channels: between the two convolutions that make them.
        basis_kernel: of the first of these two, 1 or 3.
        align_groups: of the alignment's offsets.
        strides, regress_ranges, center_sample_radius, **kwargs: of mmdet's ``FCOSHead``. Its ``test_cfg`` has
            ``nms_pre`` points of each level, ``score_thr``, ``iou_threshold`` and ``top_k`` (of each class) of
            Fast NMS, ``max_per_img``.

    Raises:
        ConfigError: the first stride is not 8, or there are fewer than three.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        *,
        stacked_convs: int = 3,
        num_bases: int = 32,
        basis_channels: int = 512,
        basis_kernel: int = 1,
        align_groups: int = 4,
        strides: Sequence[int] = (8, 16, 32, 64, 128),
        regress_ranges: Sequence[tuple[float, float]] = RANGES,
        center_sample_radius: float = 1.5,
        **kwargs: Any,
    ) -> None:
        if strides[0] != BASIS_SCALE * STRIDE or len(strides) < JOINED_LEVELS:
            raise ConfigError(
                f'detector.bbox_head.strides={tuple(strides)}: expected {JOINED_LEVELS} or more, from '
                f'{BASIS_SCALE * STRIDE}: the basis maps are made of the first {JOINED_LEVELS}'
            )
        self.num_bases = num_bases
        self.basis_channels = basis_channels
        self.basis_kernel = basis_kernel
        self.align_groups = align_groups
        kwargs.setdefault(
            'init_cfg',
            dict(
                type='Normal',
                layer=['Conv2d', 'DeformConv2d'],
                std=0.01,
                override=dict(type='Normal', name='conv_cls', std=0.01, bias_prob=0.01),
            ),
        )
        super().__init__(
            num_classes,
            in_channels,
            stacked_convs=stacked_convs,
            strides=strides,
            regress_ranges=regress_ranges,
            center_sampling=True,
            center_sample_radius=center_sample_radius,
            **kwargs,
        )
        self.assigner = PointAssigner(strides, regress_ranges, center_sample_radius)

    def _init_layers(self) -> None:
        width = self.feat_channels
        self.cls_convs = build_tower(self.in_channels, width, self.stacked_convs - 1, self.norm_cfg)
        self.reg_convs = build_tower(self.in_channels, width, self.stacked_convs, self.norm_cfg)
        self._init_predictor()
        self.conv_centerness = nn.Conv2d(width, 1, 3, padding=1)
        self.scales = nn.ModuleList([Scale(1.0) for _ in self.strides])
        self.feat_align = FeatureAlign(
            width, width, groups=self.align_groups, num_groups=self.norm_cfg.get('num_groups', 32)
        )
        self.conv_coefficients = nn.Conv2d(width, REGIONS * self.num_bases, 3, padding=1)
        self.basis_conv1 = nn.Conv2d(
            JOINED_LEVELS * width, self.basis_channels, self.basis_kernel, padding=self.basis_kernel // 2
        )
        self.basis_conv2 = nn.Conv2d(self.basis_channels, self.num_bases, 3, padding=1)

    def forward(self, feats: Sequence[Tensor]) -> tuple[list[Tensor], ...]:
        """Levels (B, C, h, w) to, of each level, class logits, distances (left, top, right, bottom) in pixels,
        centerness logits, coefficients; and the basis maps (B, K, H / 2, W / 2)."""
        *outputs, regression = multi_apply(self.forward_single, feats, self.scales, self.strides)
        return (*outputs, self.basis(regression[:JOINED_LEVELS]))

    def forward_single(self, feats: Tensor, scale: Scale, stride: int) -> tuple[Tensor, ...]:
        """One level; the last result is the regression feature, from which the basis maps are made."""
        regression = self.reg_convs(feats)
        distances = scale(self.conv_reg(regression)).float()  # in strides
        aligned = self.feat_align(self.cls_convs(feats), distances.detach())
        return (
            self.conv_cls(aligned),
            distances * stride,
            self.conv_centerness(regression),
            self.conv_coefficients(aligned),
            regression,
        )

    def basis(self, regression: Sequence[Tensor]) -> Tensor:
        """The basis maps (B, K, H / 2, W / 2) of the regression features of P3, P4 and P5."""
        maps = self.basis_conv2(self.basis_conv1(join_levels(regression)).relu()).relu()
        # a cell's values side by side: the assembly would copy them into that order
        maps = maps.contiguous(memory_format=torch.channels_last)
        return F.interpolate(maps, scale_factor=BASIS_SCALE, mode='bilinear', align_corners=False)

    def flatten(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        centernesses: list[Tensor],
        coefficients: list[Tensor],
        basis: Tensor,
    ) -> PointPredictions:
        """What :meth:`forward` gives, point by point."""
        points = self.assigner.points([level.shape[-2:] for level in cls_scores], bbox_preds[0])
        flat = [
            torch.cat([level.flatten(2).mT for level in levels], 1).float()
            for levels in (cls_scores, bbox_preds, centernesses, coefficients)
        ]
        logits, distances, centerness, coefficients = flat
        return PointPredictions(points, logits, distances, centerness[..., 0], coefficients, basis)

    def decode(self, found: PointPredictions) -> Tensor:
        """The boxes (B, P, 4) of all points, in pixels; they may leave the image."""
        points = torch.cat(found.points).expand(len(found.distances), -1, -1)
        return self.bbox_coder.decode(points, found.distances)

    def loss_by_feat(self, found: PointPredictions, samples: Sequence[DetDataSample]) -> dict[str, Tensor]:
        """The four losses of a frame.

        Args:
            found: of :meth:`flatten`. samples: B samples with ``gt_instances``: ``bboxes``, ``labels``, ``masks``.

        Returns:
            ``loss_cls``, ``loss_bbox``, ``loss_centerness``, ``loss_mask``; averaged within a process alone.
        """
        objects = [sample.gt_instances for sample in samples]
        rows, targets = self.assigner.assign(found.points, [own.bboxes for own in objects])
        labels = torch.full_like(rows, self.num_classes)
        for image, own in enumerate(objects):
            positive = rows[image] >= 0
            labels[image, positive] = own.labels[rows[image, positive]]
        boxes = self.decode(found)
        return dict(
            loss_cls=self.loss_cls(
                found.logits.flatten(0, 1), labels.flatten(), avg_factor=(rows >= 0).sum() + len(objects)
            ),
            **self._box_losses(found, boxes, rows >= 0, targets),
            loss_mask=self._mask_loss(found, boxes.detach(), rows, objects),
        )

    def _box_losses(
        self, found: PointPredictions, boxes: Tensor, positive: Tensor, targets: Tensor
    ) -> dict[str, Tensor]:
        points = torch.cat(found.points).expand(len(boxes), -1, -1)[positive]
        wanted = self.bbox_coder.decode(points, targets[positive])
        centerness = self.centerness_target(targets[positive])
        return dict(
            loss_bbox=self.loss_bbox(
                widen(boxes[positive]), widen(wanted), weight=centerness, avg_factor=centerness.sum().clamp(1e-6)
            ),
            loss_centerness=self.loss_centerness(
                found.centerness[positive], centerness, avg_factor=positive.sum().clamp(1)
            ),
        )

    def _mask_loss(self, found: PointPredictions, boxes: Tensor, rows: Tensor, objects: Sequence[Any]) -> Tensor:
        """Mean over the images."""
        losses = []
        for image, own in enumerate(objects):
            kept = (rows[image] >= 0) & counts_in_masks(boxes[image])
            which, predicted = rows[image, kept], boxes[image, kept]
            scores = found.logits[image, kept].detach().sigmoid()
            scores = scores.gather(1, own.labels[which][:, None])[:, 0]
            weights = alignment_weights(scores, paired_iou(predicted, own.bboxes[which]))
            masks = halve_masks(own.masks.to_tensor(torch.bool, boxes.device))
            losses.append(
                mask_loss(found.coefficients[image, kept], found.basis[image], predicted, masks, which, weights)
            )
        return torch.stack(losses).mean()

    @torch.no_grad()
    def predict_by_feat(self, found: PointPredictions, metas: Sequence[dict]) -> list[PointDetections]:
        """The best detections of B images; ``metas`` have ``img_shape``, to whose last pixel boxes are clipped."""
        scores = found.logits.sigmoid() * found.centerness.sigmoid()[..., None]
        best = scores.amax(2).split([len(level) for level in found.points], 1)
        points = torch.cat(found.points)
        detections = []
        for image, meta in enumerate(metas):
            kept = self._best_points([level[image] for level in best])
            height, width = meta['img_shape'][:2]
            boxes = self.bbox_coder.decode(
                points[kept], found.distances[image, kept], max_shape=(height - 1, width - 1)
            )
            boxes, own, labels, rows = self.select(boxes, scores[image, kept])
            detections.append(PointDetections(boxes, own, labels, found.coefficients[image, kept[rows]]))
        return detections

    def _best_points(self, best: Sequence[Tensor]) -> Tensor:
        """Rows of the ``nms_pre`` best points of each level, given each point's best score."""
        kept, start = [], 0
        for level in best:
            kept.append(start + level.topk(min(self.test_cfg['nms_pre'], len(level)))[1])
            start += len(level)
        return torch.cat(kept)

    def select(self, boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Fast NMS: boxes (P, 4), scores (P, classes) to boxes, scores, labels and rows of the N that are kept."""
        cfg = self.test_cfg
        # in place of coefficients
        rows = torch.arange(len(boxes), device=boxes.device, dtype=boxes.dtype)[:, None]
        found, labels, rows = fast_nms(
            boxes,
            F.pad(scores, (0, 1)),  # a column for the background, which is not looked at
            rows,
            cfg['score_thr'],
            cfg['iou_threshold'],
            cfg['top_k'],
            cfg['max_per_img'],
        )
        return found[:, :4], found[:, 4], labels, rows[:, 0].long()


def widen(boxes: Tensor) -> Tensor:
    """Boxes (N, 4) with their last pixel inside: their IoU is that of mmdet 1.x, with widths x2 - x1 + 1."""
    return torch.cat([boxes[:, :2], boxes[:, 2:] + 1], 1)


def paired_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """(N,) IoU of boxes (N, 4) with others (N, 4), halved as the masks are, widths + 1."""
    return box_iou(widen(boxes / 2), widen(others / 2)).diagonal()
