"""OSMN (Yang et al., CVPR 2018) as a head of the video model: its networks, training and propagation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.model import BaseModule
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from maskprop.methods.osmn.guides import (
    crop_guide,
    draw_perturbation,
    fit_blob,
    jitter_box,
    spatial_guide,
    turn_guide,
)
from maskprop.methods.osmn.losses import balanced_loss
from maskprop.methods.osmn.network import WIDTHS, SegmentationNet, SharedMaps, SpatialModulator, VisualModulator
from maskprop.methods.osmn.object_tracker import FrameMaps, OSMNTracker
from maskprop.structures import Detections, Frame, FramePairs, View
from maskprop.tracking.object_walk import walk_outwards

KEY = 'propagation_head'  # under which it propagates the masks of clips
IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
JITTER, DEGREES = 0.1, 10.0  # of guides in training
VGG_CONVS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # in torchvision's vgg16().features


@MODELS.register_module()
class OSMNHead(BaseModule):
    """Segments one object at a time, its network modulated by the object's picture and its previous place.

    Under the key ``propagation_head`` it propagates the masks of clips; under any key it serves a
    :class:`~maskprop.tracking.propagated_mask_linker.PropagatedMaskLinker`. It trains on samples of one frame
    (both guides are of the frame itself), of two (of the first one) or of three (the picture is of the first, the
    place of the second one).

    Args:
        widths, fc_width: channels of VGG-16's stages and of its fully connected layers.
        guide_size: a side of the visual guide, a multiple of 32 pixels.
        pixel_mean, pixel_std: with which this head's own images are normalised, RGB.
        input_mean, input_std: with which the model's data_preprocessor has normalised them, RGB.
        input_size: (height, width) in pixels to which images are resized at test, their aspect not kept, as in the
            released code; None: the model's. Training takes images as they come.
        vgg: torchvision's vgg16 weights to begin with, ``'torchvision://vgg16'``, a path or a URL; None: random.
        max_objects: of a sample in training, drawn at random; None: all.
        min_share, min_box_share: objects are trained on if they cover more than these shares of the guide's frame
            and of their box; where none does, all that it shows.
        reduction: ``'sum'`` over all pixels, as released, or ``'mean'``.
        objects_at_once: at test; more take more memory.
        norm_eval: batch norm of the spatial modulator stays as it was loaded.
    """

    needs = (KEY,)
    stride = 4  # pixels of a cell of the soft masks
    trains_on = (1, 2, 3)  # frames of a sample
    reads_features = False

    def __init__(
        self,
        *,
        widths: Sequence[int] = WIDTHS,
        fc_width: int = 4096,
        guide_size: int = 224,
        pixel_mean: Sequence[float] = IMAGENET_MEAN,
        pixel_std: Sequence[float] = IMAGENET_STD,
        input_mean: Sequence[float] = IMAGENET_MEAN,
        input_std: Sequence[float] = IMAGENET_STD,
        input_size: Sequence[int] | None = None,
        vgg: str | None = None,
        dropout: float = 0.5,
        max_objects: int | None = 1,
        min_share: float = 0.003,
        min_box_share: float = 0.2,
        reduction: str = 'sum',
        objects_at_once: int = 8,
        norm_eval: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if guide_size < 32 or guide_size % 32:
            raise ValueError(f'guide_size={guide_size}: expected a multiple of 32 pixels')
        if reduction not in ('sum', 'mean'):
            raise ValueError(f"reduction={reduction!r} is unknown; choose 'sum' or 'mean'")
        self.guide_size = guide_size
        self.input_size = input_size
        self.vgg = vgg
        self.max_objects = max_objects
        self.min_share, self.min_box_share = min_share, min_box_share
        self.reduction = reduction
        self.objects_at_once = objects_at_once
        self.norm_eval = norm_eval
        self.visual = VisualModulator(widths, fc_width, guide_size, dropout)
        self.spatial = SpatialModulator(widths)
        self.segmentation = SegmentationNet(widths)
        for name, values in dict(
            pixel_mean=pixel_mean, pixel_std=pixel_std, input_mean=input_mean, input_std=input_std
        ).items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).view(3, 1, 1), persistent=False)

    def init_weights(self) -> None:
        """Kaiming's, .01 in the side outputs, factors of 1; then the weights of ``vgg``."""
        super().init_weights()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity='relu')
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for conv in (*self.segmentation.side_convs, self.segmentation.fuse):
            nn.init.normal_(conv.weight, std=1e-2)
        nn.init.zeros_(self.visual.fcs[-1].weight)
        nn.init.ones_(self.visual.fcs[-1].bias)
        if self.vgg:
            load_vgg(self, CheckpointLoader.load_checkpoint(self.vgg, map_location='cpu'))

    def train(self, mode: bool = True) -> OSMNHead:
        """Training mode, in which batch norm may stay as it is."""
        super().train(mode)
        if self.norm_eval:
            self.spatial.norms.eval()
        return self

    def encode(self, view: View, instances: Detections) -> FrameMaps:
        """The code of a frame; it does not depend on its instances."""
        return self.encode_images(self._network_input(view.image))

    def encode_batch(
        self, feats: Sequence[Tensor], views: Sequence[View], instances: Sequence[Detections]
    ) -> list[FrameMaps]:
        """:meth:`encode` of several frames."""
        pixels = self._network_input(torch.cat([view.image for view in views]))
        shared = self.segmentation.shared(self._normalised(pixels))
        parts = zip(shared.side.split(1), shared.pooled.split(1), pixels, strict=True)
        return [FrameMaps(SharedMaps(side, pooled), image) for side, pooled, image in parts]

    def encode_images(self, image: Tensor) -> FrameMaps:
        """The code of a (1, 3, H, W) uint8 RGB image."""
        return FrameMaps(self.segmentation.shared(self._normalised(image)), image[0])

    def _network_input(self, images: Tensor) -> Tensor:
        """(B, 3, h, w) uint8 RGB of ``input_size``, of images as the model normalised them."""
        pixels = self._pixels(images)
        if self.input_size is None or tuple(self.input_size) == tuple(pixels.shape[-2:]):
            return pixels
        resized = F.interpolate(pixels.float(), tuple(self.input_size), mode='bilinear', antialias=True)
        return resized.round().clamp(0, 255).byte()

    def _pixels(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 RGB, of images as the model normalised them."""
        return (images.float() * self.input_std + self.input_mean).round().clamp(0, 255).byte()

    def _normalised(self, pixels: Tensor) -> Tensor:
        return (pixels.float() - self.pixel_mean) / self.pixel_std

    def guide_input(self, picture: Tensor, mask: Tensor) -> Tensor:
        """(3, s, s) float, normalised; 0 outside of the mask. Of a (3, s, s) uint8 guide and its (s, s) mask."""
        return self._normalised(picture) * mask

    def visual_factors(self, image: Tensor, masks: Tensor) -> Tensor:
        """What modulates the network for N objects.

        Args:
            image: (3, H, W) uint8 RGB. masks: (N, H, W) bool; an empty one has a guide of zeros.

        Returns:
            (N, P) float.
        """
        guides = [self._guide(image, mask) for mask in masks]
        return torch.cat([self.visual(part) for part in torch.stack(guides).split(self.objects_at_once)])

    def _guide(self, image: Tensor, mask: Tensor) -> Tensor:
        if not mask.any():
            return image.new_zeros(3, self.guide_size, self.guide_size, dtype=torch.float32)
        return self.guide_input(*crop_guide(image, mask, self.guide_size))

    def segment(self, code: FrameMaps, factors: Tensor, guides: Tensor) -> Tensor:
        """Logits of N objects in a frame.

        Args:
            code: of the frame. factors: (N, P). guides: (N, H, W) float, the spatial ones.

        Returns:
            (N, H, W) float.
        """
        parts = zip(factors.split(self.objects_at_once), guides.split(self.objects_at_once), strict=True)
        return torch.cat(
            [self.segmentation(code.shared, f, self.spatial(g[:, None]), code.size) for f, g in parts]
        )

    def frame_products(self, image: Tensor, feats: Sequence[Tensor], objects: int) -> Tensor:
        """What a frame costs at test, the factors of its objects being known: run on the meta device.

        Args:
            image: (1, 3, H, W). feats: not used. objects: N.
        """
        size = tuple(self.input_size or image.shape[-2:])
        code = self.encode_images(image.new_empty(1, 3, *size, dtype=torch.uint8))
        factors = image.new_empty(objects, self.visual.fcs[-1].out_channels)
        return self.segment(code, factors, image.new_empty(objects, *size))

    def start_objects(self) -> OSMNTracker:
        """The objects of a new video."""
        return OSMNTracker(self)

    def propagate(self, source: Frame, targets: Sequence[Frame]) -> Tensor:
        """(S, N, H, W): the soft masks of the source's N instances in S frames in video order."""
        return walk_outwards(self, KEY, source, targets)

    # -- training

    def loss(self, pairs: FramePairs) -> dict[str, Tensor]:
        """``loss_osmn``: the objects of the first frame, segmented in the last one, balanced over the batch."""
        frames = pairs.inputs.shape[1]
        pictures, guides, targets, valid, owners = [], [], [], [], []
        for index in range(len(pairs.inputs)):
            samples = pairs.samples[index * frames : (index + 1) * frames]
            for masks in self._drawn_objects(samples, pairs):
                pictures.append(self._training_guide(self._pixels(pairs.inputs[index, :1])[0], masks[0]))
                blob = fit_blob(masks[max(frames - 2, 0)])
                blob = None if blob is None else draw_perturbation(blob)
                guides.append(spatial_guide(blob, pairs.input_shape, pairs.inputs.device).float())
                targets.append(masks[-1].float())
                valid.append(shown_pixels(samples[-1].img_shape, masks[-1]))
                owners.append(index)
        total = 0 * sum(p.sum() for p in self.parameters() if p.requires_grad)  # also without any object
        if owners:
            maps = self.segmentation.shared(self._normalised(self._pixels(pairs.inputs[:, -1])))
            maps = SharedMaps(maps.side[owners], maps.pooled[owners])
            factors, addends = self.visual(torch.stack(pictures)), self.spatial(torch.stack(guides)[:, None])
            logits = self.segmentation(maps, factors, addends, pairs.input_shape)
            loss = balanced_loss(logits, torch.stack(targets), torch.stack(valid))
            total = total + (loss / logits.numel() if self.reduction == 'mean' else loss)
        return dict(loss_osmn=total)

    def _drawn_objects(self, samples: Sequence[DetDataSample], pairs: FramePairs) -> list[list[Tensor]]:
        """For each object that is trained on, its (H, W) bool masks in the sample's frames."""
        device = pairs.inputs.device
        masks = [sample.gt_instances.masks.to_tensor(torch.bool, device) for sample in samples]
        ids = [sample.gt_instances.instances_ids.tolist() for sample in samples]
        area = masks[0].flatten(1).sum(1)
        boxes = samples[0].gt_instances.bboxes
        boxes = (boxes[:, 2:] - boxes[:, :2]).prod(1).to(device)
        good = (area > self.min_share * pairs.inputs[0, 0, 0].numel()) & (area > self.min_box_share * boxes)
        rows = (good if good.any() else area > 0).nonzero()[:, 0]
        rows = rows[torch.randperm(len(rows), device=device)[: self.max_objects]].tolist()
        absent = torch.zeros(pairs.input_shape, dtype=torch.bool, device=device)
        return [
            [
                masks[frame][ids[frame].index(ids[0][row])] if ids[0][row] in ids[frame] else absent
                for frame in range(len(samples))
            ]
            for row in rows
        ]

    def _training_guide(self, image: Tensor, mask: Tensor) -> Tensor:
        """The guide as training sees it: its box moved, turned by up to 10 degrees, flipped half of the time."""
        picture, label = crop_guide(image, mask, self.guide_size, jitter_box(mask, JITTER), pad=0)
        degrees = float(torch.empty(()).uniform_(-DEGREES, DEGREES))
        return self.guide_input(*turn_guide(picture, label, degrees, bool(torch.rand(()) < 0.5)))


def shown_pixels(shown: Sequence[int], like: Tensor) -> Tensor:
    """(H, W) bool: the image without its padding."""
    inside = torch.zeros_like(like, dtype=torch.bool)
    inside[: shown[0], : shown[1]] = True
    return inside


@torch.no_grad()
def load_vgg(head: OSMNHead, state: dict[str, Tensor]) -> None:
    """Weights of torchvision's vgg16 into trunk and visual modulator, the fully connected layers too."""
    for stages in (head.visual.stages, head.segmentation.stages):
        for index, conv in zip(VGG_CONVS, (conv for stage in stages for conv in stage), strict=True):
            conv.weight.copy_(state[f'features.{index}.weight'])
            conv.bias.copy_(state[f'features.{index}.bias'])
    for layer, index in zip(head.visual.fcs, (0, 3), strict=False):
        layer.weight.copy_(state[f'classifier.{index}.weight'].view_as(layer.weight))
        layer.bias.copy_(state[f'classifier.{index}.bias'])
