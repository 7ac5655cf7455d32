"""Training samples of two frames: what the heads that join frames make of their annotations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from mmdet.models.tracking_heads import RoITrackHead
from mmdet.structures import DetDataSample, TrackDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from maskprop.models.frame_detector import predict_gt_masks
from maskprop.ops.masks import downsample_masks, paste_soft_masks

if TYPE_CHECKING:
    from mmdet.models.detectors import TwoStageDetector

    from maskprop.methods.maskprop.mask_propagation_head import FrameCode, MaskPropagationHead


def stride_masks(sample: DetDataSample, stride: int, device: torch.device) -> Tensor:
    """Ground-truth masks of a frame at a stride, (N, H, W) float of 0 and 1."""
    masks = sample.gt_instances.masks
    return downsample_masks(masks.to_tensor(torch.bool, device), stride)


def match_instances(key: DetDataSample, other: DetDataSample, other_masks: Tensor) -> Tensor:
    """Masks in the other frame of the key frame's instances, (N, H, W); 0 where absent."""
    rows = {i: row for row, i in enumerate(other.gt_instances.instances_ids.tolist())}
    ids = key.gt_instances.instances_ids.tolist()
    matched = other_masks.new_zeros((len(ids), *other_masks.shape[1:]))
    for row, i in enumerate(ids):
        if i in rows:
            matched[row] = other_masks[rows[i]]
    return matched


def predict_stride_masks(
    detector: TwoStageDetector,
    feats: tuple[Tensor, ...],
    samples: Sequence[DetDataSample],
    stride: int,
    input_shape: tuple[int, int],
) -> list[Tensor]:
    """The mask head's soft masks at the ground-truth boxes, at a stride.

    Args:
        detector: any two-stage instance-segmentation detector.
        feats: levels of the FPN, each (B, C, H_l, W_l).
        samples: B samples with ``gt_instances``.
        stride: cell size in pixels.
        input_shape: (height, width) of the padded input in pixels.

    Returns:
        B tensors (N_b, H, W) float32 in [0, 1].
    """
    boxes = [sample.gt_instances.bboxes for sample in samples]
    roi_masks = predict_gt_masks(detector, feats, boxes, samples)
    height, width = (side // stride for side in input_shape)
    return [paste_soft_masks(m, b / stride, height, width) for m, b in zip(roi_masks, boxes, strict=True)]


def propagation_loss(
    head: MaskPropagationHead,
    codes: FrameCode,
    samples: Sequence[DetDataSample],
    sources: Sequence[Tensor] | None = None,
) -> Tensor:
    """L_prop, mean over the B pairs; both frames of a pair are targets of its key frame.

    Args:
        head: the propagation branch.
        codes: of 2 B frames, every key frame followed by its other frame.
        samples: 2 B samples with ``gt_instances``, likewise.
        sources: B tensors (N_b, H, W) float in [0, 1], the key frames' masks that are propagated; ``None``: the
            ground truth.

    Returns:
        scalar.
    """
    keys, others = samples[::2], samples[1::2]
    device = codes.match.device
    key_masks = [stride_masks(sample, head.stride, device) for sample in keys]
    other_masks = [stride_masks(sample, head.stride, device) for sample in others]
    sources = key_masks if sources is None else sources
    losses = []
    for i, (source, key, other) in enumerate(zip(sources, keys, others, strict=True)):
        targets = torch.stack([key_masks[i], match_instances(key, other, other_masks[i])])
        losses.append(head.loss(codes.frame(2 * i), codes.frames(2 * i, 2 * i + 2), source, targets))
    return torch.stack(losses).mean()


def track_loss(
    track_head: RoITrackHead,
    feats: tuple[Tensor, ...],
    proposals: Sequence[Tensor],
    samples: Sequence[DetDataSample],
) -> dict[str, Tensor]:
    """The track head's losses: proposals of the key frames against the objects of the other ones.

    Args:
        track_head: mmdet's.
        feats: levels of the FPN, each (2 B, C, H_l, W_l), every key frame followed by its other frame.
        proposals: B tensors (P, 4) float, of the key frames, in input pixels.
        samples: 2 B samples with ``gt_instances``.
    """
    tracks = []
    for key, other in zip(samples[::2], samples[1::2], strict=True):
        track = TrackDataSample(metainfo=dict(key_frames_inds=[0], ref_frames_inds=[1]))
        track.video_data_samples = [key, other]
        tracks.append(track)
    keys, others = ([level[start::2] for level in feats] for start in (0, 1))
    return track_head.loss(keys, others, [InstanceData(priors=boxes) for boxes in proposals], tracks)
