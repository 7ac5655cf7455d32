"""mmdet's RTMDet-Ins as the video model's frame detector: fast, its masks over the whole frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import RTMDetInsHead
from mmdet.models.detectors import SingleStageDetector
from mmdet.registry import TASK_UTILS
from mmdet.structures import DetDataSample
from torch import Tensor

from maskprop.engine.config import ConfigError
from maskprop.ops.masks import encode_mask
from maskprop.structures import Detections


class LogitMaps(NamedTuple):
    """:class:`~maskprop.structures.detections.FrameMasks` of RTMDet-Ins.

    Attributes:
        logits: (N, h, w) float32, over the network's whole input.
        stride: pixels of the network's input per cell.
        threshold: a pixel of a final mask is foreground above this probability.
    """

    logits: Tensor
    stride: int
    threshold: float

    def select(self, rows: Tensor) -> LogitMaps:
        """These of the masks."""
        return self._replace(logits=self.logits[rows])

    def on_map(self, height: int, width: int) -> Tensor:
        """(N, height, width) float in [0, 1]."""
        if len(self.logits) == 0:
            return self.logits.new_zeros((0, height, width))
        if height < self.logits.shape[1]:
            return F.adaptive_avg_pool2d(self.logits.sigmoid(), (height, width))
        size = (height, width)
        return F.interpolate(self.logits[None], size, mode='bilinear', align_corners=False)[0].sigmoid()

    def in_video(self, meta: dict) -> list[dict]:
        """N RLEs, as mmdet's RTMDet-Ins resizes its masks, but one by one: all at once would fill the memory."""
        return [encode_mask(self._resize(logits, meta)) for logits in self.logits]

    def _resize(self, logits: Tensor, meta: dict) -> Tensor:
        """(height, width) bool at the video's size, on the CPU."""
        height, width = meta['ori_shape'][:2]
        fine = F.interpolate(logits[None, None], scale_factor=self.stride, mode='bilinear', align_corners=False)
        scale = [1 / factor for factor in meta['scale_factor'][::-1]]  # (h, w)
        size = [math.ceil(side * by) for side, by in zip(fine.shape[-2:], scale, strict=True)]
        video = F.interpolate(fine, size, mode='bilinear', align_corners=False)[0, 0, :height, :width]
        return (video.sigmoid() > self.threshold).cpu().numpy()


@TASK_UTILS.register_module()
class OneStageFrameDetector:
    """A :class:`~maskprop.structures.protocols.FrameDetector` made of mmdet's RTMDet-Ins.

    It has no weights of its own. Its masks belong to what it found itself, so there are none at given boxes.

    Args:
        detector: whose parts it calls.

    Raises:
        ConfigError: it is another detector, or ``test_cfg.mask_thr_binary`` is not in 0..1.
    """

    def __init__(self, detector: SingleStageDetector) -> None:
        head = getattr(detector, 'bbox_head', None)
        if not isinstance(head, RTMDetInsHead):
            raise ConfigError(
                f'model.detector: {type(detector).__name__} with a {type(head).__name__} is neither a two-stage '
                "detector of mmdet nor its RTMDet-Ins, and has not a FrameDetector's methods: see "
                'docs/adding_a_method.md, "A detector"'
            )
        self.head = head
        self.mask_threshold = (head.test_cfg or {}).get('mask_thr_binary', 0.5)
        if not 0 <= self.mask_threshold <= 1:
            raise ConfigError(
                f'detector.test_cfg.mask_thr_binary={self.mask_threshold}: expected a probability, 0 to 1'
            )

    def loss(self, feats: tuple[Tensor, ...], samples: Sequence[DetDataSample]) -> tuple[dict, list[Tensor]]:
        """Losses of the head, as mmdet has them, and the boxes that it finds."""
        outputs = self.head(feats)
        metas = [sample.metainfo for sample in samples]
        # clones: mmdet puts tensors in place of the masks
        truths = [sample.gt_instances.clone() for sample in samples]
        ignored = [sample.get('ignored_instances') for sample in samples]
        losses = self.head.loss_by_feat(*outputs, truths, metas, ignored)
        # without an object mmdet's mask loss would leave out the layers that make the kernels
        losses['loss_mask'] = losses['loss_mask'] + 0 * sum(kernels.sum() for kernels in outputs[2])
        return losses, [found.bboxes for found in self._find(outputs, metas)]

    def propose(self, feats: tuple[Tensor, ...], metas: Sequence[dict]) -> list[Tensor]:
        """The boxes of the detections: there are no others."""
        with torch.no_grad():
            return [found.bboxes for found in self._find(self.head(feats), metas)]

    def detect(self, feats: tuple[Tensor, ...], metas: Sequence[dict]) -> list[Detections]:
        """Boxes, scores, labels and masks over the whole frame of B frames."""
        outputs = self.head(feats)
        found = self._find(outputs, metas)
        return [
            Detections(
                f.bboxes.float(), f.scores.float(), f.labels, None, self.mask_threshold, self._masks(prototypes, f)
            )
            for f, prototypes in zip(found, outputs[3], strict=True)
        ]

    def masks_at(
        self, feats: tuple[Tensor, ...], boxes: Sequence[Tensor], labels: Sequence[Tensor]
    ) -> list[Tensor]:
        """There are none.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            'RTMDet-Ins has no masks at given boxes. If training asks for them, set '
            "model.propagation_head.mask_source='ground_truth' and model.refinement_head=None; else take a "
            'two-stage detector'
        )

    @torch.no_grad()
    def _find(self, outputs: tuple, metas: Sequence[dict]) -> list:
        """mmdet's detections of B frames, with the kernels and points that their masks are made of."""
        *others, prototypes = outputs
        # a single cell of the prototypes: the masks that come with it, at the input's full size, are not used
        corner = prototypes[..., :1, :1]
        return self.head.predict_by_feat(*others, corner, batch_img_metas=list(metas), rescale=False)

    def _masks(self, prototypes: Tensor, found: Any) -> LogitMaps:
        logits = self.head._mask_predict_by_feat_single(prototypes, found.kernels, found.priors).float()
        return LogitMaps(logits, self.head.prior_generator.strides[0][0], self.mask_threshold)
