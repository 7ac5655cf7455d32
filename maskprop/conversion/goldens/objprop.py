"""ObjProp's reference numbers computed anew by this project's modules, from the inputs and weights beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pycocotools.mask as mask_utils
import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData
from torch import Tensor

from maskprop.conversion.golden_arrays import Compared
from maskprop.conversion.goldens._detected_frame import detected_frame
from maskprop.conversion.objprop_reference import convert_state_dict
from maskprop.engine.checkpoint import CheckpointError
from maskprop.methods.masktrack_rcnn.mask_track_linker import MaskTrackLinker
from maskprop.methods.masktrack_rcnn.track_embed_head import TrackEmbedHead
from maskprop.methods.masktrack_rcnn.track_matching import (
    match_scores,
    pairwise_box_iou,
    update_memory,
)
from maskprop.methods.objprop.history_filler import HistoryFiller
from maskprop.methods.objprop.inter_frame_attention import object_maps, spatial_weight
from maskprop.methods.objprop.inter_frame_attention_head import InterFrameAttentionHead, find_objects
from maskprop.ops.match_logits import match_logits
from maskprop.structures import Frame, FrameResult, PerInstance

TOLERANCE = 1e-4  # absolute and relative
INDEXED = ('seq_fill_prob', 'seq_fill_mask')  # rows belong to those of NAME_index; their order has no meaning
INPUTS = re.compile(
    r'(cur|ref|seq)_p\d+|pad_shape|img_shape|num_ref_boxes|ref_boxes|num_gt|gt_.*|scale_factor|predict_boxes_orig'
    r'|predict_labels_0based|seq_det|track_(ref_)?x(_n)?|track_ids|track_id_weights|match_(det|prev)_(bboxes|labels)'
)
SIGMA, STRIDE = 8.0, 8  # cells, pixels: the released code's
LEVELS = (2, 3, 4, 5)
ROW_FORMS = dict(intdiv='index', truediv='fraction')

Arrays = Mapping[str, Tensor]


def compare(case: Arrays, state: Mapping[str, Any]) -> dict[str, Compared]:
    """Every output array of a case, ours and the reference's.

    Args:
        case: inputs and outputs by name. state: a reference state dict of the three heads.
    """
    found: dict[str, Tensor] = {}
    for recompute in (recompute_attention, recompute_prediction, recompute_fills, recompute_tracking):
        found.update(recompute(case, state))
    found = _in_order(found)
    expected = {name: case[name] for name in found}
    expected = _in_order(expected)
    # its channel 0 is the background's, which this project doesn't have
    expected['mask_logits'] = expected['mask_logits'][:, 1:]
    return {name: Compared(value, expected[name], TOLERANCE, TOLERANCE) for name, value in found.items()}


def _in_order(arrays: Arrays) -> dict[str, Tensor]:
    """The arrays of the fill sequence with rows in the order of frame and object id."""
    ordered = dict(arrays)
    keys = {name: f'{name}_index' for name in INDEXED} | {f'{name}_index': f'{name}_index' for name in INDEXED}
    for name, key in (keys | dict(seq_out='seq_out')).items():
        if arrays[key].numel():
            rows = arrays[key][:, :2].tolist()
            ordered[name] = arrays[name][sorted(range(len(rows)), key=rows.__getitem__)]
    return ordered


def build_attention_head(state: Mapping[str, Any], row: str = 'index') -> InterFrameAttentionHead:
    """The head of a reference state dict, in evaluation mode; sizes are those of the weights."""
    weights = _converted(state, 'attention_head.')
    channels, depth = weights['convs.0.weight'].shape[:2]
    head = InterFrameAttentionHead(
        num_classes=len(weights['conv_logits.weight']),
        in_channels=depth // len(LEVELS),
        num_levels=len(LEVELS),
        channels=channels,
        stride=STRIDE,
        num_mask_convs=len({key.split('.')[1] for key in weights if key.startswith('mask_convs.')}),
        spatial_sigma=SIGMA,
        spatial_row=row,
    )
    head.load_state_dict(weights)
    return head.eval()


def _converted(state: Mapping[str, Any], prefix: str) -> dict[str, Tensor]:
    """One head's weights of a reference state dict, under this project's names."""
    converted = convert_state_dict(state, partial=True)
    weights = {key.removeprefix(prefix): value for key, value in converted.items() if key.startswith(prefix)}
    if not weights:
        raise CheckpointError(f'expected weights of {prefix[:-1]}, found {sorted(converted)[:3]} and so on')
    return weights


def levels(case: Arrays, prefix: str) -> list[Tensor]:
    """The FPN levels of an input, finest first."""
    return [case[f'{prefix}_p{level}'] for level in LEVELS]


@torch.no_grad()
def recompute_attention(case: Arrays, state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Features, affinity, maps, mask logits and losses.

    Args:
        case: the inputs by name, and whatever else the file holds.
        state: a reference state dict.

    Returns:
        outputs by name. ``mask_logits`` has no background channel.
    """
    feats = levels(case, 'cur'), levels(case, 'ref')
    head = build_attention_head(state)
    current, reference = (head.encode_features(f) for f in feats)
    boxes = case['ref_boxes'].split(case['num_ref_boxes'].tolist())
    objects, background = head.propagate_boxes(current, reference, boxes)
    attention_logits = head.attention_logits(objects, background)
    attention = attention_logits.sigmoid()
    images = torch.arange(len(boxes)).repeat_interleave(case['num_ref_boxes'])
    similarity = reference.flatten(2).mT @ current.flatten(2)
    logits = head.attend(current[images], attention)
    return dict(
        feat_cur=current,
        feat_ref=reference,
        similarity=similarity,
        similarity_softmax=similarity.softmax(1),
        fg_attn=_to_pixels(objects[:, None], STRIDE)[:, 0],
        bg_attn=_to_pixels(background[:, None], STRIDE)[:, 0],
        attn_softmax=attention,
        attn_softmax_s8=head.to_cells(attention),
        mask_logits=_to_pixels(logits, STRIDE // 2),
        **_losses(case, head, current, reference, attention_logits),
    )


def _to_pixels(maps: Tensor, stride: int) -> Tensor:
    return F.interpolate(maps, scale_factor=stride, mode='bilinear')


def _losses(
    case: Arrays, head: InterFrameAttentionHead, current: Tensor, reference: Tensor, logits: Tensor
) -> dict[str, Tensor]:
    """Both losses, which masks enter the second one, and the attention's accuracy in percent."""
    size = tuple(case['pad_shape'].tolist())
    samples = _current_samples(case, size), _reference_samples(case)
    losses = head.pair_losses(current, reference, *samples, size)
    found = find_objects(*samples, size, 'cpu')
    targets = object_maps(found.boxes, size[0], size[1], stride=1)
    first_rows = F.pad(case['num_gt'].cumsum(0), (1, 0))[found.images]
    present = found.rows >= 0
    return dict(
        loss_propattn=losses['loss_attention'][None],
        attn_propacc=100 * ((logits > 0) == (targets > 0)).float().mean()[None],
        loss_propmask=losses['loss_propagated_mask'][None],
        maskloss_ref_index=present.nonzero()[:, 0],
        maskloss_gt_index=(found.rows + first_rows)[present],
    )


def _current_samples(case: Arrays, size: tuple[int, int]) -> list[DetDataSample]:
    """Ground truth of the current frames; the ids of objects that aren't in the reference frame are negative."""
    counts = case['num_gt'].tolist()
    columns = (case[name].split(counts) for name in ('gt_bboxes', 'gt_labels_1based', 'gt_pids', 'gt_masks'))
    samples = []
    for boxes, labels, pids, masks in zip(*columns, strict=True):
        ids = torch.where(pids > 0, pids, -1 - torch.arange(len(pids)))
        bitmaps = BitmapMasks(masks.numpy(), *size)
        objects = InstanceData(bboxes=boxes, labels=labels - 1, instances_ids=ids, masks=bitmaps)
        samples.append(DetDataSample(gt_instances=objects))
    return samples


def _reference_samples(case: Arrays) -> list[DetDataSample]:
    samples = []
    for boxes in case['ref_boxes'].split(case['num_ref_boxes'].tolist()):
        objects = InstanceData(bboxes=boxes, instances_ids=1 + torch.arange(len(boxes)))
        samples.append(DetDataSample(gt_instances=objects))
    return samples


@torch.no_grad()
def recompute_prediction(case: Arrays, state: Mapping[str, Any]) -> dict[str, Tensor]:
    """What the head gives at test, with the spatial weight in both forms: the weight, the maps, the masks."""
    feats = levels(case, 'cur'), levels(case, 'ref')
    counts = case['num_ref_boxes'].tolist()
    boxes = (case['predict_boxes_orig'][:, :4] * case['scale_factor']).split(counts)
    labels = case['predict_labels_0based'].split(counts)
    found = {}
    for name, row in ROW_FORMS.items():
        head = build_attention_head(state, row)
        current, reference = (head.encode_features(f) for f in feats)
        objects, background = head.propagate_boxes(current, reference, boxes, weighted=True)
        logits = [
            head.propagate_objects(current[b], reference[b : b + 1], boxes[b : b + 1], labels[b : b + 1])
            for b in range(len(boxes))
        ]
        found[f'spatial_weight_{name}'] = spatial_weight(current.shape[-2], current.shape[-1], SIGMA, row)
        found[f'predict_bgfg_s8_{name}'] = torch.stack([background, objects], 1)
        found[f'predict_prob_{name}'] = head.probabilities(torch.cat(logits))
    return found


def recompute_fills(case: Arrays, state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The fill sequence, frame by frame through the online filler; pixels of network and video are the same."""
    feats = levels(case, 'seq')
    head = build_attention_head(state)
    filler = HistoryFiller(head)
    found: dict[str, list] = {
        name: [] for name in ('out', 'fill_prob', 'fill_prob_index', 'fill_mask', 'fill_mask_index')
    }
    for index in range(len(feats[0])):
        frame, result = _sequence_frame(case, head, feats, index)
        missed = filler.missed(result)
        if missed:
            with torch.no_grad():
                found['fill_prob'] += filler.mean_masks(frame, missed)
            found['fill_prob_index'] += [torch.tensor([index, track_id]) for track_id in missed]
        filler.step(frame, result)
        for track_id, mask in list(zip(result.ids, result.masks, strict=True))[len(frame) :]:
            found['fill_mask'].append(torch.from_numpy(mask_utils.decode(mask)))
            found['fill_mask_index'].append(torch.tensor([index, track_id]))
        past = filler.history[-1]
        for *row, filled in zip(past.ids, past.boxes, past.scores, past.labels, result.filled, strict=True):
            track_id, box, score, label = row
            found['out'].append(torch.tensor([index, track_id, *box.tolist(), score, label, filled]))
    return {f'seq_{name}': torch.stack(rows) if rows else torch.zeros(0) for name, rows in found.items()}


def _sequence_frame(
    case: Arrays, head: InterFrameAttentionHead, feats: list[Tensor], index: int
) -> tuple[Frame, FrameResult]:
    """A frame of the fill sequence and the result that holds its detections."""
    rows = case['seq_det'][case['seq_det'][:, 0] == index]
    with torch.no_grad():
        code = head.encode_features([level[index : index + 1] for level in feats])[0]
    size = tuple(side * head.stride for side in code.shape[-2:])
    frame = detected_frame(rows[:, 2:7], rows[:, 7].long(), size=size, attention_head=code)
    result = FrameResult(index)
    for track_id, scores, rle in zip(rows[:, 1].tolist(), frame.class_scores, frame.rles, strict=True):
        ((label, score),) = scores.items()
        result.add(int(track_id), label, score, rle)
    return frame, result


@torch.no_grad()
def recompute_tracking(case: Arrays, state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Track embeddings, their scores and loss, and the matching of one image's detections with a memory."""
    head = build_track_head(state, case['track_x'].shape)
    counts = case['track_x_n'].tolist(), case['track_ref_x_n'].tolist()
    embeds, ref_embeds = head(case['track_x'], case['track_ref_x'], *counts)
    train = [match_logits(x, ref, False) for x, ref in zip(embeds, ref_embeds, strict=True)]
    test = head.predict_by_feat(embeds, ref_embeds)
    targets, weights = (case[name].split(counts[0]) for name in ('track_ids', 'track_id_weights'))
    losses = head.match_loss(train, targets, weights)
    return dict(
        track_embed_x=torch.cat(embeds),
        track_embed_ref=torch.cat(ref_embeds),
        **{f'track_score_train_{b}': scores for b, scores in enumerate(train)},
        **{f'track_score_test_{b}': scores for b, scores in enumerate(test)},
        track_loss_match=torch.as_tensor(losses['loss_match']).view(1),
        track_match_acc=torch.as_tensor(losses.get('match_accuracy', 0.0)).view(1),
        **_matching(case, embeds[0], ref_embeds[0], test[0]),
    )


def build_track_head(state: Mapping[str, Any], roi_shape: Sequence[int]) -> TrackEmbedHead:
    """The track head of a reference state dict, with the released code's loss.

    Args:
        state: a reference state dict. roi_shape: (N, C, h, w) of the RoI features.
    """
    weights = _converted(state, 'track_head.embed_head.')
    head = TrackEmbedHead(
        num_fcs=sum(key.endswith('.weight') for key in weights),
        in_channels=roi_shape[1],
        roi_feat_size=tuple(roi_shape[2:]),
        fc_out_channels=len(weights['fcs.0.weight']),
        skip_single=True,
    )
    head.load_state_dict(weights)
    return head.eval()


def _matching(case: Arrays, embeds: Tensor, ref_embeds: Tensor, logits: Tensor) -> dict[str, Tensor]:
    """What detections take which object, through the linker, and the matching scores on the way."""
    boxes, labels = case['match_det_bboxes'], case['match_det_labels']
    known_boxes, known_labels = case['match_prev_bboxes'], case['match_prev_labels']
    linker = MaskTrackLinker(losers='duplicate')
    linker.link(detected_frame(known_boxes, known_labels, track_head=PerInstance(ref_embeds)))
    ids = linker.link(detected_frame(boxes, labels, track_head=PerInstance(embeds)))
    objects = [-1 if track_id is None else track_id - 1 for track_id in ids]
    ious = pairwise_box_iou(boxes[:, :4], known_boxes[:, :4], legacy=True)
    same = (labels[:, None] == known_labels).float()
    first_time = [taken if taken >= len(known_labels) else -1 for taken in objects]
    return dict(
        match_logprob=logits.log_softmax(1),
        match_ious=ious,
        match_label_delta=same,
        match_comp_scores=match_scores(logits, boxes[:, 4], ious, same),
        match_det_obj_ids=torch.tensor(objects),
        match_mem_bboxes_after=update_memory(known_boxes, boxes, objects),
        match_mem_labels_after=update_memory(known_labels, labels, first_time),
    )
