"""FEELVOS (Voigtlaender et al., CVPR 2019) as a head of the video model: its network, training and propagation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from maskprop.methods.feelvos.hard_pixels import IGNORED, hard_share, hardest_pixel_loss
from maskprop.methods.feelvos.matching import (
    Reference,
    distances_to,
    global_distances,
    local_distances,
    make_reference,
    nearest_in_window,
    nearest_references,
    normalise,
    subsample_labels,
)
from maskprop.methods.feelvos.network import ASPP, Decoder, Embedding, ObjectHead, resize
from maskprop.methods.feelvos.object_tracker import BACKGROUND, FEELVOSTracker, FrameFeatures
from maskprop.structures import Detections, Frame, FramePairs, View
from maskprop.tracking.object_walk import walk_outwards

KEY = 'propagation_head'  # under which it propagates the masks of clips


@MODELS.register_module()
class FEELVOSHead(BaseModule):
    """Segments the objects of a reference and a previous frame in the next one, all in one pass.

    DeepLabv3+ features and an embedding of each frame (:meth:`encode_features`); the distances of its cells to
    each object's in the reference frame and in the previous one; and a small network that makes a logit of them,
    once for each object and the background (:meth:`segment`).

    Under the key ``propagation_head`` it propagates the masks of clips; under any key it serves a
    :class:`~maskprop.tracking.propagated_mask_linker.PropagatedMaskLinker`. It trains on samples of three frames,
    reference, previous and current one, or of two, where the reference is the previous one too.

    Args:
        backbone: config of an mmdet backbone whose first output has stride 4 and whose last is the ASPP's input;
            None: levels 0 and 1 of the model's own FPN.
        in_channels, low_channels: of that last and that first output.
        channels, low_width: of ASPP and decoder, and of the low-level features in it.
        dilations: of the ASPP; (12, 24, 36) for a last output of stride 8, (6, 12, 18) for 16.
        embed_channels: of the embedding.
        head_channels, num_convs: of the network of each object.
        radius: cells of the local matching's window, in each direction.
        max_reference_cells: of each object in training, drawn at random; None: all.
        min_reference_cells: objects with fewer cells in the reference frame are not trained on.
        last_share, share_steps: the share of hardest pixels that the loss counts falls linearly from 1 to
            ``last_share`` in so many steps.
        dropout: after the ASPP.
        norm_cfg: of ASPP and decoder. norm_eval: their batch norm stays as it was loaded, as in the released code.
    """

    needs = (KEY,)
    stride = 4  # pixels of a cell
    trains_on = (2, 3)  # frames of a sample

    def __init__(
        self,
        *,
        backbone: dict | None,
        in_channels: int = 2048,
        low_channels: int = 256,
        channels: int = 256,
        low_width: int = 48,
        dilations: Sequence[int] = (12, 24, 36),
        embed_channels: int = 100,
        head_channels: int = 256,
        num_convs: int = 4,
        radius: int = 15,
        max_reference_cells: int | None = 1024,
        min_reference_cells: int = 10,
        last_share: float = 0.15,
        share_steps: int = 100_000,
        dropout: float = 0.1,
        norm_cfg: dict | None = None,
        norm_eval: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if not 0 < last_share <= 1:
            raise ValueError(f'last_share={last_share}: expected a share of the pixels, above 0 and at most 1')
        if radius < 0:
            raise ValueError(f'radius={radius}: expected 0 or more cells')
        self.radius = radius
        self.max_reference_cells = max_reference_cells
        self.min_reference_cells = min_reference_cells
        self.last_share = last_share
        self.share_steps = share_steps
        self.norm_eval = norm_eval
        self.backbone = MODELS.build(backbone) if backbone else None
        self.aspp = ASPP(in_channels, channels, dilations, norm_cfg)
        self.dropout = nn.Dropout(dropout)
        self.decoder = Decoder(channels, low_channels, low_width, norm_cfg)
        self.embedding = Embedding(channels, embed_channels)
        self.object_head = ObjectHead(channels, head_channels, num_convs)
        self.register_buffer('steps', torch.zeros((), dtype=torch.long))  # taken in training, for the share

    @property
    def reads_features(self) -> bool:
        """Whether it trains on the detector's features."""
        return self.backbone is None

    def init_weights(self) -> None:
        """The released code's: truncated normals, and the identity in the embedding."""
        super().init_weights()
        self.embedding.init_weights()
        self.object_head.init_weights()

    def train(self, mode: bool = True) -> FEELVOSHead:
        """Training mode, in which batch norm may stay as it is."""
        super().train(mode)
        if self.norm_eval:
            for part in (self.aspp, self.decoder):
                for module in part.modules():
                    if isinstance(module, _BatchNorm):
                        module.eval()
        return self

    def encode(self, view: View, instances: Detections) -> FrameFeatures:
        """The code of a frame; it does not depend on its instances."""
        features, embedding = self.encode_features(*self._levels(view.image, view.feats))
        return FrameFeatures(features[0], embedding[0], view.shape)

    def encode_batch(
        self, feats: Sequence[Tensor], views: Sequence[View], instances: Sequence[Detections]
    ) -> list[FrameFeatures]:
        """:meth:`encode` of several frames."""
        images = torch.cat([view.image for view in views])
        codes = zip(*self.encode_features(*self._levels(images, feats)), views, strict=True)
        return [FrameFeatures(features, embedding, view.shape) for features, embedding, view in codes]

    def _levels(self, images: Tensor, feats: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The low-level and the high-level map of B images, or of their FPN levels."""
        levels = feats[:2] if self.backbone is None else self.backbone(images)
        return levels[0], levels[-1]

    def encode_features(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Features and embeddings of B frames.

        Args:
            low: (B, C_low, h, w), at stride 4. high: (B, C_high, h', w').

        Returns:
            (B, C, h, w) and (B, E, h, w).
        """
        features = self.decoder(self.dropout(self.aspp(high)), low)
        return features, self.embedding(features)

    def segment(
        self,
        code: FrameFeatures,
        references: Sequence[Reference],
        previous: Tensor,
        labels: Tensor,
        objects: Sequence[int],
    ) -> Tensor:
        """Logits of K objects in a frame, the background among them.

        Args:
            code: of the frame. references: the objects' cells.
            previous: (E, h, w), embedding of the frame before. labels: (h, w) integer, its objects.
            objects: K labels.

        Returns:
            (K, h, w) float.
        """
        found = global_distances(code.embedding, references, objects)
        near = local_distances(code.embedding, previous, labels, objects, self.radius)
        return self.object_head(self._inputs(code.features, found, near, labels, objects))

    def _inputs(
        self, features: Tensor, found: Tensor, near: Tensor, labels: Tensor, objects: Sequence[int]
    ) -> Tensor:
        """(K, C + 3, h, w): features, global distance, previous mask as 0 and 1, local distance."""
        masks = labels == torch.tensor(objects, device=labels.device).view(-1, 1, 1)
        return self.object_head.inputs(features, normalise(found), masks, normalise(near))

    def frame_products(self, image: Tensor, feats: Sequence[Tensor], objects: int) -> Tensor:
        """What a frame costs at test: the same products, by shape, on the meta device.

        Args:
            image: (1, 3, H, W). feats: levels of the FPN. objects: N, all of one reference frame.
        """
        features, embedding = self.encode_features(*self._levels(image, feats))
        height, width = embedding.shape[-2:]
        cells = embedding[0].flatten(1)
        cells.T @ cells  # global: all cells with all of the reference frame
        rows = embedding[0].permute(1, 2, 0)
        window = rows.new_empty(height, len(cells), width + 2 * self.radius)
        for _ in range(2 * self.radius + 1):
            rows @ window
        maps = features.new_empty(objects + 1, height, width)
        return self.object_head(self.object_head.inputs(features[0], maps, maps, maps))

    def start_objects(self) -> FEELVOSTracker:
        """The objects of a new video."""
        return FEELVOSTracker(self)

    def propagate(self, source: Frame, targets: Sequence[Frame]) -> Tensor:
        """(S, N, H, W): the soft masks of the source's N instances in S frames in video order."""
        return walk_outwards(self, KEY, source, targets)

    # -- training

    def loss(self, pairs: FramePairs) -> dict[str, Tensor]:
        """``loss_feelvos``, the mean over the samples: the objects of the first frame, segmented in the last one.

        The previous frame's labels are the true ones. Objects that the reference frame does not show are
        background; those that it hardly shows are left out, and so are their pixels.
        """
        frames = pairs.inputs.shape[1]
        levels = self._levels(pairs.inputs.flatten(0, 1), pairs.feats)
        features, embeddings = self.encode_features(*levels)
        share = hard_share(int(self.steps), self.last_share, self.share_steps)
        total = 0 * sum(p.sum() for p in self.parameters() if p.requires_grad)  # also without any object
        for first in range(0, len(pairs.samples), frames):
            labels = known_labels([label_map(s, pairs) for s in pairs.samples[first : first + frames]])
            places = [0, frames - 2, frames - 1]  # reference, previous, current
            logits, objects = self.train_logits(
                features[first + frames - 1],
                [embeddings[first + place] for place in places],
                labels[0],
                labels[frames - 2],
            )
            if len(objects) > 1:
                target = as_target(labels[-1], objects, pairs.samples[first + frames - 1].img_shape)
                total = total + hardest_pixel_loss(resize(logits[None], target.shape)[0], target, share)
        if self.training:
            self.steps += 1
        return dict(loss_feelvos=total / len(pairs.inputs))

    def train_logits(
        self, features: Tensor, embeddings: Sequence[Tensor], reference: Tensor, previous: Tensor
    ) -> tuple[Tensor, list[int]]:
        """Logits with gradients, and the objects they are of.

        Args:
            features: (C, h, w), of the current frame.
            embeddings: three (E, h, w): of the reference, the previous and the current frame.
            reference, previous: (H, W) long, label maps of these frames.

        Returns:
            (K, h, w) float; K labels, the background first.
        """
        cells = features.shape[-2:]
        reference, previous = (subsample_labels(labels, cells) for labels in (reference, previous))
        found, counts = reference[reference > BACKGROUND].unique(return_counts=True)
        objects = [BACKGROUND, *found[counts >= self.min_reference_cells].tolist()]
        first, before, now = embeddings
        with torch.no_grad():
            known = make_reference(first, reference, objects, self.max_reference_cells)
            nearest = nearest_references(now, known, objects)
            near = nearest_in_window(now, before, previous, objects, self.radius)
        distances = distances_to(now, first, nearest), distances_to(now, before, near)
        return self.object_head(self._inputs(features, *distances, previous, objects)), objects


def label_map(sample: DetDataSample, pairs: FramePairs) -> Tensor:
    """(H, W) long: each pixel's instance id plus 1, 0 for the background; smaller objects lie on top."""
    found = sample.gt_instances
    masks = found.masks.to_tensor(torch.bool, pairs.inputs.device)
    labels = torch.full(pairs.input_shape, BACKGROUND, device=pairs.inputs.device)
    order = masks.flatten(1).sum(1).argsort(descending=True).tolist() if len(masks) else []
    ids = found.instances_ids.tolist()
    for row in order:
        labels[masks[row]] = ids[row] + 1  # ids may begin at 0
    return labels


def known_labels(labels: Sequence[Tensor]) -> list[Tensor]:
    """Label maps of a sample's frames in which what the first one does not show is background."""
    shown = labels[0].unique()
    return [frame.masked_fill(~torch.isin(frame, shown), BACKGROUND) for frame in labels]


def as_target(labels: Tensor, objects: Sequence[int], shown: Sequence[int]) -> Tensor:
    """(H, W) long: the rows of ``objects``, ``IGNORED`` for others and in the padding beyond ``shown``."""
    target = torch.full_like(labels, IGNORED)
    for row, label in enumerate(objects):
        target[labels == label] = row
    target[shown[0] :] = IGNORED
    target[:, shown[1] :] = IGNORED
    return target
