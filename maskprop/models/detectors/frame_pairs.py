"""Training samples of two frames: what the heads that join frames make of their annotations."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.tracking_heads import RoITrackHead
from mmdet.structures import DetDataSample, TrackDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from maskprop.ops.masks import downsample_masks


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
