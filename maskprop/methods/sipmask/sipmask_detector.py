"""SipMask as a frame detector: one stage, its masks over the whole frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmdet.models.detectors import SingleStageDetector
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from torch import Tensor

from maskprop.engine.config import ConfigError
from maskprop.methods.sipmask.mask_assembly import assemble_masks
from maskprop.methods.sipmask.sipmask_losses import STRIDE
from maskprop.ops.masks import encode_mask
from maskprop.structures import Detections


class AssembledMasks(NamedTuple):
    """:class:`~maskprop.structures.detections.FrameMasks` of SipMask.

    Attributes:
        probabilities: (N, h, w) float32 over the network's whole input at stride 2, 0 outside of each box.
        threshold: a pixel of a final mask is foreground above this probability.
    """

    probabilities: Tensor
    threshold: float

    def select(self, rows: Tensor) -> AssembledMasks:
        """These of the masks."""
        return self._replace(probabilities=self.probabilities[rows])

    def on_map(self, height: int, width: int) -> Tensor:
        """(N, height, width) float in [0, 1]."""
        if len(self.probabilities) == 0:
            return self.probabilities.new_zeros((0, height, width))
        return F.adaptive_avg_pool2d(self.probabilities, (height, width))

    def in_video(self, meta: dict) -> list[dict]:
        """N RLEs, resized one by one: all at once would fill the memory."""
        height, width = meta['ori_shape'][:2]
        masks = []
        for probabilities in self.probabilities.cpu():  # on the CPU, where RLE is made
            found = self.resize(probabilities[None], meta['scale_factor'])[0, :height, :width] > self.threshold
            pad = (0, width - found.shape[1], 0, height - found.shape[0])
            masks.append(encode_mask(F.pad(found, pad).numpy()))
        return masks

    @staticmethod
    def resize(probabilities: Tensor, scale_factor: Sequence[float]) -> Tensor:
        """Maps (N, h, w) in pixels of the video, from its top left; ``scale_factor``: (width, height).

        The size is rounded down, and samples are taken by the ratio of the sizes, as the reference's PyTorch did.
        """
        sizes = zip(probabilities.shape[1:], scale_factor[::-1], strict=True)
        size = [math.floor(side * STRIDE / scale) for side, scale in sizes]
        if len(probabilities) == 0:
            return probabilities.new_zeros(0, *size)
        return F.interpolate(probabilities[None], size=size, mode='bilinear', align_corners=False)[0]


@MODELS.register_module()
class SipMask(SingleStageDetector):
    """A :class:`~maskprop.structures.protocols.FrameDetector` of backbone, neck and a
    :class:`~maskprop.methods.sipmask.sipmask_head.SipMaskHead`.

    Its "proposals" are the boxes of all points, level by level and row by row, in which the tracking loss finds
    its own. Of ``test_cfg``, ``mask_thr_binary`` (.5): a pixel is foreground above this probability.

    Raises:
        ConfigError: ``test_cfg.mask_thr_binary`` is not in 0..1.
    """

    @property
    def mask_threshold(self) -> float:
        """From which probability on a pixel of a mask is foreground."""
        return (self.test_cfg or {}).get('mask_thr_binary', 0.5)

    def __init__(self, backbone: dict, neck: dict, bbox_head: dict, **kwargs: object) -> None:
        super().__init__(backbone, neck, bbox_head, **kwargs)
        if not 0 <= self.mask_threshold <= 1:
            raise ConfigError(
                f'detector.test_cfg.mask_thr_binary={self.mask_threshold}: expected a probability, 0 to 1'
            )

    def loss(self, feats: tuple[Tensor, ...], samples: Sequence[DetDataSample]) -> tuple[dict, list[Tensor]]:
        """The head's losses, and the boxes (P, 4) of all points of each frame."""
        found = self.bbox_head.flatten(*self.bbox_head(feats))
        return self.bbox_head.loss_by_feat(found, samples), list(self.bbox_head.decode(found).detach())

    @torch.no_grad()
    def propose(self, feats: tuple[Tensor, ...], metas: Sequence[dict]) -> list[Tensor]:
        """The boxes (P, 4) of all points of each frame."""
        return list(self.bbox_head.decode(self.bbox_head.flatten(*self.bbox_head(feats))))

    @torch.no_grad()
    def detect(self, feats: tuple[Tensor, ...], metas: Sequence[dict]) -> list[Detections]:
        """Boxes, scores, labels and masks over the whole frame of B frames."""
        found = self.bbox_head.flatten(*self.bbox_head(feats))
        return [
            Detections(
                own.boxes,
                own.scores,
                own.labels,
                None,
                self.mask_threshold,
                AssembledMasks(assemble_masks(own.coefficients, basis, own.boxes / STRIDE), self.mask_threshold),
            )
            for own, basis in zip(self.bbox_head.predict_by_feat(found, metas), found.basis, strict=True)
        ]

    def masks_at(
        self, feats: tuple[Tensor, ...], boxes: Sequence[Tensor], labels: Sequence[Tensor]
    ) -> list[Tensor]:
        """There are none: coefficients belong to points, not to boxes.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            'SipMask has no masks at given boxes. If training asks for them, set '
            "model.propagation_head.mask_source='ground_truth' and model.refinement_head=None; else take a "
            'two-stage detector'
        )
