"""Mask2Former-VIS as a model that is streamed: clips of fixed length, linked over the frames that they share."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

from mmdet.models.vis import Mask2FormerVideo
from mmdet.registry import MODELS
from mmdet.structures import TrackDataSample
from torch import Tensor

from maskprop.engine.num_classes import fill_num_classes
from maskprop.methods.mask2former_vis.clip_stream import Mask2FormerStream, Mask2FormerStreamOptions
from maskprop.methods.mask2former_vis.pixel_decoder import DecodedFrames
from maskprop.tracking.video_instances import VideoInstances

NO_OBJECT_WEIGHT = 0.1  # of the class loss, as published


@MODELS.register_module()
class Mask2FormerVIS(Mask2FormerVideo):
    """Mask2Former for video instance segmentation (Cheng et al., 2021), whose weights and losses are mmdet's.

    mmdet's class takes a whole video into memory. Here it is cut into clips (:class:`Mask2FormerStream`); a video
    no longer than a clip has mmdet's result.

    Args:
        backbone, track_head: as of mmdet's ``Mask2FormerVideo``; the head's ``pixel_decoder`` is a
            ``FramePixelDecoder``. ``track_head.num_frames``: of a clip in training.
        num_classes: of ``track_head`` where it has None. The tools take it from the data set.
        **options: of :class:`~maskprop.methods.mask2former_vis.clip_stream.Mask2FormerStreamOptions`.

    Raises:
        ValueError, TypeError: a key is unknown or has a value that it cannot have.
    """

    FORWARDS = Mask2FormerStreamOptions  # whose arguments this class takes too

    def __init__(
        self,
        *,
        backbone: dict,
        track_head: dict,
        num_classes: int | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
        **options: Any,
    ) -> None:
        track_head = deepcopy(track_head)
        fill_num_classes(dict(track_head=track_head), num_classes)
        if track_head['loss_cls'].get('class_weight') is None:
            track_head['loss_cls']['class_weight'] = [1.0] * track_head['num_classes'] + [NO_OBJECT_WEIGHT]
        if track_head['pixel_decoder']['type'] != 'FramePixelDecoder':
            found = track_head['pixel_decoder']['type']
            raise ValueError(f"track_head.pixel_decoder.type={found!r}: expected 'FramePixelDecoder'")
        super().__init__(backbone, track_head, data_preprocessor, init_cfg)
        self.stream = Mask2FormerStreamOptions(**options)
        self.stream.build_linker()  # finds a bad key now, not at the first test

    def loss(self, inputs: Tensor, data_samples: list[TrackDataSample], **kwargs: Any) -> dict[str, Tensor]:
        """Losses of a batch of clips, as mmdet has them.

        Args:
            inputs: (B, F, 3, H, W) float, normalised.
            data_samples: B samples of F frames with ``gt_instances`` (``labels``, ``masks``, ``instances_ids``).

        Raises:
            ValueError: F is not ``track_head.num_frames``.
        """
        if inputs.shape[1] != self.track_head.num_frames:
            raise ValueError(
                f'model.track_head.num_frames={self.track_head.num_frames}, but the training pipeline gives '
                f'{inputs.shape[1]} frames: make them agree'
            )
        return super().loss(inputs, data_samples, **kwargs)

    def decode_frames(self, images: Tensor) -> DecodedFrames:
        """What of T frames (T, 3, H, W) does not depend on the clip."""
        return self.track_head.pixel_decoder(self.backbone(images))

    def decode_clip(self, frames: DecodedFrames) -> tuple[Tensor, Tensor]:
        """Class logits (Q, K + 1) of the queries, and their mask logits (Q, T, H / 4, W / 4)."""
        scores, masks = self.track_head(frames, None)
        return scores[-1][0], masks[-1][0]

    def start_video(self, **overrides: Any) -> Mask2FormerStream:
        """A new video: a stream that takes its frames one by one and holds all of the video's state.

        Args:
            **overrides: of :class:`~maskprop.methods.mask2former_vis.clip_stream.Mask2FormerStreamOptions`.
        """
        return Mask2FormerStream(self, replace(self.stream, **overrides))

    def predict(self, inputs: Tensor, data_samples: list[TrackDataSample], **kwargs: Any) -> list[VideoInstances]:
        """Whole videos in one call: (B, F, 3, H, W) and B samples of F frames."""
        videos = []
        for images, sample in zip(inputs, data_samples, strict=True):
            stream = self.start_video()
            stream.step_chunk(images, [frame.metainfo for frame in sample.video_data_samples])
            stream.finish()
            videos.append(stream.video_instances())
        return videos
