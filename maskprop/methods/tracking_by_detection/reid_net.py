"""Appearance embeddings of crops, for DeepSORT: mmdet's ``BaseReID`` without the package that one needs.

mmdet's ``BaseReID``, ``LinearReIDHead`` and ``ReIDDataPreprocessor`` refuse to be built without mmpretrain. Here
the same net is put together from what mmdet has itself, its weights under the same names: published ones fit.
"""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models.reid.fc_module import FcModule
from mmdet.registry import MODELS
from mmdet.structures import ReIDDataSample
from mmengine.model import BaseModel, BaseModule, ImgDataPreprocessor
from torch import Tensor, nn


@MODELS.register_module()
class CropPreprocessor(ImgDataPreprocessor):
    """Normalises crops as mmengine's ``ImgDataPreprocessor``: B samples of (N, 3, h, w) make (B N, 3, h, w)."""

    def forward(self, data: dict, training: bool = False) -> dict:
        crops = [crop for sample in data['inputs'] for crop in sample]
        return super().forward({**data, 'inputs': crops}, training)


@MODELS.register_module()
class ReIDHead(BaseModule):
    """Fully connected layers to an embedding, with a triplet loss and, optionally, a classifier of identities.

    Args:
        in_channels, fc_channels, out_channels: of the input, the hidden layers and the embedding.
        num_fcs: hidden layers.
        num_classes: for ``loss_cls``: as many as the training set has identities, or more.
        norm_cfg, act_cfg: of the hidden layers.
        loss_triplet: between the crops of a batch, which must hold several of some identities.
        loss_cls: of a classifier of the identities on top; ``None``: no classifier.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        fc_channels: int,
        out_channels: int,
        num_fcs: int = 1,
        num_classes: int | None = None,
        norm_cfg: dict | None = None,
        act_cfg: dict | None = None,
        loss_triplet: dict | None = None,
        loss_cls: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type='Normal', layer='Linear', mean=0, std=0.01, bias=0))
        if loss_cls and num_classes is None:
            raise ValueError('loss_cls classifies identities: set num_classes to how many the set has, or more')
        self.out_channels = out_channels
        self.num_classes = num_classes
        widths = [in_channels, *[fc_channels] * num_fcs]
        act_cfg = act_cfg or dict(type='ReLU')
        layers = zip(widths[:-1], widths[1:], strict=True)
        self.fcs = nn.ModuleList(FcModule(a, b, norm_cfg, act_cfg) for a, b in layers)
        self.fc_out = nn.Linear(widths[-1], out_channels)
        self.loss_triplet = MODELS.build(loss_triplet) if loss_triplet else None
        self.loss_cls = MODELS.build(loss_cls) if loss_cls else None
        if self.loss_cls is not None:
            self.bn = nn.BatchNorm1d(out_channels)
            self.classifier = nn.Linear(out_channels, num_classes)

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """(N, out_channels) embeddings, not normalised, of the last of the (N, in_channels) levels."""
        x = feats[-1]
        for fc in self.fcs:
            x = fc(x)
        return self.fc_out(x)

    def loss(self, feats: tuple[Tensor, ...], labels: Tensor) -> dict[str, Tensor]:
        """``triplet_loss`` and ``ce_loss``, those that are configured.

        Args:
            feats: levels of (N, in_channels). labels: (N,) long, the identities.
        """
        embeds = self(feats)
        losses = {}
        if self.loss_triplet is not None:
            losses['triplet_loss'] = self.loss_triplet(embeds, labels)
        if self.loss_cls is not None:
            if labels.max() >= self.num_classes:
                raise ValueError(f'an identity is {int(labels.max())}, but head.num_classes is {self.num_classes}')
            losses['ce_loss'] = self.loss_cls(self.classifier(self.bn(embeds)), labels)
        return losses


@MODELS.register_module()
class ReIDNet(BaseModel):
    """Backbone, pooling and head over crops of single objects.

    Args:
        backbone, neck, head: their configs.
    """

    def __init__(
        self,
        *,
        backbone: dict,
        neck: dict,
        head: dict,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck)
        self.head = MODELS.build(head)

    def forward(
        self, inputs: Tensor, data_samples: list[ReIDDataSample] | None = None, mode: str = 'tensor'
    ) -> Any:
        """Embeddings, losses or predictions.

        Args:
            inputs: (N, 3, h, w) float, normalised crops.
            data_samples: with N identities in all; needed for ``'loss'`` and ``'predict'``.
            mode: ``'tensor'``: (N, E) float; ``'loss'``: a dict of losses; ``'predict'``: the samples, one for
                each crop, with ``pred_feature``.
        """
        feats = self.neck(self.backbone(inputs))
        data_samples = data_samples or []
        if mode == 'loss':
            labels = torch.cat([sample.gt_label.label for sample in data_samples]).to(inputs.device)
            return self.head.loss(feats, labels)
        embeds = self.head(feats)
        if mode == 'tensor':
            return embeds
        if mode != 'predict':
            raise ValueError(f"mode={mode!r} is unknown; choose 'tensor', 'loss' or 'predict'")
        for sample, embed in zip(data_samples, embeds, strict=True):
            sample.pred_feature = embed
        return data_samples
