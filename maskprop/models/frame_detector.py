"""A two-stage mmdet detector as the video model's frame detector.

mmdet's own ``loss`` and ``predict`` start from images and end in pasted masks; a video model shares one feature
pass between its heads and wants soft RoI masks.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from mmdet.models.detectors import TwoStageDetector
from mmdet.registry import TASK_UTILS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi
from mmengine.structures import PixelData
from torch import Tensor

from maskprop.models import batched_boxes
from maskprop.models.partial_labels import lacks_masks, partial_losses
from maskprop.structures import Detections


@TASK_UTILS.register_module()
class TwoStageFrameDetector:
    """A :class:`~maskprop.structures.protocols.FrameDetector` made of any two-stage detector of mmdet.

    Mask R-CNN, Cascade Mask R-CNN and HTC. It has no weights of its own.

    Args:
        detector: whose parts it calls.

    Raises:
        ValueError: ``test_cfg.rcnn.mask_thr_binary`` is not in 0..1; mmdet's negative values stand for masks that
            are not binary.
    """

    takes_partial_labels = True  # see partial_losses; other detectors' losses don't

    def __init__(self, detector: TwoStageDetector) -> None:
        self.detector = detector
        self.mask_threshold = ((detector.test_cfg or {}).get('rcnn') or {}).get('mask_thr_binary', 0.5)
        if not 0 <= self.mask_threshold <= 1:
            raise ValueError(
                f'detector.test_cfg.rcnn.mask_thr_binary={self.mask_threshold}: expected a probability, 0 to 1'
            )

    def loss(self, feats: tuple[Tensor, ...], samples: Sequence[DetDataSample]) -> tuple[dict, list[Tensor]]:
        """Losses of RPN and RoI heads, as ``TwoStageDetector.loss`` has them, and the proposals.

        What the annotations leave open has no loss: :func:`~maskprop.models.partial_labels.partial_losses`.
        """
        detector = self.detector
        if getattr(detector.roi_head, 'with_semantic', False):
            samples = [_with_semantic_target(detector, sample) for sample in samples]
        losses, proposals = detector.rpn_head.loss_and_predict(
            feats, without_classes(samples), proposal_cfg=self._proposal_cfg
        )
        losses = {key if 'rpn' in key else f'rpn_{key}': value for key, value in losses.items()}
        boxes = [found.bboxes.detach() for found in proposals]  # the RoI head renames the field
        with partial_losses(detector.roi_head, samples):
            losses.update(detector.roi_head.loss(_for_pooling(feats), proposals, list(samples)))
        return losses, boxes

    @torch.no_grad()
    def propose(self, feats: tuple[Tensor, ...], metas: Sequence[dict]) -> list[Tensor]:
        """Proposals as in training, without the RPN's loss."""
        head = self.detector.rpn_head
        found = head.predict_by_feat(
            *head(feats), batch_img_metas=list(metas), cfg=self._proposal_cfg, rescale=False
        )
        return [proposals.bboxes for proposals in found]

    def detect(self, feats: tuple[Tensor, ...], metas: Sequence[dict]) -> list[Detections]:
        """Boxes, scores, labels and soft RoI masks of B frames."""
        detector, metas = self.detector, list(metas)
        semantic = semantic_feature(detector, feats)
        extra = {} if semantic is None else dict(semantic_feat=semantic)
        pooled = _for_pooling(feats)
        if len(metas) > 1 and batched_boxes.is_supported(detector, metas):
            found = batched_boxes.predict_boxes(detector, feats, pooled, metas[0], **extra)
        else:
            samples = [DetDataSample(metainfo=meta) for meta in metas]
            proposals = detector.rpn_head.predict(feats, samples, rescale=False)
            found = detector.roi_head.predict_bbox(
                pooled, metas, proposals, rcnn_test_cfg=detector.roi_head.test_cfg, rescale=False, **extra
            )
        boxes, labels = [f.bboxes for f in found], [f.labels for f in found]
        roi_masks = predict_roi_masks(detector, pooled, boxes, labels, semantic)
        return [
            Detections(f.bboxes.float(), f.scores.float(), f.labels, masks, self.mask_threshold)
            for f, masks in zip(found, roi_masks, strict=True)
        ]

    def masks_at(
        self, feats: tuple[Tensor, ...], boxes: Sequence[Tensor], labels: Sequence[Tensor]
    ) -> list[Tensor]:
        """Soft masks of given boxes for given classes."""
        return predict_roi_masks(self.detector, feats, boxes, labels, semantic_feature(self.detector, feats))

    @property
    def _proposal_cfg(self) -> dict:
        return self.detector.train_cfg.get('rpn_proposal', self.detector.test_cfg.rpn)


def without_classes(data_samples: Sequence[DetDataSample]) -> list[DetDataSample]:
    """Copies of the samples with every label 0, which is what the RPN takes for an object of any class."""
    # deep copies: clone() shares gt_instances, and zeroing its labels would zero the RoI head's too
    samples = copy.deepcopy(list(data_samples))
    for sample in samples:
        sample.gt_instances.labels = torch.zeros_like(sample.gt_instances.labels)
    return samples


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


def _with_semantic_target(detector: TwoStageDetector, sample: DetDataSample) -> DetDataSample:
    """The sample with a semantic map made of its instance masks (class label, or the number of classes).

    Padding is left to the loss's ``ignore_index``, as in mmdet's HTC, and so are the boxes of objects without a
    mask.
    """
    if 'gt_sem_seg' in sample:
        return sample
    masks = sample.gt_instances.masks
    head = detector.roi_head.semantic_head
    semantic = torch.full((masks.height, masks.width), head.criterion.ignore_index, dtype=torch.long)
    height, width = sample.img_shape[:2]
    semantic[:height, :width] = head.num_classes - 1  # the background
    if lacks_masks(sample.gt_instances):
        for x1, y1, x2, y2 in sample.gt_instances.bboxes[~sample.gt_instances.mask_valid].round().int().tolist():
            semantic[y1:y2, x1:x2] = head.criterion.ignore_index
    # small objects last: where masks overlap the smaller one is in front more often
    bitmaps = masks.to_tensor(torch.bool, 'cpu')
    for index in bitmaps.flatten(1).sum(1).argsort(descending=True).tolist():
        semantic[bitmaps[index]] = int(sample.gt_instances.labels[index])
    result = sample.new()
    result.gt_sem_seg = PixelData(sem_seg=semantic[None].to(sample.gt_instances.labels.device))
    return result
