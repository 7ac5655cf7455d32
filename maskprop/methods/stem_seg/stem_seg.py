"""STEm-Seg: instances of a clip as clusters of its pixels' embeddings, without a detector."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from mmdet.models.mot import BaseMOTModel
from mmdet.registry import MODELS
from mmdet.structures import TrackDataSample
from torch import Tensor

from maskprop.engine.config import ConfigError
from maskprop.engine.num_classes import fill_num_classes
from maskprop.methods.stem_seg.clip_losses import class_losses, embedding_losses
from maskprop.methods.stem_seg.clip_stream import ClipStream, ClipStreamOptions
from maskprop.methods.stem_seg.clip_targets import clip_targets
from maskprop.methods.stem_seg.label_instances import LabelInstances
from maskprop.ops.layout import image_layout

LOSS_WEIGHTS = dict(lovasz=1.0, smoothness=10.0, seediness=1.0, semantic=1.0, foreground=1.0)


@MODELS.register_module()
class StemSeg(BaseMOTModel):
    """STEm-Seg (Athar et al., ECCV 2020): a backbone, an FPN, and two decoders of whole clips.

    Args:
        backbone, neck: configs; levels at strides 4, 8, 16 and 32.
        embedding_head: config of a :class:`~maskprop.methods.stem_seg.clip_decoder.ClipEmbeddingDecoder`.
        class_head: config of a :class:`~maskprop.methods.stem_seg.clip_decoder.ClipClassDecoder`.
        seediness_head: config of a decoder that gives the seediness in place of ``embedding_head``.
        num_classes: of ``class_head`` where it has None. The tools take it from the data set.
        clip_length: frames of a clip, in training and at test.
        loss_weights: of the losses ``lovasz``, ``smoothness``, ``seediness``, ``semantic`` and ``foreground``;
            those left out keep the published ones.
        **options: of :class:`~maskprop.methods.stem_seg.clip_stream.ClipStreamOptions`.

    Raises:
        ConfigError: a value is unknown or out of range.
    """

    FORWARDS = ClipStreamOptions  # whose arguments this class takes too
    takes = staticmethod('backbone_batch'.__eq__)  # and this, whose error says where it is now

    def __init__(
        self,
        *,
        backbone: dict,
        neck: dict,
        embedding_head: dict,
        class_head: dict,
        seediness_head: dict | None = None,
        num_classes: int | None = None,
        clip_length: int = 8,
        loss_weights: Mapping[str, float] | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
        **options: Any,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if 'backbone_batch' in options:
            raise ConfigError('model.backbone_batch is now model.frames_at_once: set it there')
        if unknown := sorted(set(loss_weights or {}) - set(LOSS_WEIGHTS)):
            raise ConfigError(f'model.loss_weights has {unknown}: expected keys of {list(LOSS_WEIGHTS)}')
        fill_num_classes(dict(class_head=class_head), num_classes)
        self.num_classes = num_classes
        self.clip_length = clip_length
        self.loss_weights = {**LOSS_WEIGHTS, **(loss_weights or {})}
        self.stream = ClipStreamOptions(**options)
        self.stream.build_clustering()  # finds a bad key now, not at the first test
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck)
        self.embedding_head = self._build(embedding_head, with_seediness=seediness_head is None)
        self.class_head = self._build(class_head)
        self.seediness_head = self._build(seediness_head) if seediness_head else None

    def _build(self, head: dict, **keywords: Any) -> torch.nn.Module:
        return MODELS.build({**head, **keywords, 'clip_length': self.clip_length})

    def extract_feat(self, images: Tensor) -> tuple[Tensor, ...]:
        """Levels (B, C, H_l, W_l) of images (B, 3, H, W)."""
        return self.neck(self.backbone(image_layout(images)))

    def decode(self, levels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """What the decoders make of clips.

        Args:
            levels: (B, C, T, H_l, W_l) at strides 4, 8, 16 and 32.

        Returns:
            (B, 7, T, H, W): embeddings, log-bandwidths, seediness; (B, K + 2, T, H, W) class logits; at stride 4.
        """
        embeddings = self.embedding_head(levels)
        if self.seediness_head is not None:
            embeddings = torch.cat([embeddings, self.seediness_head(levels)], 1)
        return embeddings, self.class_head(levels)

    def loss(self, inputs: Tensor, data_samples: list[TrackDataSample], **kwargs: Any) -> dict[str, Tensor]:
        """Losses of a batch of clips.

        Args:
            inputs: (B, T, 3, H, W) float, normalised; sides are multiples of 32.
            data_samples: B samples of T frames with ``gt_instances`` (``labels``, ``masks``, ``instances_ids``);
                the masks of ``ignored_instances`` are ignored.

        Returns:
            weighted losses by name.

        Raises:
            ValueError: clips have another length than ``clip_length``, or the images are too small.
        """
        feats = self.extract_feat(inputs.flatten(0, 1))
        levels = [level.unflatten(0, inputs.shape[:2]).transpose(1, 2) for level in feats]
        embeddings, logits = (output.float() for output in self.decode(levels))
        targets = [
            clip_targets(sample.video_data_samples, tuple(inputs.shape[-2:]), inputs.device)
            for sample in data_samples
        ]
        losses = {**embedding_losses(embeddings, targets), **class_losses(logits, targets)}
        return {f'loss_{name}': self.loss_weights[name] * loss for name, loss in losses.items()}

    def count_frame(self, image: Tensor, run: Callable) -> None:
        """Its features, and its share of the decoding of clips; for :mod:`maskprop.apis.model_cost`."""
        feats = run('FPN', self.neck, run('backbone', self.backbone, image))
        levels = [level[:, :, None].expand(-1, -1, self.clip_length, -1, -1) for level in feats]
        for part in ('embedding', 'seediness', 'class'):
            if (head := getattr(self, f'{part}_head')) is not None:
                run(f'{part} decoder', head, levels, frames=self.clip_length - self.stream.clip_overlap)

    def start_video(self, **overrides: Any) -> ClipStream:
        """A new video: a stream that takes its frames one by one and holds all of the video's state.

        Args:
            **overrides: of :class:`~maskprop.methods.stem_seg.clip_stream.ClipStreamOptions`.
        """
        return ClipStream(self, replace(self.stream, **overrides))

    def predict(self, inputs: Tensor, data_samples: list[TrackDataSample], **kwargs: Any) -> list[LabelInstances]:
        """Whole videos in one call: (B, F, 3, H, W) and B samples of F frames."""
        videos = []
        for images, sample in zip(inputs, data_samples, strict=True):
            stream = self.start_video()
            stream.step_chunk(images, [frame.metainfo for frame in sample.video_data_samples])
            stream.finish()
            videos.append(stream.video_instances())
        return videos
