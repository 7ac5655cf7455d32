"""Video Mask R-CNN: a detector of single frames, heads that join its frames, and how a video is streamed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import torch
from mmdet.models.mot import BaseMOTModel
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures import TrackDataSample
from torch import Tensor

from maskprop.engine.num_classes import fill_num_classes
from maskprop.models import model_parts
from maskprop.models.frame_pairs import FramePairs, pair_features
from maskprop.models.view_frames import DEFAULT_STRIDE, FrameEncoder
from maskprop.ops.roi_extractor import wait_once
from maskprop.structures import Frame, FrameDetector, Propagator, VideoHead, View, join_features
from maskprop.tracking.features import FeatureStream
from maskprop.tracking.video_stream import StreamOptions, VideoStream


@MODELS.register_module()
class VideoMaskRCNN(BaseMOTModel):
    """A detector of single frames with heads that join its frames; all share one backbone and detector pass.

    Trained on pairs of frames; the losses of detector and heads are summed. Tested on a stream, see
    :meth:`start_video`.

    Args:
        detector: config of any mmdet two-stage instance-segmentation detector, of RTMDet-Ins, or of a
            :class:`~maskprop.structures.protocols.FrameDetector` with ``backbone`` and ``neck``.
        aggregator: config of what makes a frame's backbone features of those of its neighbours too (STSN), before
            the neck.
        detections: config of detections that are read in place of the detector's at test; see
            :class:`~maskprop.tracking.file_detections.FileDetections`.
        num_classes: of every head that has ``num_classes=None``. The tools take it from the data set.
        detect_on: the detection losses see the ``'key'`` frame of a pair (as in the paper) or ``'both'`` frames.
        frozen: names of the parts that are not trained and stay in evaluation mode, of ``'detector'``,
            ``'aggregator'`` and the heads' keys; a frozen part has no loss.
        merge_iou: detections of one frame whose boxes overlap above this IoU are one instance with several class
            scores: the best-scored one's mask is propagated and linked once. Otherwise they would share one
            object's mass under the softmax. ``None`` never merges (as in the paper).
        mask_paste: masks go into the image at the ``'exact'`` box, or in whole pixels (``'legacy'``, mmdet 1.x).
        **options: heads, and keys of :class:`~maskprop.tracking.video_stream.StreamOptions`, which say how a
            video is streamed. A head is the config of a :class:`~maskprop.structures.protocols.VideoHead` under a
            key that ends in ``_head``, in the order in which they are trained. Four keys have a role at test:
            ``propagation_head`` propagates the masks of clips, unless there is a ``propagator``; final masks are
            those of ``refinement_head`` (``refine``), classes those of ``classification_head`` (``classify``);
            ``history_fill`` asks ``attention_head``. The code of any other is for what ``needs`` it.

    Raises:
        ValueError, TypeError: a key is unknown or has a value that it cannot have, or a part needs one that the
            model lacks.
    """

    FORWARDS = StreamOptions  # whose arguments this class takes too
    takes = staticmethod(model_parts.is_part_or_moved)  # and these

    def __init__(
        self,
        *,
        detector: dict,
        aggregator: dict | None = None,
        detections: dict | None = None,
        num_classes: int | None = None,
        detect_on: str = 'key',
        frozen: Sequence[str] = (),
        merge_iou: float | None = 0.7,
        mask_paste: str = 'exact',
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
        **options: Any,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if detect_on not in ('key', 'both'):
            raise ValueError(f"detect_on={detect_on!r} is unknown; choose 'key' or 'both'")
        heads, self.stream = model_parts.split_options(options)
        fill_num_classes(dict(detector=detector, **heads), num_classes)
        self.num_classes = num_classes
        self.detector = MODELS.build(detector)
        self.aggregator = MODELS.build(aggregator) if aggregator else None
        for name, head in model_parts.build_heads(heads).items():
            self.add_module(name, head)
        self._head_names = tuple(heads)
        wait_once(self)
        self._propagator = TASK_UTILS.build(self.stream.propagator) if self.stream.propagator else None
        self._detections = TASK_UTILS.build(detections) if detections else None
        self.detect_on = detect_on
        self.merge_iou = merge_iou
        self.paste_masks = model_parts.mask_paste(mask_paste, self.frame_detector.mask_threshold)
        model_parts.history_filler(self.heads, self.stream.history_fill)  # finds a bad key now, not after an epoch
        model_parts.check_frozen(frozen, self.heads, self.aggregator is not None)
        self.frozen = tuple(frozen)
        self.freeze_module(self.frozen)

    @property
    def heads(self) -> dict[str, VideoHead]:
        """The heads by their keys."""
        return {name: getattr(self, name) for name in self._head_names}

    @property
    def frame_detector(self) -> FrameDetector:
        """The detector as the model calls it."""
        return model_parts.as_frame_detector(self.detector)

    @property
    def frame_encoder(self) -> FrameEncoder:
        """What makes frames of views."""
        stride = getattr(self.heads.get('propagation_head'), 'stride', DEFAULT_STRIDE)
        return FrameEncoder(self.heads, self.paste_masks, self.merge_iou, stride, self.data_preprocessor)

    @property
    def propagator(self) -> Propagator | None:
        """What propagates masks at test: the one given, else the propagation head; None without either."""
        head: Any = self.heads.get('propagation_head')
        return head if self._propagator is None else self._propagator

    @property
    def reads_detections(self) -> bool:
        """Whether the detections of a test come from a file."""
        return self._detections is not None

    def train(self, mode: bool = True) -> VideoMaskRCNN:
        """Training mode, in which frozen parts stay in evaluation mode."""
        super().train(mode)
        for name in self.frozen:
            getattr(self, name).eval()
        return self

    def loss(self, inputs: Tensor, data_samples: list[TrackDataSample], **kwargs: Any) -> dict[str, Tensor]:
        """Losses of a batch of frame pairs.

        Args:
            inputs: (B, F, 3, H, W) float, normalised; frame 0 is the key frame t, frame 1 is t + delta; with an
                aggregator their support frames follow.
            data_samples: B samples of F frames with ``gt_instances`` (``bboxes``, ``labels``, ``masks``,
                ``instances_ids``).

        Returns:
            named losses of the parts that are not frozen.

        Raises:
            ValueError: samples have other numbers of frames than the heads or the aggregator train on.
        """
        feats: tuple[Tensor, ...] = ()
        frames = inputs.shape[1]
        if model_parts.read_features(self.heads, self.frozen):
            feats, frames = pair_features(self.detector, self.aggregator, inputs)
        model_parts.check_frames(self.heads, frames)
        # frames of a sample are neighbours: index b * frames + f
        samples = [sample for track in data_samples for sample in track.video_data_samples[:frames]]
        losses: dict[str, Tensor] = {}
        proposals = None
        if 'detector' not in self.frozen:
            step = 1 if self.detect_on == 'both' else frames
            losses, found = self.frame_detector.loss(tuple(level[::step] for level in feats), samples[::step])
            proposals = found[:: frames // step]
        pairs = FramePairs(
            detector=self.frame_detector,
            feats=feats,
            samples=samples,
            inputs=inputs[:, :frames],
            proposals=proposals,
        )
        for name, head in self.heads.items():
            if name not in self.frozen:
                losses.update(head.loss(pairs))
        return losses

    def start_video(self, **overrides: Any) -> VideoStream:
        """A new video: a stream that takes its frames one by one and holds all of the video's state.

        Args:
            **overrides: of :class:`~maskprop.tracking.video_stream.StreamOptions`; a linker or propagator of None
                is the model's own.

        Raises:
            ValueError: a part needs a head that the model lacks, or the parts do not go together.
        """
        own = {key for key in ('linker', 'propagator') if overrides.get(key) is None}
        options = replace(self.stream, **{key: overrides[key] for key in overrides.keys() - own})
        propagator = self.propagator if 'propagator' in own else TASK_UTILS.build(options.propagator)
        return model_parts.start_stream(self, self.heads, options, propagator)

    def check_classes(self, classes: Sequence[str]) -> None:
        """Raise ValueError if detections are read from a file and are of other classes than a data set's."""
        if self._detections is not None:
            self._detections.check_classes(classes)

    def start_features(self, frames_at_once: int = 1) -> FeatureStream:
        """The features of a new video, for :meth:`encode`; a stream has its own."""
        return FeatureStream(self.detector, self.aggregator, frames_at_once)

    @torch.no_grad()
    def encode(
        self, view: View, *, needs: Collection[str] | None = None, instances: list[dict] | None = None
    ) -> Frame:
        """Everything that a stream keeps of a frame: its codes, detections, soft stride masks and final masks.

        Args:
            view: of :meth:`start_features`.
            needs: keys of the heads whose codes are wanted, and ``'image'``; ``None``: all codes, no image.
            instances: annotations that take the place of the detections; see :meth:`FrameEncoder.from_instances`.
        """
        if instances is not None:
            return self.frame_encoder.from_instances(view, instances, needs=needs)
        return self.encode_batch([view], needs=needs)[0]

    @torch.no_grad()
    def encode_batch(self, views: Sequence[View], *, needs: Collection[str] | None = None) -> list[Frame]:
        """:meth:`encode` of B frames of one video, which go through the detector and the heads together."""
        encoder, metas = self.frame_encoder, [view.meta for view in views]
        if self._detections is None:
            feats = join_features(views)
            return encoder.from_batch(views, feats, self.frame_detector.detect(feats, metas), needs)
        known = zip(views, map(self._detections.instances, metas), strict=True)
        return [encoder.from_instances(view, found, self.merge_iou, needs) for view, found in known]

    def predict(self, inputs: Tensor, data_samples: list[TrackDataSample], **kwargs: Any) -> list:
        """Whole videos in one call: (B, F, 3, H, W) and B samples of F frames to B ``VideoInstances``."""
        videos = []
        for images, sample in zip(inputs, data_samples, strict=True):
            stream = self.start_video()
            stream.step_chunk(images, [frame.metainfo for frame in sample.video_data_samples])
            stream.finish()
            videos.append(stream.video_instances())
        return videos
