"""SipMask-VIS's reference numbers computed anew by this project's modules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData
from torch import Tensor

from maskprop.conversion.golden_arrays import Compared
from maskprop.conversion.goldens._sipmask_tracking import compare_tracking
from maskprop.conversion.sipmask_reference import HEAD, architecture, convert_state_dict
from maskprop.methods.sipmask.mask_assembly import REGIONS, assemble_masks, cells_in_boxes
from maskprop.methods.sipmask.point_assigner import PointAssigner
from maskprop.methods.sipmask.sipmask_detector import AssembledMasks
from maskprop.methods.sipmask.sipmask_head import PointDetections, SipMaskHead
from maskprop.methods.sipmask.sipmask_losses import STRIDE, counts_in_masks, halve_masks
from maskprop.methods.sipmask.sipmask_track_head import SipMaskTrackHead, match_loss, match_targets, shift
from maskprop.ops.match_logits import match_logits

LEVELS = range(3, 8)
THRESHOLD, NEAR = 0.5, 1e-5  # of a mask's pixels; probabilities within NEAR of it may go either way
INPUTS = re.compile(
    r'(ref_)?p[3-7]|pad_shape|img_shape|num_(gt|ref)|gt_.*|ref_(bboxes|jitter)|tgt_(boxes|labels_1based|map_sizes)'
    r'|asm_(boxes_half|cofs|basis|gt)|nms_(boxes|scores|pre)|scale_factor|score_thr|track_(dets|labels)_\d+'
    r'|track_feats_seq|track_num_frames|leak_(dets|labels|ids_reference)|asm_probs_unused_python_variant'
    r'|det_masks_given_scale_\d+'  # what today's resampling by scale would give; the one to match is compared
)

Arrays = Mapping[str, Tensor]
Found = dict[str, Compared]


def compare(case: Arrays, state: Mapping[str, Any]) -> Found:
    """Every output array of a case, ours and the reference's.

    Args:
        case: inputs and outputs by name. state: the head's weights under the reference's names.
    """
    head, track_head = build_heads(state, case)
    found: Found = {}
    for part in (_training, _targets, _assembly, _detections, _fast_nms):
        found.update(part(case, head, track_head))
    return found | compare_tracking(case, track_head)


def build_heads(state: Mapping[str, Any], case: Arrays) -> tuple[SipMaskHead, SipMaskTrackHead]:
    """Both heads with a reference's weights; sizes are those of the weights, thresholds those of the case."""
    weights = convert_state_dict(state, partial=True)
    keys = architecture(weights)
    sizes = {prefix: _below(keys, f'{prefix}.') for prefix in ('detector.bbox_head', 'track_head')}
    test_cfg = dict(
        nms_pre=int(case['nms_pre']),
        score_thr=float(case['score_thr']),
        iou_threshold=0.5,
        top_k=200,
        max_per_img=10,
    )
    norm_cfg = dict(type='GN', num_groups=32, requires_grad=True)
    head = SipMaskHead(**sizes['detector.bbox_head'], norm_cfg=norm_cfg, test_cfg=test_cfg)
    head.load_state_dict(_below(weights, HEAD))
    track_head = SipMaskTrackHead(**sizes['track_head'], norm_cfg=norm_cfg)
    track_head.load_state_dict(_below(weights, 'track_head.'))
    return head, track_head


def _below(mapping: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {key.removeprefix(prefix): value for key, value in mapping.items() if key.startswith(prefix)}


def _near(case: Arrays, absolute: float, **arrays: Tensor) -> Found:
    return {name: Compared(value.detach(), case[name], absolute) for name, value in arrays.items()}


def _relative(case: Arrays, **arrays: Tensor) -> Found:
    return {name: Compared(value.detach().view(1), case[name], rtol=1e-5) for name, value in arrays.items()}


def _training(case: Arrays, head: SipMaskHead, track_head: SipMaskTrackHead) -> Found:
    """Outputs of both heads, the losses, and their gradients."""
    current, reference = (
        [case[f'{prefix}p{level}'].clone().requires_grad_() for level in LEVELS] for prefix in ('', 'ref_')
    )
    outputs = head(current)
    predictions = head.flatten(*outputs)
    objects = _objects(case)
    losses = head.loss_by_feat(predictions, [_Sample(own) for own in objects])
    boxes = head.decode(predictions).detach()
    rows, targets = head.assigner.assign(predictions.points, [own.bboxes for own in objects])
    embeds, known = track_head.embed(current), track_head.embed(reference)
    logits, wanted = _matching(case, track_head, embeds, known, rows, boxes)
    losses.update(match_loss(logits, wanted))
    accuracy = losses.pop('match_accuracy')
    sum(losses.values()).backward()
    gradients = dict(
        grad_p3=current[0].grad,
        grad_p5=current[2].grad,
        grad_ref_p3=reference[0].grad,
        grad_conv_offset=head.feat_align.conv_offset.weight.grad,
    )
    found = _outputs(case, outputs) | _alignment(case, head, current)
    found |= _near(case, 1e-4, **gradients, track_feats_img0=embeds[0], track_feats_ref_img0=known[0])
    found |= _near(case, 1e-4, track_logits_0=logits[0])
    found |= _relative(case, **losses)
    found |= _near(case, 0, match_acc=accuracy.view(1), track_target_0=wanted[0])
    found |= _near(case, 0, points=torch.cat(predictions.points))
    labels = [torch.where(row >= 0, 1 + own.labels[row], 0) for row, own in zip(rows, objects, strict=True)]
    positive = rows >= 0
    found |= _near(
        case,
        0,
        target_labels=torch.stack(labels),
        target_num_pos=positive.sum(1),
        target_gt_index=torch.cat([row[row >= 0] for row in rows]),
    )
    found['target_ltrb'] = Compared(
        targets, case['target_ltrb'], 1e-5, undecided=~positive[..., None].expand(-1, -1, 4)
    )
    return found | _first_masks(case, predictions, boxes[0], rows[0], objects[0])


class _Sample:
    """As much of a data sample as the head's losses look at."""

    def __init__(self, objects: InstanceData) -> None:
        self.gt_instances = objects


def _objects(case: Arrays) -> list[InstanceData]:
    counts = case['num_gt'].tolist()
    columns = (case[name].split(counts) for name in ('gt_bboxes', 'gt_labels_1based', 'gt_masks'))
    return [
        InstanceData(bboxes=boxes, labels=labels - 1, masks=BitmapMasks(masks.numpy(), *masks.shape[1:]))
        for boxes, labels, masks in zip(*columns, strict=True)
    ]


def _outputs(case: Arrays, outputs: tuple) -> Found:
    found: Found = {}
    for place, level in enumerate(LEVELS):
        for name, maps in zip(('cls_score', 'bbox_pred', 'centerness', 'cof_pred'), outputs, strict=False):
            loose = name == 'bbox_pred' and level == LEVELS[-1]  # group norm of a 1x1 map
            found |= _near(case, 2e-3 if loose else 1e-4, **{f'{name}_{level}': maps[place]})
    return found | _near(case, 1e-4, feat_masks=outputs[-1])


def _alignment(case: Arrays, head: SipMaskHead, feats: list[Tensor]) -> Found:
    inputs = head.cls_convs(feats[0])
    shape = head.scales[0](head.conv_reg(head.reg_convs(feats[0])))
    return _near(
        case,
        1e-4,
        align_in_3=inputs,
        align_shape_3=shape,
        align_offset_3=head.feat_align.conv_offset(shape),
        align_out_3=head.feat_align(inputs, shape),
    )


def _matching(
    case: Arrays, head: SipMaskTrackHead, embeds: Tensor, known: Tensor, rows: Tensor, boxes: Tensor
) -> tuple[list[Tensor], list[Tensor]]:
    """Logits and targets of each image's points, with the case's draws of the centres."""
    counts = case['num_gt'].tolist(), case['num_ref'].tolist()
    objects = zip(
        case['gt_pids'].split(counts[0]),
        case['ref_bboxes'].split(counts[1]),
        case['ref_jitter'].split(counts[1]),
        strict=True,
    )
    logits, targets = [], []
    for image, (pids, others, moves) in enumerate(objects):
        kept = (rows[image] >= 0) & counts_in_masks(boxes[image])
        others = head.at_centres(known[image], shift(others, moves[:, :2]))
        logits.append(match_logits(head.at_centres(embeds[image], boxes[image, kept]), others, normalize=False))
        # the other frame's objects have the ids 1, 2, ...; an object that is absent there has the id 0
        ids = match_targets(pids, 1 + torch.arange(len(others)))
        targets.append(ids[rows[image, kept]])
    return logits, targets


def _first_masks(case: Arrays, predictions: Any, boxes: Tensor, rows: Tensor, objects: InstanceData) -> Found:
    """What the mask loss of the first image compares."""
    kept = (rows >= 0) & counts_in_masks(boxes)
    boxes, basis = boxes[kept] / STRIDE, predictions.basis[0]
    masks = halve_masks(objects.masks.to_tensor(torch.bool, 'cpu'))[rows[kept]]
    inside = _regions(boxes, *basis.shape[1:]) >= 0
    probabilities = assemble_masks(predictions.coefficients[0, kept], basis, boxes)
    return _near(case, 1e-4, mask_probs_cropped_0=_last(probabilities)) | _near(
        case, 0, mask_target_cropped_0=_last(masks & inside)
    )


def _last(maps: Tensor) -> Tensor:
    """(N, h, w) as the reference has it, (h, w, N)."""
    return maps.permute(1, 2, 0)


def _regions(boxes: Tensor, height: int, width: int) -> Tensor:
    """(N, h, w) long: the sub-region of each cell, -1 outside."""
    found = cells_in_boxes(boxes, height, width)
    regions = torch.full((len(boxes), height * width), -1)
    return regions.index_put((found.boxes, found.cells), found.regions % REGIONS).unflatten(1, (height, width))


def _targets(case: Arrays, head: SipMaskHead, track_head: SipMaskTrackHead) -> Found:
    """Target assignment on large maps."""
    assigner: PointAssigner = head.assigner
    boxes = case['tgt_boxes']
    points = assigner.points([tuple(size) for size in case['tgt_map_sizes'].tolist()], boxes)
    rows, distances = (assigned[0] for assigned in assigner.assign(points, [boxes]))
    positive = rows >= 0
    distances = distances[positive]
    return _near(
        case,
        0,
        tgt_point_labels=torch.where(positive, case['tgt_labels_1based'][rows], 0),
        tgt_pos_points=torch.cat(points)[positive],
        tgt_pos_gt_index=rows[positive],
    ) | _near(case, 1e-5, tgt_pos_ltrb=distances, tgt_pos_centerness=head.centerness_target(distances))


def _assembly(case: Arrays, head: SipMaskHead, track_head: SipMaskTrackHead) -> Found:
    boxes, basis = case['asm_boxes_half'], case['asm_basis']
    regions = _regions(boxes, *basis.shape[1:])
    cropped = (_last(regions) >= 0) & (case['asm_gt'] > 0)
    return _near(case, 0, asm_region=_last(regions), asm_gt_cropped=cropped) | _near(
        case, 1e-6, asm_probs=_last(assemble_masks(case['asm_cofs'], basis, boxes))
    )


@torch.no_grad()
def _detections(case: Arrays, head: SipMaskHead, track_head: SipMaskTrackHead) -> Found:
    """Detections of each image and their masks before they are cut to the video's size."""
    predictions = head.flatten(*head([case[f'p{level}'] for level in LEVELS]))
    metas = [dict(img_shape=tuple(case['img_shape'].tolist()))] * len(predictions.logits)
    scale = float(case['scale_factor'])
    found: Found = {}
    for image, own in enumerate(head.predict_by_feat(predictions, metas)):
        rows = torch.cat([own.boxes / scale, own.scores[:, None]], 1)
        soft = _resized(own, predictions.basis[image], scale)
        reference = case[f'det_soft_size_ratio_{image}']
        undecided = (soft - THRESHOLD).abs() < NEAR
        masks = soft > THRESHOLD
        found |= _near(case, 1e-4, **{f'det_bboxes_{image}': rows})
        found |= _near(case, 0, **{f'det_labels_{image}': own.labels})
        found[f'det_masks_size_ratio_{image}'] = Compared(
            masks, case[f'det_masks_size_ratio_{image}'], undecided=undecided
        )
        found[f'det_soft_size_ratio_{image}'] = Compared(soft, reference, 2e-4)
    return found


def _resized(own: PointDetections, basis: Tensor, scale: float) -> Tensor:
    probabilities = assemble_masks(own.coefficients, basis, own.boxes / STRIDE)
    return AssembledMasks.resize(probabilities, (scale, scale))


def _fast_nms(case: Arrays, head: SipMaskHead, track_head: SipMaskTrackHead) -> Found:
    boxes, scores, labels, rows = head.select(case['nms_boxes'], case['nms_scores'].T)
    return _near(case, 0, nms_out=torch.cat([boxes, scores[:, None]], 1), nms_out_class=labels, nms_out_row=rows)
