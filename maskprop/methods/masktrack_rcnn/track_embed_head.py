"""MaskTrack R-CNN's track head: one embedding for each RoI, compared by dot products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdet.models.task_modules import SamplingResult
from mmdet.models.tracking_heads import RoIEmbedHead
from mmdet.registry import MODELS
from torch import Tensor

from maskprop.ops.match_logits import match_logits

AVERAGES = ('sampled', 'matched')


@MODELS.register_module()
class TrackEmbedHead(RoIEmbedHead):
    """The reference code's embeddings and loss, within mmdet's ``RoITrackHead``.

    Fully connected layers with a ReLU between them. In training an RoI is classified among the objects of the
    reference frame and "new" by raw dot products, of which the new object's is 0; at test by cosines.

    Args:
        last_relu: a ReLU after the last layer too (mmdet).
        normalize: cosines in :meth:`predict`; False: raw dot products (mmdet). In a stream it is the linker that
            compares, see :class:`~maskprop.methods.masktrack_rcnn.mask_track_linker.MaskTrackLinker`.
        average: an image's loss is the sum over its positive RoIs divided by the number of its ``'sampled'`` RoIs,
            negatives included, or (mmdet) of those ``'matched'`` with an object of the reference frame.
        skip_single: leave out of the loss the images with one positive RoI, as the reference does by a slip.
        **kwargs: of mmdet's ``RoIEmbedHead``: ``num_fcs``, ``in_channels``, ``roi_feat_size``,
            ``fc_out_channels``, ``loss_match``, ...

    Raises:
        ValueError: ``average`` is unknown.
    """

    def __init__(
        self,
        *,
        last_relu: bool = False,
        normalize: bool = True,
        average: str = 'sampled',
        skip_single: bool = False,
        init_cfg: dict | None = None,
        **kwargs: Any,
    ) -> None:
        init_cfg = init_cfg or dict(type='Normal', layer='Linear', std=0.01)
        super().__init__(init_cfg=init_cfg, **kwargs)
        if average not in AVERAGES:
            raise ValueError(f'average={average!r} is unknown; choose one of {AVERAGES}')
        self.last_relu = last_relu
        self.normalize = normalize
        self.average = average
        self.skip_single = skip_single

    def extract_feat(self, x: Tensor, num_x_per_img: Sequence[int]) -> tuple[Tensor, ...]:
        """Embeddings, not normalised.

        Args:
            x: (N, C, h, w) RoI features. num_x_per_img: how many of them each image has, N in all.

        Returns:
            one (n, E) tensor per image.
        """
        for conv in self.convs:
            x = conv(x)
        if self.with_avg_pool:
            x = self.avg_pool(x)
        x = x.flatten(1)
        for layer, fc in enumerate(self.fcs, start=1):
            x = fc(x)
            if layer < len(self.fcs) or self.last_relu:
                x = x.relu()
        return x.split(list(num_x_per_img))

    def loss_by_feat(
        self,
        x_split: Sequence[Tensor],
        ref_x_split: Sequence[Tensor],
        sampling_results: Sequence[SamplingResult],
        gt_instance_ids: Sequence[Tensor],
        ref_gt_instance_ids: Sequence[Tensor],
        reduction_override: str | None = None,
    ) -> dict[str, Tensor]:
        """``loss_match``, and ``match_accuracy`` in percent if there is a positive RoI; arguments as mmdet's."""
        targets, weights = self.get_targets(sampling_results, gt_instance_ids, ref_gt_instance_ids)
        logits = [match_logits(x, ref, False) for x, ref in zip(x_split, ref_x_split, strict=True)]
        losses = self.match_loss(logits, targets, weights)
        # without RoIs, too, every parameter has a gradient: DDP would wait for it
        reached = sum(x.sum() for x in (*x_split, *ref_x_split))
        losses['loss_match'] = losses['loss_match'] + 0 * reached
        return losses

    def match_loss(
        self, logits: Sequence[Tensor], targets: Sequence[Tensor], weights: Sequence[Tensor]
    ) -> dict[str, Tensor | float]:
        """Cross-entropy of B images, averaged over them.

        Args:
            logits: B tensors (n, m + 1) float, see :func:`~maskprop.ops.match_logits.match_logits`.
            targets: B tensors (n,) long: 0 a new object, k the k-th one of the reference frame.
            weights: B tensors (n,) float: 1 for positive RoIs, 0 for the others.

        Returns:
            ``loss_match`` in nats, and ``match_accuracy`` in percent of the positive RoIs, if there are any.
        """
        total, correct, positives = 0.0, 0, 0
        for logit, target, weight in zip(logits, targets, weights, strict=True):
            positive = weight > 0
            count = int(positive.sum())
            if count == 0 or (count == 1 and self.skip_single):
                continue
            matched = int((target > 0).sum())
            divisor = len(logit) if self.average == 'sampled' else max(matched, 1)
            total = total + self.loss_match(logit, target, weight, avg_factor=divisor)
            correct = correct + (logit.argmax(1) == target)[positive].sum()
            positives += count
        losses = dict(loss_match=total / len(logits))
        if positives:
            losses['match_accuracy'] = 100.0 * correct / positives
        return losses

    def predict_by_feat(self, x_split: Sequence[Tensor], ref_x_split: Sequence[Tensor]) -> list[Tensor]:
        """Matching logits, one (n, m + 1) tensor per image, from (n, E) and (m, E) embeddings."""
        return [match_logits(x, ref, self.normalize) for x, ref in zip(x_split, ref_x_split, strict=True)]
