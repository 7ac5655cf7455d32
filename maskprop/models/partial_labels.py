"""Training on objects without masks, and on images where some classes may show unannotated."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor, nn


def lacks_masks(instances: InstanceData) -> bool:
    """Whether some of a frame's objects have no mask."""
    return 'mask_valid' in instances and not bool(instances.mask_valid.all())


def with_masks(sample: DetDataSample) -> DetDataSample:
    """The sample without its objects that have no mask; itself if all have one."""
    if not lacks_masks(sample.gt_instances):
        return sample
    result = sample.new()
    result.gt_instances = sample.gt_instances[sample.gt_instances.mask_valid]
    return result


@contextmanager
def partial_losses(roi_head: nn.Module, samples: Sequence[DetDataSample]) -> Iterator[None]:
    """Inside, the losses of a RoI head leave out what the samples' annotations do not say.

    * An object whose ``gt_instances.mask_valid`` is False has no mask loss.
    * A class of ``metainfo['unknown_labels']`` takes no part in the classification of that image's regions: its
      logit is left out of the softmax. A class that the image has an object of is known.

    Nothing is changed where all is known. Otherwise ``loss_and_target`` of mmdet's mask and box heads is wrapped
    for the time being.

    Args:
        roi_head: mmdet's, of one stage or a cascade. samples: of the batch, in its order.
    """
    wrapped = []
    if any(lacks_masks(sample.gt_instances) for sample in samples):
        wrapped += [(head, _masked_loss(head.loss_and_target)) for head in _stages(roi_head.mask_head)]
    unknown = [_unknown_labels(sample) for sample in samples]
    if any(unknown):
        wrapped += [(head, _known_loss(head.loss_and_target, unknown)) for head in _stages(roi_head.bbox_head)]
    try:
        for head, loss in wrapped:
            head.loss_and_target = loss
        yield
    finally:
        for head, _ in wrapped:
            del head.loss_and_target  # the class's own is there again


def _stages(head: nn.Module) -> list[nn.Module]:
    return list(head) if isinstance(head, nn.ModuleList) else [head]


def _masked_loss(loss_and_target: Callable[..., dict]) -> Callable[..., dict]:
    """A mask head's loss of the positives whose object has a mask."""

    def loss(
        mask_preds: Tensor,
        sampling_results: list[SamplingResult],
        batch_gt_instances: list[InstanceData],
        **kwargs: Any,
    ) -> dict:
        keep = [_rows(*pair) for pair in zip(sampling_results, batch_gt_instances, strict=True)]
        return loss_and_target(
            mask_preds=mask_preds[torch.cat(keep)],
            sampling_results=[_select(*pair) for pair in zip(sampling_results, keep, strict=True)],
            batch_gt_instances=batch_gt_instances,
            **kwargs,
        )

    return loss


def _rows(result: SamplingResult, instances: InstanceData) -> Tensor:
    """(P,) bool: which positives have a mask."""
    assigned = result.pos_assigned_gt_inds.long()
    if 'mask_valid' not in instances:
        return torch.ones_like(assigned, dtype=torch.bool)
    return instances.mask_valid.to(assigned.device)[assigned]


def _select(result: SamplingResult, keep: Tensor) -> SamplingResult:
    result = copy.copy(result)
    for name in ('pos_inds', 'pos_priors', 'pos_is_gt', 'pos_assigned_gt_inds', 'pos_gt_labels', 'pos_gt_bboxes'):
        setattr(result, name, getattr(result, name)[keep])
    return result


def _unknown_labels(sample: DetDataSample) -> list[int]:
    shown = set(sample.gt_instances.labels.tolist())
    return [label for label in sample.metainfo.get('unknown_labels', ()) if label not in shown]


def _known_loss(loss_and_target: Callable[..., dict], unknown: list[list[int]]) -> Callable[..., dict]:
    """A box head's loss without the logits of each image's unknown classes."""

    def loss(cls_score: Tensor, rois: Tensor, **kwargs: Any) -> dict:
        hidden = torch.zeros(len(unknown), cls_score.shape[1], dtype=torch.bool, device=cls_score.device)
        for image, labels in enumerate(unknown):
            hidden[image, labels] = True
        known = cls_score.masked_fill(hidden[rois[:, 0].long()], torch.finfo(cls_score.dtype).min)
        return loss_and_target(cls_score=known, rois=rois, **kwargs)

    return loss
