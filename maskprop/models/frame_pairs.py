"""Training samples of two frames: their features, and what heads ask of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cached_property

import torch
from mmdet.structures import DetDataSample
from torch import Tensor, nn

from maskprop.models.partial_labels import with_masks
from maskprop.ops.layout import image_layout
from maskprop.ops.masks import downsample_masks, paste_soft_masks
from maskprop.structures import FrameDetector


def pair_features(
    detector: nn.Module, aggregator: nn.Module | None, inputs: Tensor
) -> tuple[tuple[Tensor, ...], int]:
    """FPN features of the frames that training samples have losses on.

    Args:
        detector: with ``backbone`` and ``neck``.
        aggregator: with ``num_support`` K, or None.
        inputs: (B, F, 3, H, W) float; with an aggregator F is 2 + 2 K: t, t + delta, K support frames of t, K of
            t + delta.

    Returns:
        levels, each (B n, C, H_l, W_l), frames of a sample side by side; n, the frames of a sample among them: F,
        or 2 with an aggregator.
    """
    batch, frames = inputs.shape[:2]
    images = image_layout(inputs.flatten(0, 1))
    if aggregator is None:
        return detector.extract_feat(images), frames
    count = aggregator.num_support
    if frames != 2 + 2 * count:
        raise ValueError(
            f'the aggregator takes pairs of frames with {count} support frames each, {2 + 2 * count} in all, but '
            f'samples have {frames}: set num_support={count} in SampleFramePair'
        )
    levels = [level.unflatten(0, (batch, frames)) for level in detector.backbone(images)]
    aggregated = []
    for i in (0, 1):
        near = [i, *range(2 + i * count, 2 + (i + 1) * count)]
        supports = tuple(level[:, near] if n in aggregator.levels else None for n, level in enumerate(levels))
        aggregated.append(aggregator.aggregate(tuple(level[:, i] for level in levels), supports, own=0))
    pairs = tuple(torch.stack(both, 1).flatten(0, 1) for both in zip(*aggregated, strict=True))
    return detector.neck(pairs), 2


class FramePairs:
    """A batch of samples as heads see it in training; see :class:`~maskprop.structures.protocols.FramePairs`.

    Args:
        detector: of the frames.
        feats: levels of the FPN, each (F B, C, H_l, W_l), the frames of a sample side by side.
        samples: F B samples with ``gt_instances``, likewise; objects without a mask (``mask_valid`` False) are
            left out here, so that no head sees them.
        inputs: (B, F, 3, H, W) float, the frames, normalised and padded.
        proposals: of the key frames, where they are known; else they are made when they are asked for.

    A model without a head that joins frames may be trained on samples of another number of frames than two: then
    :attr:`others` and :meth:`matched_masks` have no meaning.
    """

    def __init__(
        self,
        *,
        detector: FrameDetector,
        feats: tuple[Tensor, ...],
        samples: Sequence[DetDataSample],
        inputs: Tensor,
        proposals: list[Tensor] | None = None,
    ) -> None:
        self.feats = feats
        self.samples: Sequence[DetDataSample] = [with_masks(sample) for sample in samples]
        self.inputs = inputs
        self.images = inputs[:, 0]
        self._detector = detector
        self._frames = len(samples) // len(inputs)
        self._made: dict[Hashable, list[Tensor]] = {}
        if proposals is not None:
            self.proposals = proposals

    @property
    def input_shape(self) -> tuple[int, int]:
        """(height, width) of the padded input in pixels."""
        return tuple(self.images.shape[-2:])

    @cached_property
    def key_feats(self) -> tuple[Tensor, ...]:
        """Levels of the key frames, each (B, C, H_l, W_l)."""
        return tuple(level[:: self._frames] for level in self.feats)

    @property
    def keys(self) -> Sequence[DetDataSample]:
        """B samples of the key frames."""
        return self.samples[:: self._frames]

    @property
    def others(self) -> Sequence[DetDataSample]:
        """B samples of the other frames."""
        return self.samples[1 :: self._frames]

    @cached_property
    def proposals(self) -> list[Tensor]:
        """The detector's proposals of the key frames: B tensors (P, 4) float in pixels of the network's input."""
        return self._detector.propose(self.key_feats, [sample.metainfo for sample in self.keys])

    def masks_at(self, boxes: Sequence[Tensor]) -> list[Tensor]:
        """Soft masks of the key frames' objects at given boxes: B tensors (N_b, 4) to B tensors (N_b, m, m)."""
        return self._detector.masks_at(self.key_feats, boxes, [sample.gt_instances.labels for sample in self.keys])

    def true_masks(self, stride: int) -> list[Tensor]:
        """Ground-truth masks of all frames at a stride, each (N_f, H, W) float of 0 and 1."""
        return self._once(
            ('true', stride),
            lambda: [
                downsample_masks(sample.gt_instances.masks.to_tensor(torch.bool, self.images.device), stride)
                for sample in self.samples
            ],
        )

    def matched_masks(self, stride: int) -> list[Tensor]:
        """Masks of the key frames' objects in the other frames, B tensors (N_b, H, W); 0 where absent."""
        masks = self.true_masks(stride)[1 :: self._frames]
        return self._once(
            ('matched', stride),
            lambda: [match_instances(*pair) for pair in zip(self.keys, self.others, masks, strict=True)],
        )

    def predicted_masks(self, stride: int, detach: bool = True) -> list[Tensor]:
        """The detector's soft masks at the key frames' ground-truth boxes, B tensors (N_b, H, W) in [0, 1]."""
        boxes = [sample.gt_instances.bboxes for sample in self.keys]
        height, width = (side // stride for side in self.input_shape)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not detach):
            roi_masks = self._once(('predicted', detach), lambda: self.masks_at(boxes))
            return self._once(
                ('pasted', stride, detach),
                lambda: [
                    paste_soft_masks(m, b / stride, height, width) for m, b in zip(roi_masks, boxes, strict=True)
                ],
            )

    def _once(self, name: Hashable, make: Callable[[], list[Tensor]]) -> list[Tensor]:
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]


def match_instances(key: DetDataSample, other: DetDataSample, other_masks: Tensor) -> Tensor:
    """Masks in the other frame of the key frame's instances, (N, H, W); 0 where absent."""
    rows = {i: row for row, i in enumerate(other.gt_instances.instances_ids.tolist())}
    ids = key.gt_instances.instances_ids.tolist()
    matched = other_masks.new_zeros((len(ids), *other_masks.shape[1:]))
    for row, i in enumerate(ids):
        if i in rows:
            matched[row] = other_masks[rows[i]]
    return matched
