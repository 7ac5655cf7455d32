"""The high-resolution mask refinement (MaskProp, Section 4.4)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from maskprop.ops.crops import boxes_in_windows, crop_windows, square_windows
from maskprop.ops.later_masks import paste_in_turn
from maskprop.ops.masks import paste_binary_masks, paste_soft_masks
from maskprop.ops.uploads import numbers_on
from maskprop.structures import Detections, FramePairs, PerInstance, View

CLAMP = 0.01  # of the mask given: keeps its logit within +-4.6, from where a residual can turn it round


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution where the number of channels changes."""

    def __init__(self, in_channels: int, channels: int, dilation: int, norm_cfg: dict | None) -> None:
        super().__init__()
        kernel = dict(kernel_size=3, padding=dilation, dilation=dilation, norm_cfg=norm_cfg)
        self.conv1 = ConvModule(in_channels, channels, **kernel)
        self.conv2 = ConvModule(channels, channels, act_cfg=None, **kernel)
        self.shortcut = nn.Identity()
        if in_channels != channels:
            self.shortcut = ConvModule(in_channels, channels, 1, norm_cfg=norm_cfg, act_cfg=None)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, channels, H, W)."""
        return F.relu(self.conv2(self.conv1(x)) + self.shortcut(x), inplace=True)


@MODELS.register_module()
class MaskRefinementHead(BaseModule):
    """Refines RoI masks on square patches of the image around their boxes.

    The RGB patch and the mask given, 4 channels, go through residual blocks; a 1x1 convolution gives what is added
    to the mask's logit. It is zero-initialised: untrained, the head returns the masks that it is given.

    Args:
        patch_size: side of the patches in pixels.
        context: side of the window that a patch shows, in units of the box's longer side.
        channels: of the residual blocks.
        num_blocks: residual blocks.
        dilation: of their 3x3 convolutions.
        norm_cfg: config of their normalisation; ``None``: none.
        box_jitter: in training each side of a ground-truth box is moved by at most this share of its width or
            height.
        loss_bce: config of the loss ``loss_refine_bce``; a module (masks, targets) -> one value per instance.
        loss_iou: config of the loss ``loss_refine_iou``, likewise.
        max_instances: at most this many instances of a batch are trained on, drawn anew each time; bounds memory.
        chunk: instances refined at a time at test; bounds memory.

    Raises:
        ValueError: ``num_blocks``, ``max_instances``, ``chunk`` or ``context`` is below 1, or ``box_jitter`` is
            outside [0, 0.5).
    """

    joins_frames = False

    def __init__(
        self,
        *,
        patch_size: int = 384,
        context: float = 1.5,
        channels: int = 128,
        num_blocks: int = 3,
        dilation: int = 1,
        norm_cfg: dict | None = None,
        box_jitter: float = 0.1,
        loss_bce: dict | None = None,
        loss_iou: dict | None = None,
        max_instances: int = 8,
        chunk: int = 4,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        for name, count in (('num_blocks', num_blocks), ('max_instances', max_instances), ('chunk', chunk)):
            if count < 1:
                raise ValueError(f'{name}={count} must be at least 1')
        if context < 1:
            raise ValueError(f'context={context} must be at least 1, or the window would cut its box')
        if not 0 <= box_jitter < 0.5:
            raise ValueError(f'box_jitter={box_jitter} must be at least 0 and below 0.5, where boxes turn over')
        self.patch_size = patch_size
        self.context = context
        self.box_jitter = box_jitter
        self.max_instances = max_instances
        self.chunk = chunk
        self.loss_bce = MODELS.build(loss_bce or dict(type='BinaryMaskLoss'))
        self.loss_iou = MODELS.build(loss_iou or dict(type='SoftIoULoss'))
        self.blocks = nn.Sequential(
            *(ResidualBlock(channels if i else 4, channels, dilation, norm_cfg) for i in range(num_blocks))
        )
        self.predictor = nn.Conv2d(channels, 1, 1)
        nn.init.zeros_(self.predictor.weight)
        nn.init.zeros_(self.predictor.bias)

    def forward(self, patches: Tensor, masks: Tensor) -> Tensor:
        """Refine masks on patches.

        Args:
            patches: (N, 3, P, P) float, normalised RGB.
            masks: (N, P, P) float in [0, 1].

        Returns:
            (N, P, P) float32 in [0, 1].
        """
        x = torch.cat([patches, masks[:, None]], 1).to(self.predictor.weight.dtype)
        residual = self.predictor(self.blocks(x))[:, 0]
        # in fp32 also under autocast: near 0 and 1 half precision has too few steps
        return (masks.float().clamp(CLAMP, 1 - CLAMP).logit() + residual.float()).sigmoid()

    @torch.no_grad()
    def encode(self, view: View, instances: Detections) -> PerInstance | None:
        """The refined masks of a frame's N detections: RLEs at the video's size; None without soft masks."""
        if instances.roi_masks is None:
            return None
        masks, windows = self.refine(view.image, instances.boxes, instances.roi_masks)
        scale = numbers_on(windows.device, view.meta['scale_factor'], windows.dtype).repeat(2)  # (w, h, w, h)
        height, width = view.meta['ori_shape'][:2]
        paste = partial(paste_binary_masks, threshold=instances.mask_threshold)
        return PerInstance(paste_in_turn(paste, masks, windows / scale, height, width))

    @torch.no_grad()
    def refine(self, image: Tensor, boxes: Tensor, roi_masks: Tensor) -> tuple[Tensor, Tensor]:
        """Refine the masks of one frame.

        Args:
            image: (1, 3, H, W) float, normalised and padded.
            boxes: (N, 4) float, in pixels of the image.
            roi_masks: (N, m, m) float in [0, 1], soft masks in the boxes.

        Returns:
            (N, P, P) float32 masks in [0, 1], and (N, 4) float32 windows that they fill, in pixels of the image:
            masks are pasted at these as RoI masks are at boxes.
        """
        windows = square_windows(boxes, self.context)
        parts = range(0, len(boxes), self.chunk)
        chunks = [[x[i : i + self.chunk] for x in (boxes, windows, roi_masks)] for i in parts]
        refined = [self(*self._patches(image, [b], [w], [m])) for b, w, m in chunks]
        if not refined:
            return windows.new_zeros((0, self.patch_size, self.patch_size)), windows
        return torch.cat(refined), windows

    def jitter(self, boxes: Tensor, img_shape: tuple[int, int]) -> Tensor:
        """Ground-truth boxes as imprecise as detected ones.

        Args:
            boxes: (N, 4) float, in pixels. img_shape: (height, width) of the image in pixels.

        Returns:
            (N, 4) float, within the image.
        """
        height, width = img_shape[:2]
        sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
        moved = boxes + sides * torch.empty_like(boxes).uniform_(-self.box_jitter, self.box_jitter)
        return moved.clamp(min=0).minimum(numbers_on(boxes.device, [width, height] * 2, boxes.dtype))

    def loss(self, pairs: FramePairs) -> dict[str, Tensor]:
        """:meth:`mask_losses` of the key frames, on the model's own masks at jittered ground-truth boxes."""
        keys = pairs.keys
        boxes = [self.jitter(sample.gt_instances.bboxes, sample.metainfo['img_shape']) for sample in keys]
        with torch.no_grad():
            roi_masks = pairs.masks_at(boxes)
        masks = [sample.gt_instances.masks.to_tensor(torch.bool, pairs.images.device) for sample in keys]
        return self.mask_losses(pairs.images, boxes, roi_masks, masks)

    def mask_losses(
        self, images: Tensor, boxes: Sequence[Tensor], roi_masks: Sequence[Tensor], masks: Sequence[Tensor]
    ) -> dict[str, Tensor]:
        """Losses of B images, mean over their instances.

        Args:
            images: (B, 3, H, W) float, normalised and padded.
            boxes: B tensors (N_b, 4) float, jittered, in pixels of the images.
            roi_masks: B tensors (N_b, m, m) float in [0, 1], soft masks in the boxes; no gradient goes into them.
            masks: B tensors (N_b, H, W) bool or 0/1, the ground truth.

        Returns:
            scalars ``loss_refine_bce`` and ``loss_refine_iou``; without instances 0, but connected to every
            parameter.
        """
        boxes, roi_masks, masks = self._draw(boxes, roi_masks, masks)
        if sum(map(len, boxes)) == 0:
            blank = 0 * sum(p.sum() for p in self.parameters())
            return dict(loss_refine_bce=blank, loss_refine_iou=blank)
        windows = [square_windows(b, self.context) for b in boxes]
        refined = self(*self._patches(images, boxes, windows, [m.detach() for m in roi_masks]))
        truth = crop_windows(torch.cat(masks)[:, None], torch.cat(windows).split(1), self.patch_size)[:, 0]
        targets = (truth >= 0.5).float()
        return dict(
            loss_refine_bce=self.loss_bce(refined, targets).mean(),
            loss_refine_iou=self.loss_iou(refined, targets).mean(),
        )

    def _draw(self, *fields: Sequence[Tensor]) -> list[list[Tensor]]:
        """At most ``max_instances`` of the batch's instances: the same ones of each field."""
        counts = [len(x) for x in fields[0]]
        if sum(counts) <= self.max_instances:
            return [list(field) for field in fields]
        drawn = torch.zeros(sum(counts), dtype=torch.bool)
        drawn[torch.randperm(len(drawn))[: self.max_instances]] = True
        kept = drawn.split(counts)
        return [[x[k.to(x.device)] for x, k in zip(field, kept, strict=True)] for field in fields]

    def _patches(
        self, images: Tensor, boxes: Sequence[Tensor], windows: Sequence[Tensor], roi_masks: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The images (N, 3, P, P) and the soft masks (N, P, P) in the windows of B images, as float32."""
        inside = boxes_in_windows(torch.cat(list(boxes)), torch.cat(list(windows)), self.patch_size)
        # images without instances have masks of another size
        given = torch.cat([m for m in roi_masks if len(m)] or [roi_masks[0]])
        pasted = paste_soft_masks(given, inside, self.patch_size, self.patch_size)
        return crop_windows(images, windows, self.patch_size), pasted
