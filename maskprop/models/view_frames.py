"""What a stream takes of a frame: from the detector's output, or from instances that are known."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import pycocotools.mask as mask_utils
import torch
import torch.nn.functional as F
from torch import Tensor

from maskprop.models.duplicates import class_scores, group_duplicates
from maskprop.tracking.features import View
from maskprop.models.frame_detector import Detections
from maskprop.ops.masks import downsample_masks, paste_binary_masks, paste_soft_masks
from maskprop.tracking.video_stream import Frame

if TYPE_CHECKING:
    from maskprop.models.video_mask_rcnn import VideoMaskRCNN

DEFAULT_STRIDE = 8  # pixels, of the soft masks when there is no branch
FIELDS = ('code', 'embeds', 'attention_code', 'refined')  # of a Frame, each made by a head


def frame_code(
    model: VideoMaskRCNN, feats: tuple[Tensor, ...], boxes: Tensor, needs: Collection[str] = FIELDS
) -> dict[str, Any]:
    """What the heads need of a frame: ``code``, ``embeds`` and ``attention_code`` of a :class:`Frame`.

    Args:
        model: whose heads they are.
        feats: levels of the FPN, each (1, C, H_l, W_l).
        boxes: (N, 4) float, of the instances, in pixels of the network's input.
        needs: which of ``FIELDS`` are wanted.

    Returns:
        the three fields; None for those that nothing needs or that the model has no head for.
    """
    code = dict.fromkeys(FIELDS[:3])
    if 'code' in needs and model.propagation_head is not None:
        code['code'] = model.propagation_head.encode(feats)
    if 'embeds' in needs and model.track_head is not None:
        roi_feats, counts = model.track_head.extract_roi_feats(feats, [boxes])
        code['embeds'] = model.track_head.embed_head.extract_feat(roi_feats, counts)[0].float().cpu()
    if 'attention_code' in needs and model.attention_head is not None:
        code['attention_code'] = model.attention_head.encode(feats)[0]
    return code


def frame_from_detections(
    model: VideoMaskRCNN,
    view: View,
    detections: Detections,
    groups: Tensor | None = None,
    needs: Collection[str] = FIELDS,
) -> Frame:
    """The frame with what the detector found.

    Args:
        model: whose heads encode it.
        view: the frame's features, image and meta.
        detections: N of them.
        groups: (N,) long, which detection stands for each one, as ``group_duplicates`` gives it; ``None``: by the
            model's ``merge_iou``.
        needs: see :func:`frame_code`.
    """
    scale = detections.boxes.new_tensor(view.meta['scale_factor']).repeat(2)  # (w, h, w, h)
    height, width = view.meta['ori_shape'][:2]
    if groups is None:
        groups = group_duplicates(detections.boxes / scale, detections.scores, model.merge_iou)
    kept = groups.unique()
    roi_masks, boxes = detections.roi_masks[kept], detections.boxes[kept]
    stride = mask_stride(model)
    refined = None
    if 'refined' in needs and model.refinement_head is not None:
        masks, windows = model.refinement_head.refine(view.image, boxes, roi_masks)
        refined = paste_binary_masks(masks, windows / scale, height, width, model.mask_threshold)
    return Frame(
        **frame_code(model, view.feats, boxes, needs),
        masks=paste_soft_masks(roi_masks, boxes / stride, *(side // stride for side in view.shape)),
        boxes=(boxes / scale).cpu(),
        class_scores=class_scores(detections, groups, kept),
        rles=model.paste_masks(roi_masks, boxes / scale, height, width),
        refined=refined,
        **_sizes(view, stride),
    )


def frame_from_instances(
    model: VideoMaskRCNN,
    view: View,
    instances: list[dict],
    merge_iou: float | None = None,
    needs: Collection[str] = FIELDS,
) -> Frame:
    """The frame with instances that are known: annotations, or detections of another model.

    Args:
        model: with or without heads.
        view: the frame's features, image and meta.
        instances: dicts of ``bbox`` (x1, y1, x2, y2), ``bbox_label``, ``mask`` (RLE), in pixels of the video, and
            ``score`` (default 1).
        merge_iou: instances whose boxes overlap above this are one with several class scores; None: never.
        needs: see :func:`frame_code`.
    """
    device = view.image.device
    found = Detections(
        boxes=network_boxes(instances, view.meta, device),
        scores=torch.tensor([float(i.get('score', 1)) for i in instances], device=device),
        labels=torch.tensor([int(i['bbox_label']) for i in instances], dtype=torch.long, device=device),
        roi_masks=None,
    )
    groups = group_duplicates(found.boxes, found.scores, merge_iou)
    kept = groups.unique()
    instances = [instances[row] for row in kept.tolist()]
    stride = mask_stride(model)
    return Frame(
        **frame_code(model, view.feats, found.boxes[kept], needs),
        masks=_stride_masks(instances, view, stride),
        boxes=_video_boxes(instances),
        class_scores=class_scores(found, groups, kept),
        rles=[_as_text(i['mask']) for i in instances],
        **_sizes(view, stride),
    )


def network_boxes(instances: list[dict], meta: dict, device: torch.device | str) -> Tensor:
    """Boxes of a frame's instances in pixels of the network's input, (N, 4) float."""
    boxes = _video_boxes(instances).to(device)
    return boxes * boxes.new_tensor(meta['scale_factor']).repeat(2)


def mask_stride(model: VideoMaskRCNN) -> int:
    """Pixels of the network's input per cell of the soft masks."""
    return DEFAULT_STRIDE if model.propagation_head is None else model.propagation_head.stride


def _sizes(view: View, stride: int) -> dict[str, tuple]:
    cells = [side // stride for side in view.shape]
    scale = view.meta['scale_factor'][::-1]  # (h, w)
    return dict(
        size=tuple(view.meta['ori_shape'][:2]),
        map_size=tuple(n * stride / s for n, s in zip(cells, scale, strict=True)),
    )


def _stride_masks(instances: list[dict], view: View, stride: int) -> Tensor:
    """(N, H, W) float of 0 and 1, at the stride; one by one, as full-size masks of many would fill the memory."""
    height, width = view.shape
    shown = view.meta['img_shape'][:2]
    masks = [torch.zeros(0, height // stride, width // stride)]
    for instance in instances:
        bitmap = torch.from_numpy(mask_utils.decode(instance['mask']))[None, None].float()
        resized = F.interpolate(bitmap, size=shown, mode='nearest')[0]
        padded = F.pad(resized, (0, width - shown[1], 0, height - shown[0]))
        masks.append(downsample_masks(padded, stride))
    return torch.cat(masks).to(view.image.device)


def _video_boxes(instances: list[dict]) -> Tensor:
    return torch.tensor([i['bbox'] for i in instances], dtype=torch.float32).reshape(-1, 4)


def _as_text(rle: dict) -> dict:
    counts = rle['counts']
    return dict(size=list(rle['size']), counts=counts.decode('ascii') if isinstance(counts, bytes) else counts)
