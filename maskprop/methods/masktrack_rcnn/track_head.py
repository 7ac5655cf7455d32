"""MaskTrack R-CNN's track head in a video model: mmdet's RoI part with an embedding for each instance."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.tracking_heads import RoITrackHead
from mmdet.registry import MODELS
from mmdet.structures import TrackDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from maskprop.structures import Detections, FramePairs, PerInstance, View


@MODELS.register_module()
class TrackHead(RoITrackHead):
    """mmdet's ``RoITrackHead`` as a :class:`~maskprop.structures.protocols.VideoHead`; arguments and weights are
    its.

    An ``embed_head`` of :class:`~maskprop.methods.masktrack_rcnn.track_embed_head.TrackEmbedHead` has the
    reference code's embeddings and loss, mmdet's ``RoIEmbedHead`` its own.
    """

    def encode(self, view: View, instances: Detections) -> PerInstance:
        """The embeddings of a frame's N instances: (N, E) float on the CPU, not normalised."""
        roi_feats, counts = self.extract_roi_feats(view.feats, [instances.boxes])
        return PerInstance(self.embed_head.extract_feat(roi_feats, counts)[0].float().cpu())

    def encode_batch(
        self, feats: Sequence[Tensor], views: Sequence[View], instances: Sequence[Detections]
    ) -> list[PerInstance]:
        """:meth:`encode` of several frames."""
        roi_feats, counts = self.extract_roi_feats(feats, [found.boxes for found in instances])
        embeds = torch.cat(self.embed_head.extract_feat(roi_feats, counts)).float().cpu()
        return [PerInstance(part) for part in embeds.split(counts)]

    def loss(self, pairs: FramePairs) -> dict[str, Tensor]:
        """mmdet's losses: proposals of the key frames against the objects of the other ones."""
        tracks = []
        for key, other in zip(pairs.keys, pairs.others, strict=True):
            track = TrackDataSample(metainfo=dict(key_frames_inds=[0], ref_frames_inds=[1]))
            track.video_data_samples = [key, other]
            tracks.append(track)
        keys, others = ([level[start::2] for level in pairs.feats] for start in (0, 1))
        return super().loss(keys, others, [InstanceData(priors=boxes) for boxes in pairs.proposals], tracks)
