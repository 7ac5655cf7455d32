"""Instance features as the propagation branch carries them over a clip (MaskProp, Figure 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from maskprop.apis.views import load_views
from maskprop.methods.maskprop.mask_propagation_head import FrameCode, MaskPropagationHead
from maskprop.methods.maskprop.propagation import propagate_features
from maskprop.structures import Frame


class PropagatedFeatures(NamedTuple):
    """One channel of the features of N instances of frame t, in the S frames of its clip.

    Attributes:
        frames: S frame indices of the data set, t among them.
        instances: frame t with these N instances, by descending score.
        channel: which channel.
        maps: (S, N, H, W) float32 on the CPU, absolute activations on the propagation stride.
    """

    frames: range
    instances: Frame
    channel: int
    maps: Tensor


@torch.no_grad()
def propagated_features(
    model: torch.nn.Module,
    dataset: torch.utils.data.Dataset,
    video: int,
    frame: int,
    channel: int | None = None,
    max_instances: int | None = None,
) -> PropagatedFeatures:
    """Propagate the features of what is detected in a frame to its clip, by the literal form of the branch.

    Args:
        model: a ``VideoMaskRCNN`` with a propagation head, in evaluation mode; its ``clip_radius`` is T.
        dataset: a ``YouTubeVISJsonDataset`` in test mode.
        video: its index in the set. frame: t, an index into the frames used of it.
        channel: None: the one with the largest mean square over instances and cells in frame t itself.
        max_instances: only the best-scored ones.

    Raises:
        ValueError: the model has no propagation head, or the head no such channel.
    """
    head = model.heads.get('propagation_head')
    if not isinstance(head, MaskPropagationHead):
        raise ValueError('the model has no MaskPropagationHead, so nothing is propagated by features')
    channels = head.deform_weights.shape[1]
    if channel is not None and not 0 <= channel < channels:
        raise ValueError(f'channel {channel}: the propagation head has channels 0 to {channels - 1}')
    length = dataset.get_len_per_video(video)
    radius = model.stream.clip_radius
    clip = range(max(frame - radius, 0), min(frame + radius + 1, length))
    window = 0 if model.aggregator is None else model.aggregator.window
    needed = range(max(clip.start - window, 0), min(clip.stop + window, length))
    codes = []
    for index, view in load_views(model, dataset, video, needed):
        if index in clip:
            codes.append(head.encode_features(view.feats, keep_features=index == frame))
        if index == frame:
            found = _best(model.encode(view), max_instances)
    source = codes[frame - clip.start]
    if channel is None:
        own = channel_activations(head, source, [source], found.masks, range(channels))[0]
        channel = int(own.square().mean((0, 2, 3)).argmax()) if len(found) else 0
    maps = [channel_activations(head, source, [code], found.masks, [channel])[0, :, 0] for code in codes]
    return PropagatedFeatures(clip, found, channel, torch.stack(maps).abs().cpu())


def channel_activations(
    head: MaskPropagationHead,
    source: FrameCode,
    targets: Sequence[FrameCode],
    masks: Tensor,
    channels: Sequence[int],
) -> Tensor:
    """Some channels of the propagated instance features g, before the 1x1 convolution.

    Args:
        head: the branch.
        source: code of frame t, with its features. targets: codes of S frames.
        masks: (N, H, W) float, instances of frame t.
        channels: C of them.

    Returns:
        (S, N, C, H, W) float32.
    """
    offsets = head.predict_offsets(source, FrameCode.as_targets(targets))
    if len(masks) == 0:
        return offsets.new_zeros((len(targets), 0, len(channels), *masks.shape[1:]))
    features = head._with_mask_channel(source.features)[0].float()
    weights = head.deform_weights[:, list(channels)].float()
    return propagate_features(features, masks.float(), offsets, weights, head.dilations)


def _best(frame: Frame, count: int | None) -> Frame:
    scores = [max(scores.values()) for scores in frame.class_scores]
    rows = sorted(range(len(frame)), key=lambda row: -scores[row])
    return frame.select(rows[:count])
