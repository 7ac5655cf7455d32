"""Masks from boxes: each object's crop is segmented anew (PReMVOS's refinement network)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from maskprop.methods.ensemble_vis.windows import crop, filled_boxes, margin_windows, paste_letter
from maskprop.ops.masks import encode_mask, paste_binary_masks
from maskprop.structures import Detections, FramePairs, PerInstance, View

LONGEST_DRAW = 2.5  # standard deviations of the box jitter


@MODELS.register_module()
class BoxSegmentationHead(BaseModule):
    """Segments the object of each box in a crop of the image; the detector's own masks are not looked at.

    Stands under ``refinement_head``. The crop is the box with a margin, stretched to a square; a fourth channel is
    1 in the box and -1 around it.

    Args:
        net: config of a module (N, 4, S, S) -> logits (N, 2, h, w), background first.
        patch_size: S, pixels.
        margin: around the box, pixels of the network's input.
        box_jitter: in training each side of a ground-truth box is moved by this share of its width or height times
            a normal draw, which is limited to 2.5.
        loss: config of the loss, a module (logits, labels) -> one value per instance.
        max_instances: at most this many instances of a batch are trained on, drawn anew each time; bounds memory.
        chunk: instances segmented at a time at test; bounds memory.
        letter: crops and masks as the released code resizes them: see
            :mod:`~maskprop.methods.ensemble_vis.windows`.

    Raises:
        ValueError: ``patch_size``, ``max_instances`` or ``chunk`` is below 1, or ``margin`` or ``box_jitter`` is
            below 0.
    """

    joins_frames = False
    reads_features = False

    def __init__(
        self,
        *,
        net: dict,
        patch_size: int = 385,
        margin: int = 50,
        box_jitter: float = 0.05,
        loss: dict | None = None,
        max_instances: int = 16,
        chunk: int = 8,
        letter: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        counts = dict(patch_size=patch_size, max_instances=max_instances, chunk=chunk)
        for name, value, least in (*((n, v, 1) for n, v in counts.items()), ('margin', margin, 0)):
            if value < least:
                raise ValueError(f'{name}={value} must be at least {least}')
        if box_jitter < 0:
            raise ValueError(f'box_jitter={box_jitter} must be at least 0')
        self.net = MODELS.build(net)
        self.patch_size = patch_size
        self.margin = margin
        self.box_jitter = box_jitter
        self.loss_segment = MODELS.build(loss or dict(type='BootstrappedCrossEntropy', fraction=0.25))
        self.max_instances = max_instances
        self.chunk = chunk
        self.letter = letter

    def forward(self, patches: Tensor, boxes: Tensor) -> Tensor:
        """Logits (N, 2, S, S) float32, background first.

        Args:
            patches: (N, 3, S, S) float, normalised RGB. boxes: (N, S, S) float, 1 in the box, 0 around it.
        """
        logits = self.net(torch.cat([patches, 2 * boxes[:, None] - 1], 1)).float()
        return F.interpolate(logits, (self.patch_size, self.patch_size), mode='bilinear')

    @torch.no_grad()
    def encode(self, view: View, instances: Detections) -> PerInstance:
        """The masks of a frame's N detections: RLEs at the video's size."""
        height, width = view.meta['img_shape'][:2]
        masks, windows = self.refine(view.image[..., :height, :width], instances.boxes)
        scale = windows.new_tensor(view.meta['scale_factor'], dtype=torch.float32).repeat(2)  # (w, h, w, h)
        size = view.meta['ori_shape'][:2]
        if not self.letter:
            return PerInstance(paste_binary_masks(masks, windows / scale, *size))
        _, binary = paste_letter(masks, (windows / scale).round().long(), size)
        return PerInstance([encode_mask(mask) for mask in binary.cpu().numpy()])

    @torch.no_grad()
    def refine(self, image: Tensor, boxes: Tensor, roi_masks: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Segment the objects of one frame.

        Args:
            image: (1, 3, H, W) float, normalised, without padding.
            boxes: (N, 4) float, in pixels of the image.
            roi_masks: not looked at; other refinement heads take them.

        Returns:
            (N, S, S) float32 probabilities, and (N, 4) long windows that they fill, in pixels of the image.
        """
        windows = margin_windows(boxes, image.shape[-2:], self.margin)
        found = [windows.new_zeros((0, self.patch_size, self.patch_size), dtype=torch.float32)]
        for part in torch.arange(len(boxes)).split(self.chunk):
            patches, guides = self._inputs(image[0], boxes[part], windows[part])
            found.append(self(patches, guides).softmax(1)[:, 1])
        return torch.cat(found), windows

    def jitter(self, boxes: Tensor, img_shape: tuple[int, int]) -> Tensor:
        """Ground-truth boxes as imprecise as detected ones.

        Args:
            boxes: (N, 4) float, in pixels. img_shape: (height, width) of the image in pixels.

        Returns:
            (N, 4) float, within the image.
        """
        height, width = img_shape[:2]
        sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
        draws = torch.randn_like(boxes).clamp(-LONGEST_DRAW, LONGEST_DRAW)
        moved = boxes + self.box_jitter * sides * draws
        return moved.clamp(min=0).minimum(boxes.new_tensor([width, height, width, height]))

    def loss(self, pairs: FramePairs) -> dict[str, Tensor]:
        """:meth:`mask_losses` of the key frames, at jittered ground-truth boxes."""
        shapes = [sample.metainfo['img_shape'] for sample in pairs.keys]
        images = [image[:, :h, :w] for image, (h, w, *_) in zip(pairs.images, shapes, strict=True)]
        boxes = [
            self.jitter(sample.gt_instances.bboxes, shape)
            for sample, shape in zip(pairs.keys, shapes, strict=True)
        ]
        masks = [sample.gt_instances.masks.to_tensor(torch.bool, pairs.images.device) for sample in pairs.keys]
        return self.mask_losses(images, boxes, masks)

    def mask_losses(
        self, images: Sequence[Tensor], boxes: Sequence[Tensor], masks: Sequence[Tensor]
    ) -> dict[str, Tensor]:
        """The loss of B images, mean over their instances.

        Args:
            images: B tensors (3, H, W) float, normalised, without padding.
            boxes: B tensors (N_b, 4) float, jittered, in pixels of the images.
            masks: B tensors (N_b, H', W') bool, the ground truth; H' and W' may have padding.

        Returns:
            scalar ``loss_segment``; without instances 0, but connected to every parameter.
        """
        places = [(image, row) for image, own in enumerate(boxes) for row in range(len(own))]
        drawn = torch.randperm(len(places))[: self.max_instances].sort().values.tolist()
        inputs, labels = [], []
        for image, row in (places[index] for index in drawn):
            box = boxes[image][row : row + 1]
            window = margin_windows(box, images[image].shape[-2:], self.margin)
            inputs.append(self._inputs(images[image], box, window))
            truth = crop(masks[image][row : row + 1].float(), window, (self.patch_size, self.patch_size))
            labels.append((truth[:, 0] >= 0.5).long())
        if not inputs:
            return dict(loss_segment=0 * sum(p.sum() for p in self.parameters()))
        patches, guides = (torch.cat(part) for part in zip(*inputs, strict=True))
        return dict(loss_segment=self.loss_segment(self(patches, guides), torch.cat(labels)).mean())

    def _inputs(self, image: Tensor, boxes: Tensor, windows: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, S, S) and (N, S, S) of one (3, H, W) image."""
        size = (self.patch_size, self.patch_size)
        return crop(image, windows, size, self.letter), filled_boxes(boxes, windows, size)
