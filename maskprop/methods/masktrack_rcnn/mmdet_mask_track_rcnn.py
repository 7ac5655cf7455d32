"""mmdet's own MaskTrack R-CNN with its training fixed: what this project's is compared with."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models.vis import MaskTrackRCNN
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures import TrackDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from maskprop.structures import FrameDetector


@MODELS.register_module()
class MendedMaskTrackRCNN(MaskTrackRCNN):
    """mmdet's ``MaskTrackRCNN`` whose RPN learns objects of every category.

    mmdet hands its RPN the class labels, where 0 stands for an object: anchors on objects of all other categories
    are then trained as background. Everything else, tracker and test included, is mmdet's.
    """

    def loss(self, inputs: Tensor, data_samples: list[TrackDataSample], **kwargs: Any) -> dict[str, Tensor]:
        """Losses of RPN, RoI heads and track head.

        Args:
            inputs: (B, 2, 3, H, W) float, normalised: a key and a reference frame.
            data_samples: B samples with ``key_frames_inds``, ``ref_frames_inds`` and frames with ``gt_instances``.
        """
        batch = torch.arange(len(inputs))
        keys = [track.key_frames_inds[0] for track in data_samples]
        references = [track.ref_frames_inds[0] for track in data_samples]
        feats = self.detector.extract_feat(inputs[batch, keys])
        reference_feats = self.detector.extract_feat(inputs[batch, references])
        key_samples = [track[key] for track, key in zip(data_samples, keys, strict=True)]
        frame_detector: FrameDetector = TASK_UTILS.build(
            dict(type='TwoStageFrameDetector', detector=self.detector)
        )
        losses, proposals = frame_detector.loss(feats, key_samples)
        priors = [InstanceData(priors=boxes) for boxes in proposals]
        losses.update(self.track_head.loss(feats, reference_feats, priors, data_samples))
        return losses
