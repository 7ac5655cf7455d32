"""Video Mask R-CNN: a two-stage detector with optional heads that join its frames.

The heads: mask propagation (MaskProp, Section 4.1), mask refinement (Section 4.4), track embeddings (MaskTrack
R-CNN), inter-frame attention (ObjProp, Section 2.2). All share one backbone and detector pass of a frame.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from mmdet.models.mot import BaseMOTModel
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures import DetDataSample, TrackDataSample
from torch import Tensor

from maskprop.tracking.features import FeatureStream, View, pair_features
from maskprop.models.frame_detector import (
    detect,
    detection_loss,
    mask_threshold,
    predict_gt_masks,
    propose,
)
from maskprop.models.frame_pairs import predict_stride_masks, propagation_loss, track_loss
from maskprop.models.view_frames import FIELDS, frame_from_detections, frame_from_instances
from maskprop.methods.masktrack_rcnn.legacy_paste import paste_legacy_masks
from maskprop.ops.masks import paste_binary_masks
from maskprop.methods.objprop.history_filler import HistoryFiller
from maskprop.tracking.video_stream import Frame, VideoStream

PARTS = ('detector', 'aggregator', 'propagation_head', 'refinement_head', 'track_head', 'attention_head')
PAIR_HEADS = ('propagation_head', 'track_head', 'attention_head')  # they train on pairs of frames
MASK_SOURCES = ('predicted', 'ground_truth')
MASK_PASTES = {'exact': paste_binary_masks, 'legacy': paste_legacy_masks}


@MODELS.register_module()
class VideoMaskRCNN(BaseMOTModel):
    """A two-stage instance-segmentation detector with optional heads that join its frames.

    Trained on pairs of frames; the losses of detector and heads are summed. Tested on a stream, see
    :meth:`start_video`.

    Args:
        detector: config of any mmdet two-stage instance-segmentation detector.
        aggregator: config of what makes a frame's backbone features of those of its neighbours too (STSN), before
            the neck.
        propagation_head: config of MaskProp's mask propagation branch.
        refinement_head: config of the high-resolution refinement of the detections' masks (Section 4.4). Only the
            final masks are refined, not those that are propagated or filled.
        track_head: config of MaskTrack R-CNN's track head, mmdet's ``RoITrackHead`` with an embed head.
        attention_head: config of ObjProp's inter-frame attention head.
        propagator: config of what takes the branch's place at test (a baseline); ``None``: the branch.
        detections: config of detections that are read in place of the detector's at test; see
            :class:`~maskprop.tracking.file_detections.FileDetections`.
        linker: config of the linker that gives clip tracks their video-level ids.
        mask_source: which instance masks training propagates: ``'predicted'`` by the mask head at the
            ground-truth boxes, as imperfect as at test, or ``'ground_truth'``.
        detach_masks: no gradient from the branch into the mask head.
        detect_on: the detection losses see the ``'key'`` frame of a pair (the letter) or ``'both'`` frames.
        frozen: names of the parts that are not trained and stay in evaluation mode, of ``'detector'`` and the
            heads' keys; a frozen part has no loss.
        clip_radius: T; clips have 2 T + 1 frames.
        merge_iou: detections of one frame whose boxes overlap above this IoU are one instance with several class
            scores: the best-scored one's mask is propagated and linked once. Otherwise they would share one
            object's mass under the softmax. ``None`` never merges (the letter).
        output_mask: the final mask at t is the ``'detection'``'s or the ``'propagated'`` one at offset 0.
        mask_paste: masks go into the image at the ``'exact'`` box, or in whole pixels (``'legacy'``, mmdet 1.x).
        fill: fill frames in which the detector missed an object from its id's clips (not in the paper).
        history_fill: keyword arguments of a :class:`~maskprop.methods.objprop.history_filler.HistoryFiller`, which
            fills missed objects with the attention head, online; ``None``: no such filling.
        score_rule: an id's scores, see :class:`~maskprop.tracking.video_instances.VideoInstances`.
        min_frames: ids that are present in fewer frames are left out of the result.
        backbone_batch: at test so many frames go through backbone and neck at once. On a GPU more than one is
            faster; results come out up to ``backbone_batch - 1`` frames later.

    Raises:
        ValueError: a key has a value that it cannot have, ``history_fill`` is set without an attention head, or
            ``frozen`` names a part that the model lacks or leaves the aggregator without a loss.
    """

    def __init__(
        self,
        *,
        detector: dict,
        aggregator: dict | None = None,
        propagation_head: dict | None = None,
        refinement_head: dict | None = None,
        track_head: dict | None = None,
        attention_head: dict | None = None,
        propagator: dict | None = None,
        detections: dict | None = None,
        linker: dict | None = None,
        mask_source: str = 'predicted',
        detach_masks: bool = True,
        detect_on: str = 'key',
        frozen: Sequence[str] = (),
        clip_radius: int = 6,
        merge_iou: float | None = 0.7,
        output_mask: str = 'detection',
        mask_paste: str = 'exact',
        fill: bool = False,
        history_fill: dict | None = None,
        score_rule: str = 'with_category',
        min_frames: int = 1,
        backbone_batch: int = 1,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        _check_options(mask_source, detect_on, mask_paste, backbone_batch)
        self.backbone_batch = backbone_batch
        self.detector = MODELS.build(detector)
        self.aggregator = MODELS.build(aggregator) if aggregator else None
        self.propagation_head = MODELS.build(propagation_head) if propagation_head else None
        self.refinement_head = MODELS.build(refinement_head) if refinement_head else None
        self.track_head = MODELS.build(track_head) if track_head else None
        self.attention_head = MODELS.build(attention_head) if attention_head else None
        self._propagator = TASK_UTILS.build(propagator) if propagator else None
        self._detections = TASK_UTILS.build(detections) if detections else None
        self.linker_cfg = linker or dict(type='ClipLinker')
        self.mask_source = mask_source
        self.detach_masks = detach_masks
        self.detect_on = detect_on
        self.merge_iou = merge_iou
        self.mask_threshold = mask_threshold(self.detector)
        self.paste_masks = partial(MASK_PASTES[mask_paste], threshold=self.mask_threshold)
        self.history_fill = history_fill
        if history_fill is not None:
            self._history_filler(history_fill)  # a bad key is found now, not after an epoch
        self.stream_cfg = dict(
            clip_radius=clip_radius,
            fill=fill,
            output_mask=output_mask,
            refine=self.refinement_head is not None,
            score_rule=score_rule,
            min_frames=min_frames,
        )
        self._freeze(frozen)

    @property
    def propagator(self) -> Any:
        """What propagates masks at test: the one given, else the branch; None without either."""
        return self.propagation_head if self._propagator is None else self._propagator

    @property
    def reads_detections(self) -> bool:
        """Whether the detections of a test come from a file."""
        return self._detections is not None

    def _freeze(self, names: Sequence[str]) -> None:
        parts = [name for name in PARTS if getattr(self, name) is not None]
        unknown = [name for name in names if name not in parts]
        if isinstance(names, str) or unknown:
            raise ValueError(f'frozen={names!r}: expected a list of parts that the model has, of {parts}')
        self.frozen = tuple(names)
        self.freeze_module(self.frozen)
        if self._trains('aggregator') and not any(map(self._trains, ('detector', *PAIR_HEADS))):
            raise ValueError(
                f'frozen={self.frozen} leaves the aggregator without a loss: freeze it too, or train one of '
                f'{("detector", *PAIR_HEADS)}'
            )

    def train(self, mode: bool = True) -> VideoMaskRCNN:
        """Training mode, in which frozen parts stay in evaluation mode."""
        super().train(mode)
        for name in self.frozen:
            getattr(self, name).eval()
        return self

    # -- training

    def loss(self, inputs: Tensor, data_samples: list[TrackDataSample], **kwargs) -> dict[str, Tensor]:
        """Losses of a batch of frame pairs.

        Args:
            inputs: (B, F, 3, H, W) float, normalised; frame 0 is the key frame t, frame 1 is t + delta; with an
                aggregator their support frames follow.
            data_samples: B samples of F frames with ``gt_instances`` (``bboxes``, ``labels``, ``masks``,
                ``instances_ids``).

        Returns:
            named losses of the parts that are not frozen; ``loss_prop`` is the propagation branch's (Eq. 2).

        Raises:
            ValueError: samples have other numbers of frames than the heads or the aggregator train on.
        """
        feats, frames = pair_features(self.detector, self.aggregator, inputs)
        if frames != 2 and any(getattr(self, name) is not None for name in PAIR_HEADS):
            names = [name for name in PAIR_HEADS if getattr(self, name) is not None]
            raise ValueError(f'{", ".join(names)} trains on pairs of frames, but samples have {frames}')
        # frames of a sample are neighbours: index b * frames + f
        samples = [sample for track in data_samples for sample in track.video_data_samples[:frames]]
        losses = {}
        proposals = None
        if 'detector' not in self.frozen:
            step = 1 if self.detect_on == 'both' else frames
            losses, found = detection_loss(self.detector, tuple(level[::step] for level in feats), samples[::step])
            proposals = found[:: frames // step]
        key_feats, keys = tuple(level[::frames] for level in feats), samples[::frames]
        if self._trains('propagation_head'):
            losses['loss_prop'] = self._propagation_loss(feats, samples, inputs.shape[-2:])
        if self._trains('refinement_head'):
            losses.update(self._refinement_loss(key_feats, keys, inputs[:, 0]))
        if self._trains('track_head'):
            if proposals is None:
                proposals = propose(self.detector, key_feats, [sample.metainfo for sample in keys])
            losses.update(track_loss(self.track_head, feats, proposals, samples))
        if self._trains('attention_head'):
            codes = self.attention_head.encode(feats)
            losses.update(
                self.attention_head.loss(codes[::2], codes[1::2], keys, samples[1::2], tuple(inputs.shape[-2:]))
            )
        return losses

    def _trains(self, part: str) -> bool:
        return getattr(self, part) is not None and part not in self.frozen

    def _propagation_loss(
        self, feats: tuple[Tensor, ...], samples: list[DetDataSample], input_shape: tuple[int, int]
    ) -> Tensor:
        """L_prop, mean over the images of the batch; both t and t + delta go through the branch."""
        head, sources = self.propagation_head, None
        codes = head.encode(feats)
        if self.mask_source == 'predicted':
            with torch.set_grad_enabled(torch.is_grad_enabled() and not self.detach_masks):
                key_feats = tuple(level[::2] for level in feats)
                sources = predict_stride_masks(self.detector, key_feats, samples[::2], head.stride, input_shape)
        return propagation_loss(head, codes, samples, sources)

    def _refinement_loss(
        self, feats: tuple[Tensor, ...], keys: list[DetDataSample], images: Tensor
    ) -> dict[str, Tensor]:
        """The refinement's losses, on the model's own masks at jittered ground-truth boxes."""
        boxes = [self.refinement_head.jitter(s.gt_instances.bboxes, s.metainfo['img_shape']) for s in keys]
        with torch.no_grad():
            roi_masks = predict_gt_masks(self.detector, feats, boxes, keys)
        masks = [sample.gt_instances.masks.to_tensor(torch.bool, images.device) for sample in keys]
        return self.refinement_head.loss(images, boxes, roi_masks, masks)

    # -- test

    def start_video(self, linker: dict | None = None, propagator: dict | None = None, **overrides) -> VideoStream:
        """A new video: a stream that takes its frames one by one and holds all of the video's state.

        Args:
            linker: config of a linker in place of the model's.
            propagator: config of a propagator in place of the model's.
            **overrides: of ``clip_radius``, ``fill``, ``output_mask``, ``refine``, ``history_fill``,
                ``score_rule``, ``min_frames``.

        Raises:
            ValueError: the linker or an override needs a head that the model lacks, or they do not go together
                (:class:`~maskprop.tracking.video_stream.VideoStream`).
        """
        linker = TASK_UTILS.build(linker or self.linker_cfg)
        if getattr(linker, 'needs_embeds', False) and self.track_head is None:
            raise ValueError(f'{type(linker).__name__} compares track embeddings, but the model has no track_head')
        if overrides.get('refine') and self.refinement_head is None:
            raise ValueError('refine=True needs a refinement_head, and the model has none')
        history_fill = overrides.pop('history_fill', self.history_fill)
        return VideoStream(
            model=self,
            linker=linker,
            propagator=TASK_UTILS.build(propagator) if propagator else self.propagator,
            history_filler=None if history_fill is None else self._history_filler(history_fill),
            **{**self.stream_cfg, **overrides},
        )

    def _history_filler(self, options: dict) -> HistoryFiller:
        if self.attention_head is None:
            raise ValueError('history_fill needs an attention_head, and the model has none')
        return HistoryFiller(self.attention_head, **options)

    def check_classes(self, classes: Sequence[str]) -> None:
        """Raise ValueError if detections are read from a file and are of other classes than a data set's."""
        found = list(self._detections.classes) if self.reads_detections else list(classes)
        if found != list(classes):
            raise ValueError(
                f'model.detections: the classes of {self._detections.file} are {found}, by its ann_file, but the '
                f'data set has {list(classes)}: give both the same annotation file'
            )

    def start_features(self) -> FeatureStream:
        """The features of a new video, for :meth:`encode`; a stream has its own."""
        return FeatureStream(self.detector, self.aggregator, self.backbone_batch)

    @torch.no_grad()
    def encode(self, view: View, *, needs: Collection[str] = FIELDS, instances: list[dict] | None = None) -> Frame:
        """Everything that a stream keeps of a frame: its codes, detections, soft stride masks and final masks.

        Args:
            view: of :meth:`start_features`.
            needs: fields of the frame to fill, of ``'code'``, ``'embeds'``, ``'attention_code'``, ``'refined'``,
                each of a head, and ``'image'``.
            instances: annotations that take the place of the detections; see
                :func:`~maskprop.models.view_frames.frame_from_instances`.
        """
        if instances is not None:
            frame = frame_from_instances(self, view, instances, needs=needs)
        elif self.reads_detections:
            found = self._detections.instances(view.meta)
            frame = frame_from_instances(self, view, found, self.merge_iou, needs)
        else:
            found = detect(self.detector, view.feats, [view.meta])[0]
            frame = frame_from_detections(self, view, found, needs=needs)
        return replace(frame, image=self.to_rgb(view.image)) if 'image' in needs else frame

    def to_rgb(self, image: Tensor) -> Tensor:
        """(3, H, W) uint8 on the CPU, RGB, of a (1, 3, H, W) normalised image."""
        preprocessor, image = self.data_preprocessor, image.float()
        if preprocessor._enable_normalize:
            image = image * preprocessor.std + preprocessor.mean
        image = image[0].round().clamp(0, 255).byte().cpu()
        return image if preprocessor._channel_conversion else image.flip(0)  # files are read as BGR

    def predict(self, inputs: Tensor, data_samples: list[TrackDataSample], **kwargs) -> list:
        """Whole videos in one call.

        Args:
            inputs: (B, F, 3, H, W) float, normalised: all F frames of B videos.
            data_samples: B samples of F frames with their metas.

        Returns:
            B :class:`~maskprop.tracking.video_instances.VideoInstances`.
        """
        videos = []
        for images, sample in zip(inputs, data_samples, strict=True):
            stream = self.start_video()
            stream.step_chunk(images, [frame.metainfo for frame in sample.video_data_samples])
            stream.finish()
            videos.append(stream.video_instances())
        return videos


def _check_options(mask_source: str, detect_on: str, mask_paste: str, backbone_batch: int) -> None:
    """Raise ValueError unless each is one of the values that it can have."""
    if mask_source not in MASK_SOURCES:
        raise ValueError(f'mask_source={mask_source!r} is unknown; choose one of {MASK_SOURCES}')
    if detect_on not in ('key', 'both'):
        raise ValueError(f"detect_on={detect_on!r} is unknown; choose 'key' or 'both'")
    if mask_paste not in MASK_PASTES:
        raise ValueError(f'mask_paste={mask_paste!r} is unknown; choose one of {tuple(MASK_PASTES)}')
    if backbone_batch < 1:
        raise ValueError(f'backbone_batch={backbone_batch}: expected 1 or more')
