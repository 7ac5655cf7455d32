"""Parameters, FLOPs and activation memory of a model's parts, computed from shapes on the meta device.

Nothing is calculated, so the largest model takes seconds, and the numbers don't depend on machine or weights.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

import torch
from mmcv.ops import DeformConv2d, ModulatedDeformConv2d
from mmdet.models.roi_heads.roi_extractors import BaseRoIExtractor
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from maskprop.methods.maskprop.frame_code import FrameCode
from maskprop.models.frame_detector import predict_roi_masks, semantic_feature
from maskprop.models.frame_pairs import pair_features
from maskprop.models.video_mask_rcnn import VideoMaskRCNN

#: What of a model is counted apart: heading, and where the modules are.
PARTS = {
    'backbone': ('detector.backbone', 'backbone'),
    'STSN': ('aggregator',),
    'FPN': ('detector.neck', 'neck'),
    'dense head': ('detector.bbox_head',),
    'RPN': ('detector.rpn_head',),
    'box heads': ('detector.roi_head.bbox_head',),
    'mask heads': ('detector.roi_head.mask_head', 'detector.roi_head.semantic_head'),
    'propagation': ('propagation_head',),
    'refinement': ('refinement_head',),
    'tracking': ('track_head',),
    'attention': ('attention_head',),
    'crop classes': ('classification_head',),
    'crop embeddings': ('reid_head',),
    'embedding decoder': ('embedding_head',),
    'seediness decoder': ('seediness_head',),
    'class decoder': ('class_head',),
}
INTERPOLATION = 8  # FLOPs of a bilinear lookup: four multiply-adds


@dataclass
class ModelCost:
    """What a model costs.

    Attributes:
        parameters: number of parameters of each part.
        flops: FLOPs of each part for one frame at test; a multiply-add is two.
        state_bytes: of the state dict.
        test_bytes: most bytes of activations alive at a time at test.
        train_bytes: bytes of activations that one training sample keeps for the backward pass, backbone to FPN.
    """

    parameters: dict[str, int] = field(default_factory=dict)
    flops: dict[str, int] = field(default_factory=dict)
    state_bytes: int = 0
    test_bytes: int = 0
    train_bytes: int = 0


class ClipModel(Protocol):
    """What is asked of a model that is no ``VideoMaskRCNN``."""

    clip_length: int  # frames of a training sample

    def extract_feat(self, images: Tensor) -> tuple[Tensor, ...]:
        """Backbone and FPN of images (B, 3, H, W)."""

    def count_frame(self, image: Tensor, run: Callable) -> None:
        """Let every part do what a frame at test costs, by ``run(part, function, *args, frames=1)``.

        Args:
            image: (1, 3, H, W). run: counts ``function(*args)`` for a part of ``PARTS``, of which a frame pays one
                of ``frames`` shares, and returns what it returns.
        """


class LiveMemory(TorchDispatchMode):
    """Counts the bytes of tensors made inside it, ``live`` now and at the ``peak``; not those inside kernels.

    Args:
        known: tensors whose memory doesn't count.
    """

    def __init__(self, known: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known = {tensor.untyped_storage()._cdata for tensor in known}

    def __torch_dispatch__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


class _ShapeOfDeformConv(torch.autograd.Function):
    """A deformable convolution's result by shape, keeping what its backward pass would need."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, offset: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, offset, weight)
        return x.new_empty(len(x), len(weight), *offset.shape[2:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> NoReturn:
        raise RuntimeError('costs are counted by the forward pass alone: shapes have no gradients')


class _Counter:
    """Replaces what the meta device can't run or the FLOP counter doesn't know, in one model, for good."""

    def __init__(self, model: nn.Module) -> None:
        self.deform_flops = 0
        self.flops: dict[str, int] = {}
        for module in model.modules():
            if isinstance(module, BaseRoIExtractor):
                module.forward = self._roi_features(module)
            elif isinstance(module, (DeformConv2d, ModulatedDeformConv2d)):
                module.forward = self._deform_conv(module)

    @staticmethod
    def _roi_features(extractor: BaseRoIExtractor) -> Callable:
        size = extractor.roi_layers[0].output_size

        def forward(feats: Any, rois: Tensor, roi_scale_factor: float | None = None) -> Tensor:
            return feats[0].new_empty(len(rois), extractor.out_channels, *size)

        return forward

    def _deform_conv(self, module: nn.Module) -> Callable:
        def forward(x: Tensor, offset: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
            if hasattr(module, 'conv_offset'):
                offset = module.conv_offset(x)
            assert offset is not None
            result = _ShapeOfDeformConv.apply(x, offset, module.weight)
            taps, places = module.weight[0, 0].numel(), len(x) * offset.shape[-2:].numel()
            sums = 2 * module.weight.numel() * places
            self.deform_flops += sums + INTERPOLATION * x.shape[1] * taps * places
            return result

        return forward

    def count(self, function: Callable, *args: Any, **kwargs: Any) -> tuple:
        """The result of ``function(*args, **kwargs)`` and its FLOPs."""
        before = self.deform_flops
        with FlopCounterMode(display=False) as counter:
            result = function(*args, **kwargs)
        return result, counter.get_total_flops() + self.deform_flops - before

    def run(self, part: str, function: Callable, *args: Any, frames: int = 1, **kwargs: Any) -> Any:
        """The result of a function, whose FLOPs, divided by ``frames``, are added to those of a part."""
        result, count = self.count(function, *args, **kwargs)
        self.flops[part] = self.flops.get(part, 0) + count // frames
        return result


def can_be_counted(model: Any) -> bool:
    """Whether it is known what a frame costs in a model."""
    return isinstance(model, VideoMaskRCNN) or hasattr(model, 'count_frame')


def model_cost(model: Any, size: tuple[int, int] = (360, 640), instances: int = 10) -> ModelCost:
    """Cost of one frame; the model can't be used afterwards.

    Args:
        model: a ``VideoMaskRCNN`` or a :class:`ClipModel`, with ``num_classes`` filled in.
        size: (height, width) of the frame in pixels; it is padded as the model pads.
        instances: detections in the frame.
    """
    cost = ModelCost(parameters=count_parameters(model))
    cost.state_bytes = sum(value.nbytes for value in model.state_dict().values())
    model = model.to('meta').eval()
    counter = _Counter(model)
    divisor = model.data_preprocessor.pad_size_divisor
    height, width = (-(-side // divisor) * divisor for side in size)
    weights = [*model.parameters(), *model.buffers()]

    image = torch.empty(1, 3, height, width, device='meta')
    with torch.no_grad(), LiveMemory(weights) as memory:
        if isinstance(model, VideoMaskRCNN):
            _count_frame(model, image, instances, counter.run)
        else:
            model.count_frame(image, counter.run)
    cost.flops = {name: counter.flops[name] for name in PARTS if name in counter.flops}
    cost.test_bytes = memory.peak
    with LiveMemory(weights) as memory:
        kept = _train_features(model, image)
    cost.train_bytes = memory.live
    del kept
    return cost


def count_parameters(model: nn.Module) -> dict[str, int]:
    """Parameters of each part of ``PARTS`` that the model has, and of all the rest as ``'other'``."""
    counts = {}
    for name, paths in PARTS.items():
        modules = [_get(model, path) for path in paths]
        if any(modules):
            counts[name] = sum(p.numel() for m in modules if m is not None for p in m.parameters())
    rest = sum(p.numel() for p in model.parameters()) - sum(counts.values())
    return {**counts, 'other': rest} if rest else counts


def _get(model: nn.Module, path: str) -> nn.Module | None:
    for name in path.split('.'):
        model = getattr(model, name, None)
    return model


def _count_frame(model: VideoMaskRCNN, image: Tensor, instances: int, run: Callable) -> None:
    """Run every part once, as a stream does for a frame."""
    detector = model.detector
    levels = run('backbone', detector.backbone, image)
    if model.aggregator is not None:
        levels = run('STSN', _aggregate, model.aggregator, levels, 2 * model.aggregator.window + 1)
    feats = run('FPN', detector.neck, levels)
    boxes = image.new_empty(instances, 4)
    if hasattr(detector, 'roi_head'):
        run('RPN', detector.rpn_head, feats)
        semantic = run('mask heads', semantic_feature, detector, feats)
        run('box heads', _box_heads, detector, feats, semantic, detector.test_cfg.rpn.max_per_img)
        labels = torch.empty(instances, dtype=torch.long, device='meta')
        run('mask heads', predict_roi_masks, detector, feats, [boxes], [labels], semantic)
    else:  # one stage
        run('dense head', detector.bbox_head, feats)
    heads: dict[str, Any] = model.heads
    if 'propagation_head' in heads:
        if hasattr(model.propagation_head, 'frame_products'):
            run('propagation', model.propagation_head.frame_products, image, feats, instances)
        else:
            run('propagation', _propagate, model, feats, image.shape[-2:], instances)
    if 'refinement_head' in heads:
        side = model.refinement_head.patch_size
        for start in range(0, instances, model.refinement_head.chunk):
            patches = image.new_empty(min(model.refinement_head.chunk, instances - start), 3, side, side)
            run('refinement', model.refinement_head, patches, patches[:, 0])
    for part in ('crop classes', 'crop embeddings'):
        if (head := heads.get(*PARTS[part])) is not None:
            for start in range(0, instances, head.chunk):
                crops = image.new_empty(min(head.chunk, instances - start), 3, *head.crop_size)
                run(part, head.net, crops)
    if 'track_head' in heads and hasattr(model.track_head, 'embed'):  # of all cells
        run('tracking', model.track_head.embed, feats)
    elif 'track_head' in heads:
        roi_feats, counts = run('tracking', model.track_head.extract_roi_feats, feats, [boxes])
        run('tracking', model.track_head.embed_head.extract_feat, roi_feats, counts)
    if 'attention_head' in heads:
        run('attention', model.attention_head.encode_features, feats)


def _aggregate(aggregator: nn.Module, levels: tuple[Tensor, ...], count: int) -> tuple[Tensor, ...]:
    supports = [
        x[:, None].expand(-1, count, -1, -1, -1) if index in aggregator.levels else None
        for index, x in enumerate(levels)
    ]
    return aggregator.aggregate(levels, supports, own=count // 2)


def _box_heads(detector: nn.Module, feats: tuple[Tensor, ...], semantic: Tensor | None, proposals: int) -> None:
    head, rois = detector.roi_head, feats[0].new_empty(proposals, 5)
    if not hasattr(head, 'num_stages'):
        head._bbox_forward(feats, rois)
        return
    extra = {} if semantic is None else dict(semantic_feat=semantic)
    for stage in range(head.num_stages):
        head._bbox_forward(stage, feats, rois, **extra)


def _propagate(model: VideoMaskRCNN, feats: tuple[Tensor, ...], shape: tuple[int, int], instances: int) -> Tensor:
    """The frame's code, and its clip: the frame itself and ``clip_radius`` frames on either side."""
    head = model.propagation_head
    code = head.encode_features(feats)
    targets = FrameCode.as_targets([code] * (2 * model.stream.clip_radius + 1))
    masks = feats[0].new_empty(instances, *(side // head.stride for side in shape))
    return head(code, targets, masks)


def _train_features(model: Any, image: Tensor) -> tuple[Tensor, ...]:
    """FPN levels of one training sample, with their graph."""
    if not isinstance(model, VideoMaskRCNN):
        return model.train().extract_feat(image.new_empty(model.clip_length, *image.shape[1:]))
    frames = 2 if model.aggregator is None else 2 + 2 * model.aggregator.num_support
    model.train()
    inputs = image.new_empty(1, frames, *image.shape[1:])
    return pair_features(model.detector, model.aggregator, inputs)[0]
