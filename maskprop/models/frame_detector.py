"""What a video model needs of an mmdet two-stage detector, on features computed elsewhere.

mmdet's own ``loss`` and ``predict`` start from images and end in pasted masks; a video model shares one feature
pass between its branches and wants soft RoI masks.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmdet.models.detectors import TwoStageDetector
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi
from mmengine.structures import PixelData
from torch import Tensor


class Detections(NamedTuple):
    """Detections of one frame, in pixels of the network's input.

    Attributes:
        boxes: (N, 4) float, (x1, y1, x2, y2).
        scores: (N,) float.
        labels: (N,) long.
        roi_masks: (N, m, m) float in [0, 1], the mask of each detection's class inside its box.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    roi_masks: Tensor


def detection_loss(
    detector: TwoStageDetector, feats: tuple[Tensor, ...], data_samples: list[DetDataSample]
) -> tuple[dict, list[Tensor]]:
    """Losses of RPN and RoI heads on given features, as ``TwoStageDetector.loss`` has them.

    Args:
        detector: any two-stage detector.
        feats: levels of the FPN, each (B, C, H_l, W_l).
        data_samples: B samples with ``gt_instances``.

    Returns:
        the named losses, and the proposals of each frame, (P, 4) float boxes in input pixels.
    """
    if getattr(detector.roi_head, 'with_semantic', False):
        data_samples = [_with_semantic_target(detector, sample) for sample in data_samples]
    losses, proposals = detector.rpn_head.loss_and_predict(
        feats, without_classes(data_samples), proposal_cfg=_proposal_cfg(detector)
    )
    losses = {key if 'rpn' in key else f'rpn_{key}': value for key, value in losses.items()}
    boxes = [found.bboxes.detach() for found in proposals]  # the RoI head renames the field
    losses.update(detector.roi_head.loss(_for_pooling(feats), proposals, data_samples))
    return losses, boxes


@torch.no_grad()
def propose(detector: TwoStageDetector, feats: tuple[Tensor, ...], img_metas: list[dict]) -> list[Tensor]:
    """Proposals as in training, without the RPN's loss.

    Args:
        detector: any two-stage detector.
        feats: levels of the FPN, each (B, C, H_l, W_l).
        img_metas: B dicts with ``img_shape``.

    Returns:
        B tensors (P, 4) float, boxes in input pixels.
    """
    found = detector.rpn_head.predict_by_feat(
        *detector.rpn_head(feats), batch_img_metas=img_metas, cfg=_proposal_cfg(detector), rescale=False
    )
    return [proposals.bboxes for proposals in found]


def without_classes(data_samples: list[DetDataSample]) -> list[DetDataSample]:
    """Copies of the samples with every label 0, which is what the RPN takes for an object of any class."""
    # deep copies: clone() shares gt_instances, and zeroing its labels would zero the RoI head's too
    samples = copy.deepcopy(data_samples)
    for sample in samples:
        sample.gt_instances.labels = torch.zeros_like(sample.gt_instances.labels)
    return samples


def _proposal_cfg(detector: TwoStageDetector) -> dict:
    return detector.train_cfg.get('rpn_proposal', detector.test_cfg.rpn)


def mask_threshold(detector: TwoStageDetector) -> float:
    """``test_cfg.rcnn.mask_thr_binary``: from which probability on a pasted mask has a pixel; .5 by default.

    Raises:
        ValueError: not in 0..1; mmdet's negative values stand for masks that are not binary.
    """
    threshold = ((detector.test_cfg or {}).get('rcnn') or {}).get('mask_thr_binary', 0.5)
    if not 0 <= threshold <= 1:
        raise ValueError(f'detector.test_cfg.rcnn.mask_thr_binary={threshold}: expected a probability, 0 to 1')
    return threshold


def detect(detector: TwoStageDetector, feats: tuple[Tensor, ...], img_metas: list[dict]) -> list[Detections]:
    """Boxes, scores, labels and soft RoI masks of B frames.

    Args:
        detector: any two-stage instance-segmentation detector.
        feats: levels of the FPN, each (B, C, H_l, W_l).
        img_metas: B dicts with ``img_shape``.
    """
    samples = [DetDataSample(metainfo=meta) for meta in img_metas]
    proposals = detector.rpn_head.predict(feats, samples, rescale=False)
    semantic = semantic_feature(detector, feats)
    extra = {} if semantic is None else dict(semantic_feat=semantic)
    feats = _for_pooling(feats)
    found = detector.roi_head.predict_bbox(
        feats, img_metas, proposals, rcnn_test_cfg=detector.roi_head.test_cfg, rescale=False, **extra
    )
    roi_masks = predict_roi_masks(detector, feats, [f.bboxes for f in found], [f.labels for f in found], semantic)
    return [
        Detections(f.bboxes.float(), f.scores.float(), f.labels, masks)
        for f, masks in zip(found, roi_masks, strict=True)
    ]


def _for_pooling(feats: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Features in RoIAlign's layout, into which it would bring them anew for each head."""
    return tuple(level.contiguous() for level in feats)


def semantic_feature(detector: TwoStageDetector, feats: tuple[Tensor, ...]) -> Tensor | None:
    """HTC's semantic feature, or None for detectors without the semantic branch."""
    if not getattr(detector.roi_head, 'with_semantic', False):
        return None
    return detector.roi_head.semantic_head(feats)[1]


def predict_roi_masks(
    detector: TwoStageDetector,
    feats: tuple[Tensor, ...],
    boxes: Sequence[Tensor],
    labels: Sequence[Tensor],
    semantic: Tensor | None = None,
) -> list[Tensor]:
    """Soft masks of given boxes for given classes, for Mask R-CNN, Cascade R-CNN (stages averaged) and HTC.

    Args:
        boxes: B tensors (N_b, 4) in input pixels.
        labels: B tensors (N_b,) long.
        semantic: HTC's semantic feature, see :func:`semantic_feature`.

    Returns:
        B tensors (N_b, m, m) float32 in [0, 1].
    """
    roi_head, rois = detector.roi_head, bbox2roi(list(boxes))
    counts = [len(b) for b in boxes]
    if len(rois) == 0:
        return [rois.new_zeros((0, 1, 1)) for _ in counts]
    if hasattr(roi_head, 'with_semantic'):  # HTC: the last stage sees all the others
        logits = [roi_head._mask_forward(-1, feats, rois, semantic, training=False)['mask_preds'][-1]]
    elif hasattr(roi_head, 'num_stages'):
        logits = [roi_head._mask_forward(s, feats, rois)['mask_preds'] for s in range(roi_head.num_stages)]
    else:
        logits = [roi_head._mask_forward(feats, rois)['mask_preds']]
    masks = torch.stack([stage.float().sigmoid() for stage in logits]).mean(0)  # [N, classes or 1, m, m]
    classes = torch.cat(list(labels)) if masks.shape[1] > 1 else rois.new_zeros(len(rois), dtype=torch.long)
    return list(masks[torch.arange(len(rois), device=masks.device), classes].split(counts))


def predict_gt_masks(
    detector: TwoStageDetector, feats: tuple[Tensor, ...], boxes: list[Tensor], samples: list[DetDataSample]
) -> list[Tensor]:
    """The mask head's soft masks of the samples' ground-truth instances.

    Args:
        detector: any two-stage instance-segmentation detector.
        feats: levels of the FPN, each (B, C, H_l, W_l).
        boxes: B tensors (N_b, 4) float in input pixels, where the instances are taken to be.
        samples: B samples with ``gt_instances``, whose ``labels`` are used.

    Returns:
        B tensors (N_b, m, m) float32 in [0, 1].
    """
    labels = [sample.gt_instances.labels for sample in samples]
    return predict_roi_masks(detector, feats, boxes, labels, semantic_feature(detector, feats))


def _with_semantic_target(detector: TwoStageDetector, sample: DetDataSample) -> DetDataSample:
    """The sample with a semantic map made of its instance masks (class label, or the number of classes).

    Padding is left to the loss's ``ignore_index``, as in mmdet's HTC.
    """
    if 'gt_sem_seg' in sample:
        return sample
    masks = sample.gt_instances.masks
    head = detector.roi_head.semantic_head
    semantic = torch.full((masks.height, masks.width), head.criterion.ignore_index, dtype=torch.long)
    height, width = sample.img_shape[:2]
    semantic[:height, :width] = head.num_classes - 1  # the background
    # small objects last: where masks overlap the smaller one is in front more often
    bitmaps = masks.to_tensor(torch.bool, 'cpu')
    for index in bitmaps.flatten(1).sum(1).argsort(descending=True).tolist():
        semantic[bitmaps[index]] = int(sample.gt_instances.labels[index])
    result = sample.new()
    result.gt_sem_seg = PixelData(sem_seg=semantic[None].to(sample.gt_instances.labels.device))
    return result
