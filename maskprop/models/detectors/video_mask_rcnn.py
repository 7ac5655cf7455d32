"""Video Mask R-CNN: a two-stage detector with a mask propagation branch (MaskProp, Section 4.1)."""

from __future__ import annotations

import torch
from mmdet.models.mot import BaseMOTModel
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures import DetDataSample, TrackDataSample
from torch import Tensor
from torchvision.ops import box_iou

from maskprop.models.detectors.frame_detector import (
    Detections,
    detect,
    detection_loss,
    predict_roi_masks,
    semantic_feature,
)
from maskprop.ops.masks import downsample_masks, paste_binary_masks, paste_soft_masks
from maskprop.tracking.stream import Frame, VideoStream

MASK_SOURCES = ('predicted', 'ground_truth')
DEFAULT_STRIDE = 8  # pixels, of the soft masks when there is no branch


@MODELS.register_module()
class VideoMaskRCNN(BaseMOTModel):
    """A two-stage instance-segmentation detector that propagates its masks through a video clip.

    Trained on pairs of frames: L = L_cls + L_box + L_mask + L_prop. Tested on a stream, see :meth:`start_video`.

    Args:
        detector: config of any mmdet two-stage instance-segmentation detector.
        propagation_head: config of the mask propagation branch; ``None`` trains and tests the detector alone.
        propagator: config of what takes the branch's place at test (a baseline); ``None``: the branch.
        linker: config of the linker that gives clip tracks their video-level ids.
        mask_source: which instance masks training propagates: ``'predicted'`` by the mask head at the
            ground-truth boxes, as imperfect as at test, or ``'ground_truth'``.
        detach_masks: no gradient from the branch into the mask head.
        detect_on: the detection losses see the ``'key'`` frame of a pair (the letter) or ``'both'`` frames.
        freeze_detector: train the branch alone; the detector stays in evaluation mode.
        clip_radius: T; clips have 2 T + 1 frames.
        merge_iou: detections of one frame whose boxes overlap above this IoU are one instance with several class
            scores: the best-scored one's mask is propagated and linked once. Otherwise they would share one
            object's mass under the softmax. ``None`` never merges (the letter).
        output_mask: the final mask at t is the ``'detection'``'s or the ``'propagated'`` one at offset 0.
        fill: fill frames in which the detector missed an object from the clips that carry its id (not in the
            paper).
        score_rule: how a category's score is averaged over an id's clips: over ``'all'`` of them or over those
            ``'with_category'``.
    """

    def __init__(
        self,
        *,
        detector: dict,
        propagation_head: dict | None = None,
        propagator: dict | None = None,
        linker: dict | None = None,
        mask_source: str = 'predicted',
        detach_masks: bool = True,
        detect_on: str = 'key',
        freeze_detector: bool = False,
        clip_radius: int = 6,
        merge_iou: float | None = 0.7,
        output_mask: str = 'detection',
        fill: bool = False,
        score_rule: str = 'with_category',
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if mask_source not in MASK_SOURCES:
            raise ValueError(f'mask_source={mask_source!r} is unknown; choose one of {MASK_SOURCES}')
        if detect_on not in ('key', 'both'):
            raise ValueError(f"detect_on={detect_on!r} is unknown; choose 'key' or 'both'")
        self.detector = MODELS.build(detector)
        self.propagation_head = MODELS.build(propagation_head) if propagation_head else None
        self.propagator = TASK_UTILS.build(propagator) if propagator else self.propagation_head
        self.linker_cfg = linker or dict(type='ClipLinker')
        self.mask_source = mask_source
        self.detach_masks = detach_masks
        self.detect_on = detect_on
        self.freeze_detector = freeze_detector
        self.merge_iou = merge_iou
        self.stream_cfg = dict(clip_radius=clip_radius, fill=fill, output_mask=output_mask, score_rule=score_rule)
        if freeze_detector:
            self.freeze_module('detector')

    def train(self, mode: bool = True) -> VideoMaskRCNN:
        """Training mode, in which a frozen detector stays in evaluation mode."""
        super().train(mode)
        if self.freeze_detector:
            self.detector.eval()
        return self

    # -- training

    def loss(self, inputs: Tensor, data_samples: list[TrackDataSample], **kwargs) -> dict[str, Tensor]:
        """Losses of a batch of frame pairs.

        Args:
            inputs: (B, F, 3, H, W) float, normalised; frame 0 is the key frame t, frame 1 is t + delta.
            data_samples: B samples of F frames with ``gt_instances`` (``bboxes``, ``labels``, ``masks``,
                ``instances_ids``).

        Returns:
            named losses; ``loss_prop`` is the branch's (Eq. 2).
        """
        frames = inputs.shape[1]
        if self.propagation_head is not None and frames != 2:
            raise ValueError(f'the propagation branch trains on pairs of frames, but samples have {frames}')
        # frames of a sample stay neighbours: index b * F + f
        feats = self.detector.extract_feat(inputs.flatten(0, 1))
        samples = [sample for track in data_samples for sample in track.video_data_samples]
        losses = {}
        if not self.freeze_detector:
            step = 1 if self.detect_on == 'both' else frames
            detected = tuple(level[::step] for level in feats)
            losses.update(detection_loss(self.detector, detected, samples[::step]))
        if self.propagation_head is not None:
            losses['loss_prop'] = self._propagation_loss(feats, samples, inputs.shape[-2:])
        return losses

    def _propagation_loss(
        self, feats: tuple[Tensor, ...], samples: list[DetDataSample], input_shape: tuple[int, int]
    ) -> Tensor:
        """L_prop, mean over the images of the batch; both t and t + delta go through the branch."""
        head = self.propagation_head
        codes = head.encode(feats)
        keys, others = samples[::2], samples[1::2]
        key_masks = [_stride_masks(sample, head.stride, feats[0].device) for sample in keys]
        other_masks = [_stride_masks(sample, head.stride, feats[0].device) for sample in others]
        sources = key_masks
        if self.mask_source == 'predicted':
            sources = self._predict_gt_masks(feats, keys, input_shape)
        losses = []
        for i, (source, key, other) in enumerate(zip(sources, keys, others, strict=True)):
            targets = torch.stack([key_masks[i], _match_instances(key, other, other_masks[i])])
            losses.append(head.loss(codes.frame(2 * i), codes.frames(2 * i, 2 * i + 2), source, targets))
        return torch.stack(losses).mean()

    def _predict_gt_masks(
        self, feats: tuple[Tensor, ...], keys: list[DetDataSample], input_shape: tuple[int, int]
    ) -> list[Tensor]:
        """The mask head's soft masks at the ground-truth boxes of the key frames, at the head's stride."""
        stride = self.propagation_head.stride
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.detach_masks):
            key_feats = tuple(level[::2] for level in feats)
            boxes = [sample.gt_instances.bboxes for sample in keys]
            labels = [sample.gt_instances.labels for sample in keys]
            semantic = semantic_feature(self.detector, key_feats)
            roi_masks = predict_roi_masks(self.detector, key_feats, boxes, labels, semantic)
            height, width = (side // stride for side in input_shape)
            return [paste_soft_masks(m, b / stride, height, width) for m, b in zip(roi_masks, boxes, strict=True)]

    # -- test

    def start_video(self, linker: dict | None = None, propagator: dict | None = None, **overrides) -> VideoStream:
        """A new video: a stream that takes its frames one by one and holds all of the video's state.

        Args:
            linker: config of a linker in place of the model's.
            propagator: config of a propagator in place of the model's.
            **overrides: of ``clip_radius``, ``fill``, ``output_mask``, ``score_rule``.
        """
        return VideoStream(
            model=self,
            linker=TASK_UTILS.build(linker or self.linker_cfg),
            propagator=TASK_UTILS.build(propagator) if propagator else self.propagator,
            **{**self.stream_cfg, **overrides},
        )

    @torch.no_grad()
    def encode_frame(self, image: Tensor, meta: dict) -> Frame:
        """One backbone and detector pass: everything a stream keeps of a frame.

        Args:
            image: (1, 3, H, W) float, normalised and padded.
            meta: ``img_shape``, ``ori_shape`` (height, width) and ``scale_factor`` (width, height).

        Returns:
            the frame's code, detections, soft stride masks and final masks.
        """
        feats = self.detector.extract_feat(image)
        detections = detect(self.detector, feats, [meta])[0]
        return self.frame_from_detections(feats, detections, meta, image.shape[-2:])

    def frame_from_detections(
        self, feats: tuple[Tensor, ...], detections: Detections, meta: dict, input_shape: tuple[int, int]
    ) -> Frame:
        """The stream's view of a frame whose detections are known."""
        scale = detections.boxes.new_tensor(meta['scale_factor']).repeat(2)  # (w, h, w, h)
        height, width = meta['ori_shape'][:2]
        boxes = detections.boxes / scale
        groups = group_duplicates(boxes, detections.scores, self.merge_iou)
        kept = groups.unique()
        roi_masks, boxes = detections.roi_masks[kept], boxes[kept]
        head = self.propagation_head
        stride = head.stride if head is not None else DEFAULT_STRIDE
        cells = [side // stride for side in input_shape]
        return Frame(
            code=head.encode(feats) if head is not None else None,
            masks=paste_soft_masks(roi_masks, detections.boxes[kept] / stride, *cells),
            boxes=boxes.cpu(),
            class_scores=_class_scores(detections, groups, kept),
            rles=paste_binary_masks(roi_masks, boxes, height, width),
            size=(height, width),
            map_size=tuple(n * stride / s for n, s in zip(cells, meta['scale_factor'][::-1], strict=True)),
        )

    def predict(self, inputs: Tensor, data_samples: list[TrackDataSample], **kwargs) -> list:
        """Whole videos in one call.

        Args:
            inputs: (B, F, 3, H, W) float, normalised: all F frames of B videos.
            data_samples: B samples of F frames with their metas.

        Returns:
            B :class:`~maskprop.tracking.results.VideoInstances`.
        """
        videos = []
        for images, sample in zip(inputs, data_samples, strict=True):
            stream = self.start_video()
            stream.step_chunk(images, [frame.metainfo for frame in sample.video_data_samples])
            stream.finish()
            videos.append(stream.video_instances())
        return videos


def group_duplicates(boxes: Tensor, scores: Tensor, iou_threshold: float | None) -> Tensor:
    """Which detection stands for each one: the best-scored box that it overlaps above the threshold.

    Args:
        boxes: (N, 4) float. scores: (N,) float. iou_threshold: ``None`` leaves every detection to itself.

    Returns:
        (N,) long, indices into the detections; a representative has its own index.
    """
    groups = torch.arange(len(boxes), device=boxes.device)
    if iou_threshold is None or len(boxes) < 2:
        return groups
    overlaps = box_iou(boxes, boxes) > iou_threshold
    free = torch.ones(len(boxes), dtype=torch.bool, device=boxes.device)
    for index in scores.argsort(descending=True, stable=True).tolist():
        if free[index]:
            members = overlaps[index] & free
            members[index] = True
            groups[members] = index
            free &= ~members
    return groups


def _class_scores(detections: Detections, groups: Tensor, kept: Tensor) -> list[dict[int, float]]:
    """Best score of every class among the detections of each kept group."""
    scores: dict[int, dict[int, float]] = {index: {} for index in kept.tolist()}
    columns = zip(groups.tolist(), detections.labels.tolist(), detections.scores.tolist(), strict=True)
    for group, label, score in columns:
        scores[group][label] = max(score, scores[group].get(label, 0.0))
    return list(scores.values())


def _stride_masks(sample: DetDataSample, stride: int, device: torch.device) -> Tensor:
    """Ground-truth masks of a frame at a stride, (N, H, W) float of 0 and 1."""
    masks = sample.gt_instances.masks
    return downsample_masks(masks.to_tensor(torch.bool, device), stride)


def _match_instances(key: DetDataSample, other: DetDataSample, other_masks: Tensor) -> Tensor:
    """Masks in the other frame of the key frame's instances, (N, H, W); 0 where absent."""
    ids = {int(i): row for row, i in enumerate(other.gt_instances.instances_ids)}
    matched = other_masks.new_zeros((len(key.gt_instances.instances_ids), *other_masks.shape[1:]))
    for row, i in enumerate(key.gt_instances.instances_ids):
        if int(i) in ids:
            matched[row] = other_masks[ids[int(i)]]
    return matched
