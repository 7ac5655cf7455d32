"""A classifier of crops: the head over a ``ReIDNet``'s backbone, and its accuracy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.registry import METRICS, MODELS
from mmdet.structures import ReIDDataSample
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModule
from torch import Tensor, nn


@MODELS.register_module()
class CropClassHead(BaseModule):
    """One linear layer, and cross-entropy; the head of a ``ReIDNet`` that classifies.

    Args:
        in_channels: of the pooled features. num_classes: of the data set, and one more for false detections.
        loss: config of the loss.

    Attributes:
        out_channels: ``num_classes``.
    """

    def __init__(
        self, *, in_channels: int, num_classes: int, loss: dict | None = None, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg or dict(type='Normal', layer='Linear', mean=0, std=0.01, bias=0))
        self.out_channels = num_classes
        self.fc = nn.Linear(in_channels, num_classes)
        self.loss_cls = MODELS.build(loss or dict(type='CrossEntropyLoss'))

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """(N, num_classes) logits, of the last of the (N, in_channels) levels."""
        return self.fc(feats[-1])

    def loss(self, feats: tuple[Tensor, ...], labels: Tensor) -> dict[str, Tensor]:
        """``ce_loss``, and ``accuracy`` of the batch, a share; labels: (N,) long.

        Raises:
            ValueError: a label is no class of the head.
        """
        if labels.max() >= self.out_channels:
            raise ValueError(f'a class is {int(labels.max())}, but head.num_classes is {self.out_channels}')
        logits = self(feats)
        accuracy = (logits.argmax(1) == labels).float().mean()
        return dict(ce_loss=self.loss_cls(logits, labels), accuracy=accuracy)


@METRICS.register_module()
class CropAccuracy(BaseMetric):
    """The share of crops whose class is found, ``crops/accuracy``, and its mean over classes."""

    default_prefix = 'crops'

    def process(self, data_batch: dict, data_samples: Sequence[ReIDDataSample | dict]) -> None:
        """Take the crops of a batch, with ``pred_feature``, the logits."""
        for sample in data_samples:
            logits, label = sample['pred_feature'], sample['gt_label']['label']
            self.results.append((int(label), int(logits.argmax()) == int(label)))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """The two shares."""
        labels, right = (torch.tensor(column) for column in zip(*results, strict=True))
        by_class = [right[labels == label].float().mean() for label in labels.unique()]
        return dict(accuracy=float(right.float().mean()), class_accuracy=float(torch.stack(by_class).mean()))
