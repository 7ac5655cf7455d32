"""Nets over the crops of a frame's detections: embeddings for merging, and classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from maskprop.engine.config import ConfigError
from maskprop.methods.ensemble_vis.windows import LEAST_SIDE, context_windows, crop
from maskprop.structures import Detections, FramePairs, PerInstance, View


@MODELS.register_module()
class CropEmbeddingHead(BaseModule):
    """Embeds the crop of each detection with a net that was trained on crops; frozen.

    Args:
        net: config of a ``ReIDNet``, whose ``data_preprocessor`` normalises as the model's does.
        crop_size: (height, width) in pixels.
        context: width and height of a crop in units of the box's.
        chunk: crops at a time; bounds memory.
        letter: windows and resizing as in PReMVOS's test; crops of 10 pixels or less are black.
    """

    joins_frames = False
    reads_features = False

    def __init__(
        self,
        *,
        net: dict,
        crop_size: tuple[int, int],
        context: float = 1.2,
        chunk: int = 32,
        letter: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.net = MODELS.build(net)
        self.crop_size = tuple(crop_size)
        self.context = context
        self.chunk = chunk
        self.letter = letter

    def init_weights(self) -> None:
        """Load the net's weights, which a training of its own has made.

        Raises:
            ConfigError: their file is missing.
        """
        checkpoint = (self.net.init_cfg or {}).get('checkpoint')
        if checkpoint and '://' not in checkpoint and not Path(checkpoint).is_file():
            raise ConfigError(
                f'{type(self).__name__}.net.init_cfg.checkpoint: {checkpoint}: no such file; train the net first '
                '(docs/methods/ensemble_vis.md), or name the file that has its weights'
            )
        super().init_weights()

    @torch.no_grad()
    def encode(self, view: View, instances: Detections) -> PerInstance:
        """What the net gives of a frame's N detections, (N, E) float32."""
        height, width = view.meta['img_shape'][:2]
        return PerInstance(self.embed(view.image[0, :, :height, :width], instances.boxes))

    def embed(self, image: Tensor, boxes: Tensor) -> Tensor:
        """(N, E) float32.

        Args:
            image: (3, H, W) float, normalised, without padding. boxes: (N, 4) float, in its pixels.
        """
        windows = context_windows(boxes, image.shape[1:], self.context, 'test' if self.letter else None)
        crops = crop(image, windows, self.crop_size, self.letter)
        if self.letter:
            preprocessor = self.net.data_preprocessor
            small = (windows[:, 2:] - windows[:, :2] <= LEAST_SIDE).any(1)
            crops[small] = (-preprocessor.mean / preprocessor.std).to(crops)
        found = [self.net(part, mode='tensor').float() for part in crops.split(self.chunk)]
        return torch.cat(found) if found else boxes.new_zeros((0, self.net.head.out_channels))

    def loss(self, pairs: FramePairs) -> dict[str, Tensor]:
        """Raise ConfigError: a net of crops is trained by a config of its own."""
        raise ConfigError(
            f'model.frozen: {type(self).__name__} has no loss on frames; add its key to frozen, and train its net '
            'by a config of its own (docs/methods/ensemble_vis.md)'
        )


@MODELS.register_module()
class CropClassificationHead(CropEmbeddingHead):
    """Classifies the crop of each detection; stands under ``classification_head``, whose classes a stream takes.

    A detection's score of a class is its own score times the class's probability.

    Args:
        top: so many classes of each detection are kept.
        min_probability: less probable ones are not; the most probable one always is.
        background: the net has one class more, the last one, for false detections, which is left out.
        num_classes: of the data set.
        **kwargs: of :class:`CropEmbeddingHead`; the net's head gives logits.

    Raises:
        ConfigError: the net has another number of classes.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        top: int = 10,
        min_probability: float = 1e-3,
        background: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (found := self.net.head.out_channels) != num_classes + background:
            raise ConfigError(
                f'model.classification_head.net.head.num_classes is {found}, but the data set has {num_classes} '
                f'classes, and background={background}: train a net with {num_classes + background}'
            )
        self.top = top
        self.min_probability = min_probability
        self.background = background

    @torch.no_grad()
    def encode(self, view: View, instances: Detections) -> PerInstance:
        """N dicts ``{label: score}``, the best-scored class first."""
        probabilities = super().encode(view, instances).values.softmax(1).cpu()
        if self.background:
            probabilities = probabilities[:, :-1]
        best, labels = probabilities.topk(min(self.top, probabilities.shape[1]), dim=1)
        return PerInstance(
            [
                {
                    label: score * p
                    for rank, (label, p) in enumerate(zip(own_labels, own, strict=True))
                    if rank == 0 or p >= self.min_probability
                }
                for score, own, own_labels in zip(
                    instances.scores.tolist(), best.tolist(), labels.tolist(), strict=True
                )
            ]
        )
