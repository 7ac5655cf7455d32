"""SipMask-VIS's tracking branch: an embedding for every cell, read at the centres of boxes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from maskprop.methods.sipmask.point_assigner import RANGES, PointAssigner
from maskprop.methods.sipmask.sipmask_losses import counts_in_masks
from maskprop.methods.sipmask.towers import JOINED_LEVELS, build_tower, join_levels
from maskprop.ops.match_logits import match_logits
from maskprop.structures import Detections, FramePairs, PerInstance, View


@MODELS.register_module()
class SipMaskTrackHead(BaseModule):
    """Embeddings of P3's cells as a :class:`~maskprop.structures.protocols.VideoHead`.

    In training every point that stands for an object of the key frame is classified among the objects of the
    other frame and "new", by raw dot products, of which the new object's is 0. Its embedding is read at the centre
    of the box that is predicted there, the others' at the centres of their boxes, moved at random.

    Args:
        in_channels: of the FPN. feat_channels, stacked_convs, norm_cfg: of the tower.
        embed_channels: of an embedding. kernel_size: of the convolution that makes them, 1 or 3.
        jitter: a box's centre in the other frame is moved by up to this share of its sides.
        strides, regress_ranges, center_sample_radius: those of the detector's head, whose points have this loss.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        feat_channels: int = 256,
        stacked_convs: int = 2,
        embed_channels: int = 512,
        kernel_size: int = 1,
        jitter: float = 0.05,
        strides: Sequence[int] = (8, 16, 32, 64, 128),
        regress_ranges: Sequence[tuple[float, float]] = RANGES,
        center_sample_radius: float = 1.5,
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type='Normal', layer='Conv2d', std=0.01))
        norm_cfg = norm_cfg or dict(type='GN', num_groups=32, requires_grad=True)
        self.track_convs = build_tower(in_channels, feat_channels, stacked_convs, norm_cfg)
        self.conv_embed = nn.Conv2d(
            JOINED_LEVELS * feat_channels, embed_channels, kernel_size, padding=kernel_size // 2
        )
        self.assigner = PointAssigner(strides, regress_ranges, center_sample_radius)
        self.jitter = jitter

    def init_weights(self) -> None:
        """Normal weights in the tower; the embedding's convolution keeps PyTorch's, as in the reference."""
        super().init_weights()
        self.conv_embed.reset_parameters()

    def embed(self, feats: Sequence[Tensor]) -> Tensor:
        """Levels (B, C, h_l, w_l) to the embeddings (B, E, h, w) of the finest level's cells."""
        return self.conv_embed(join_levels([self.track_convs(level) for level in feats[:JOINED_LEVELS]]))

    def at_centres(self, embeds: Tensor, boxes: Tensor) -> Tensor:
        """(N, E) float of an image's cells (E, h, w), at the centres of boxes (N, 4) in pixels."""
        stride = self.assigner.strides[0]
        height, width = embeds.shape[1:]
        cells = (boxes[:, :2] + boxes[:, 2:]).div(2 * stride).floor()
        # predicted centres may be outside of the map
        x, y = cells[:, 0].clamp(0, width - 1).long(), cells[:, 1].clamp(0, height - 1).long()
        return embeds[:, y, x].T

    def encode(self, view: View, instances: Detections) -> PerInstance:
        """The embeddings of a frame's N instances: (N, E) float on the CPU, not normalised."""
        embeds = self.embed(view.feats)[0]
        return PerInstance(self.at_centres(embeds, instances.boxes).float().cpu())

    def encode_batch(
        self, feats: Sequence[Tensor], views: Sequence[View], instances: Sequence[Detections]
    ) -> list[PerInstance]:
        """:meth:`encode` of several frames."""
        embeds = zip(self.embed(feats), instances, strict=True)
        found = [self.at_centres(own, frame.boxes).float() for own, frame in embeds]
        return [PerInstance(part) for part in torch.cat(found).cpu().split([len(part) for part in found])]

    def loss(self, pairs: FramePairs) -> dict[str, Tensor]:
        """``loss_match``, and ``match_accuracy`` in percent if there is a point that stands for an object."""
        embeds = self.embed(pairs.feats)
        points = self.assigner.points([level.shape[-2:] for level in pairs.feats], pairs.feats[0].float())
        rows, _ = self.assigner.assign(points, [key.gt_instances.bboxes for key in pairs.keys])
        logits, targets = [], []
        for image, (key, other) in enumerate(zip(pairs.keys, pairs.others, strict=True)):
            key, other = key.gt_instances, other.gt_instances
            boxes = pairs.proposals[image]
            kept = (rows[image] >= 0) & counts_in_masks(boxes)
            moves = self.jitter * (2 * torch.rand_like(other.bboxes[:, :2]) - 1)
            found = self.at_centres(embeds[2 * image], boxes[kept])
            known = self.at_centres(embeds[2 * image + 1], shift(other.bboxes, moves))
            logits.append(match_logits(found, known, normalize=False))
            targets.append(match_targets(key.instances_ids, other.instances_ids)[rows[image, kept]])
        return match_loss(logits, targets)


def shift(boxes: Tensor, moves: Tensor) -> Tensor:
    """Boxes (N, 4), moved by shares (N, 2) of their width and height."""
    offsets = (boxes[:, 2:] - boxes[:, :2]) * moves
    return boxes + offsets.repeat(1, 2)


def match_targets(ids: Tensor, others: Tensor) -> Tensor:
    """Of ids (G,) their rows among others (M,), from 1; 0 where absent."""
    same = ids[:, None] == others
    return torch.where(same.any(1), 1 + same.float().argmax(1) if same.numel() else 0, 0)


def match_loss(logits: Sequence[Tensor], targets: Sequence[Tensor]) -> dict[str, Tensor]:
    """Cross-entropy, mean over the points of an image, then over images; an image without points gives 0.

    Args:
        logits: B tensors (N_b, M_b + 1) float. targets: B tensors (N_b,) long.
    """
    losses = [
        F.cross_entropy(x, y, reduction='sum') / max(len(y), 1) for x, y in zip(logits, targets, strict=True)
    ]
    result = dict(loss_match=torch.stack(losses).mean())
    if points := sum(map(len, targets)):
        right = sum((x.argmax(1) == y).sum() for x, y in zip(logits, targets, strict=True) if len(y))
        result['match_accuracy'] = 100 * right / points
    return result
