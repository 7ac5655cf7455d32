"""The boxes of several frames of one video from mmdet's two-stage detectors, with one call for all of the frames.

mmdet computes convolutions for a batch, but selects, decodes and suppresses boxes image by image: on a GPU most
of a frame's time is then spent on starting small kernels. Here all frames go through each step together. Boxes,
scores and labels are those of mmdet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from mmdet.models.dense_heads import RPNHead
from mmdet.models.detectors import TwoStageDetector
from mmdet.models.roi_heads import CascadeRoIHead, StandardRoIHead
from mmdet.models.roi_heads.bbox_heads import BBoxHead
from mmengine.structures import InstanceData
from torch import Tensor
from torchvision.ops import nms

BOXES_AT_ONCE = 2**15  # in one call of NMS on a GPU, whose memory is a bit for each pair of boxes


def is_supported(detector: TwoStageDetector, metas: Sequence[dict]) -> bool:
    """Whether this module has mmdet's results for these frames: plain heads and NMS, frames of one size."""
    rpn, roi_head = detector.rpn_head, detector.roi_head
    cascade = isinstance(roi_head, CascadeRoIHead)
    bbox_head = roi_head.bbox_head[-1] if cascade else roi_head.bbox_head
    own = (
        (rpn, RPNHead, ('predict', 'predict_by_feat', '_predict_by_feat_single', '_bbox_post_process')),
        (roi_head, CascadeRoIHead if cascade else StandardRoIHead, ('predict_bbox',)),
        (bbox_head, BBoxHead, ('predict_by_feat', '_predict_by_feat_single')),
    )
    plain = all(getattr(type(part), name) is getattr(base, name) for part, base, names in own for name in names)
    suppression = [part.test_cfg.nms for part in (rpn, roi_head)]
    return (
        plain
        and rpn.use_sigmoid_cls
        and rpn.cls_out_channels == 1
        and all(dict(cfg) == dict(type='nms', iou_threshold=cfg.iou_threshold) for cfg in suppression)
        and len({tuple(meta['img_shape'][:2]) for meta in metas}) == 1
    )


def predict_boxes(
    detector: TwoStageDetector, feats: tuple[Tensor, ...], pooled: tuple[Tensor, ...], meta: dict, **extra: Tensor
) -> list[InstanceData]:
    """``rpn_head.predict`` and ``roi_head.predict_bbox`` of B frames.

    Args:
        detector: one that :func:`is_supported`.
        feats: levels of the FPN, each (B, C, H_l, W_l). pooled: the same, as RoIAlign likes them.
        meta: of any of the frames: ``img_shape``.
        **extra: what the box heads take too (HTC's ``semantic_feat``).

    Returns:
        B with ``bboxes`` (N, 4), ``scores`` (N,), ``labels`` (N,) long, best first.
    """
    rois = _propose(detector.rpn_head, feats, meta['img_shape'])
    return _classify(detector.roi_head, pooled, rois, meta, **extra)


def _classify(
    roi_head: StandardRoIHead,
    pooled: tuple[Tensor, ...],
    rois: Tensor,
    meta: dict,
    **extra: Tensor,
) -> list[InstanceData]:
    """``predict_bbox`` of proposals (R, 5) of all frames."""
    if isinstance(roi_head, CascadeRoIHead):
        # all frames as if they were one image, whose RoIs say from which of them they are
        (rois,), (scores,), (deltas,) = roi_head._refine_roi(pooled, rois, [meta], (len(rois),), **extra)
        bbox_head = roi_head.bbox_head[-1]
    else:
        bbox_head, found = roi_head.bbox_head, roi_head._bbox_forward(pooled, rois)
        scores, deltas = found['cls_score'], found['bbox_pred']
    found = bbox_head._predict_by_feat_single(rois, scores, deltas, meta, rcnn_test_cfg=None)
    return _select_classes(found.bboxes, found.scores, rois[:, 0].long(), len(pooled[0]), roi_head.test_cfg)


def _propose(head: RPNHead, feats: tuple[Tensor, ...], shape: Sequence[int]) -> Tensor:
    """The RPN's proposals of all frames: (R, 5) RoIs, frame by frame, best first."""
    cfg, frames = head.test_cfg, len(feats[0])
    maps, deltas = head(feats)
    priors = head.prior_generator.grid_priors(
        [level.shape[-2:] for level in maps], dtype=maps[0].dtype, device=maps[0].device
    )
    levels = [_best_of_level(*level, cfg.get('nms_pre', -1)) for level in zip(maps, deltas, priors, strict=True)]
    scores, chosen_deltas, chosen_priors = (torch.cat(parts, 1) for parts in zip(*levels, strict=True))
    boxes = head.bbox_coder.decode(chosen_priors.flatten(0, 1), chosen_deltas.flatten(0, 1), max_shape=shape)
    level_ids = torch.cat([torch.full_like(level[0][0], i) for i, level in enumerate(levels)]).repeat(frames)
    each = scores.shape[1]
    frame_ids = torch.arange(frames, device=boxes.device).repeat_interleave(each)
    scores, valid = scores.flatten(), None
    if (smallest := cfg.get('min_bbox_size', -1)) >= 0:
        valid = (boxes[:, 2:] - boxes[:, :2] > smallest).all(1)
    rows, _ = nms_of_frames(
        boxes, scores, level_ids, frame_ids, frames, cfg.nms.iou_threshold, cfg.max_per_img, valid, [each] * frames
    )
    return torch.cat([frame_ids[rows, None].to(boxes), boxes[rows]], 1)


def _best_of_level(scores: Tensor, deltas: Tensor, priors: Tensor, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """Scores (B, n), deltas (B, n, 4) and priors (B, n, 4) of one level's best boxes."""
    scores = scores.permute(0, 2, 3, 1).flatten(1).sigmoid()
    deltas = deltas.permute(0, 2, 3, 1).reshape(len(scores), -1, 4)
    if not 0 < most < scores.shape[1]:
        return scores, deltas, priors.expand_as(deltas)
    scores, order = scores.sort(1, descending=True)  # on a GPU faster than topk
    order = order[:, :most]
    return scores[:, :most], deltas.gather(1, order[..., None].expand(-1, -1, 4)), priors[order]


def _select_classes(boxes: Tensor, scores: Tensor, frame_ids: Tensor, frames: int, cfg: Any) -> list[InstanceData]:
    """mmdet's ``multiclass_nms`` of all frames.

    Args:
        boxes: (R, 4) or (R, 4 classes). scores: (R, classes + 1), the background last. frame_ids: (R,).
    """
    rois, labels = (scores[:, :-1] > cfg.score_thr).nonzero().unbind(1)
    if boxes.shape[1] > 4:
        boxes = boxes.unflatten(1, (-1, 4))[rois, labels]
    else:
        boxes = boxes[rois]
    scores = scores[rois, labels]
    most = cfg.max_per_img if cfg.max_per_img > 0 else -1  # as in mmdet, whose RPN alone takes 0 as none
    rows, counts = nms_of_frames(boxes, scores, labels, frame_ids[rois], frames, cfg.nms.iou_threshold, most)
    parts = (values[rows].split(counts) for values in (boxes, scores, labels))
    return [InstanceData(bboxes=b, scores=s, labels=c) for b, s, c in zip(*parts, strict=True)]


def nms_of_frames(
    boxes: Tensor,
    scores: Tensor,
    groups: Tensor,
    frame_ids: Tensor,
    frames: int,
    iou_threshold: float,
    most: int = -1,
    valid: Tensor | None = None,
    counts: Sequence[int] | None = None,
) -> tuple[Tensor, list[int]]:
    """mmcv's ``batched_nms`` for each frame: boxes of other groups or frames never suppress each other.

    A GPU is waited for once, for the numbers of boxes kept, and by each call of NMS.

    Args:
        boxes: (N, 4) float, none below 0. scores: (N,) float, none below 0. groups: (N,), class or level.
        frame_ids: (N,) long, ascending. frames: how many there are.
        most: so many of a frame at most; -1: all.
        valid: (N,) bool; the others are left out. ``None``: all are.
        counts: boxes of each frame, where they are known.

    Returns:
        rows (K,) of the boxes kept, frame by frame, best first; the number of each frame.
    """
    # groups are kept apart as mmcv does it for one image, so that rounding is the same
    reach = boxes.new_zeros(frames).scatter_reduce(0, frame_ids, boxes.reshape(-1, 4).amax(1), 'amax')
    apart = (boxes + (groups.to(boxes) * (reach[frame_ids] + 1))[:, None]).float()
    # boxes that are left out come last, where they suppress none of the others
    scores = scores.float() if valid is None else torch.where(valid, scores.float(), -1)
    kept = []
    for start, end, several in _chunks(frame_ids, frames, counts, boxes.is_cuda):
        part, part_scores = apart[start:end], scores[start:end]
        if several:  # float64: adding what keeps frames apart must not round boxes
            far = frame_ids[start:end] * (part.max().double() + 1)
            part, part_scores = part.double() + far[:, None], part_scores.double()
        kept.append(nms(part, part_scores, iou_threshold) + start)
    rows = torch.cat(kept) if kept else frame_ids[:0]
    # the best of all frames came first; now frame by frame, in each those left out at the end
    places = 2 * frame_ids[rows] + (0 if valid is None else ~valid[rows])
    places, order = places.sort(stable=True)
    bounds = torch.searchsorted(places, torch.arange(2 * frames, device=rows.device)).tolist()
    spans = zip(bounds[::2], bounds[1::2], strict=True)
    parts = [slice(begin, end if most < 0 else min(end, begin + most)) for begin, end in spans]
    rows = rows[order]
    return torch.cat([rows[part] for part in parts]), [part.stop - part.start for part in parts]


def _chunks(
    frame_ids: Tensor, frames: int, counts: Sequence[int] | None, is_cuda: bool
) -> Iterator[tuple[int, int, bool]]:
    """(first row, end, whether of several frames) of the calls of NMS.

    On a CPU a call for each frame: its time grows with the square of the boxes. A GPU compares all pairs at once.
    """
    if not len(frame_ids):
        return
    if is_cuda and len(frame_ids) <= BOXES_AT_ONCE:
        yield 0, len(frame_ids), frames > 1
        return
    if counts is None:
        bounds = torch.searchsorted(frame_ids, torch.arange(frames + 1, device=frame_ids.device)).tolist()
        counts = [end - start for start, end in pairwise(bounds)]
    start = end = taken = 0
    for count in counts:
        if taken and (not is_cuda or end + count - start > BOXES_AT_ONCE):
            yield start, end, taken > 1
            start, taken = end, 0
        if count:
            end, taken = end + count, taken + 1
    if taken:
        yield start, end, taken > 1
