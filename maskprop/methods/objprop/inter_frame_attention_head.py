"""The inter-frame attention head (ObjProp, Section 2.2): masks in one frame of boxes in another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from maskprop.methods.objprop.history_filler import HistoryFiller
from maskprop.methods.objprop.inter_frame_attention import ROW_FORMS, object_maps, propagate_maps
from maskprop.ops.uploads import numbers_on
from maskprop.structures import Detections, FramePairs, View

REDUCTIONS = ('mean', 'sum')
FIRST_STRIDE = 4  # pixels, of the finest FPN level
OBJECTS_PER_CALL = 8  # of the mask branch at test: bounds its memory
INIT_CFG = (
    dict(type='Kaiming', layer=['Conv2d', 'ConvTranspose2d'], mode='fan_out', nonlinearity='relu'),
    dict(type='Constant', layer='BatchNorm2d', val=1, bias=1),
)


class FoundObjects(NamedTuple):
    """Where the N objects of a batch's reference frames are in the current frames; M of them are there.

    Attributes:
        images: (N,) long, the index of each object's frame in the batch.
        rows: (N,) long, its row in the current frame's annotations; -1 where it is absent.
        boxes: (N, 4) float, its box in the current frame; 0 where it is absent.
        labels: (N,) long.
        masks: (M, H, W) float of 0 and 1.
    """

    images: Tensor
    rows: Tensor
    boxes: Tensor
    labels: Tensor
    masks: Tensor


@MODELS.register_module()
class InterFrameAttentionHead(BaseModule):
    """Propagates boxes by attention between two frames and segments what they attend to.

    Defaults follow the released code where it made the reported numbers; docs/methods/objprop.md lists where the
    paper differs.

    Args:
        num_classes: without background. In a config it may be ``None``: training and test fill in the data set's.
        in_channels: of an FPN level.
        num_levels: FPN levels used, from stride 4 on.
        channels: of the head's features.
        stride: of the features in pixels; the paper says 16, the released code 8.
        num_mask_convs: of the mask branch.
        reduction: of the attention loss over pixels: ``'mean'``, or ``'sum'`` as Eq. 3 has it (mean over objects).
        spatial_sigma: at test the affinity is multiplied by a Gaussian of this many cells (8 in the released code,
            not in the paper); ``None``: it isn't.
        spatial_row: a cell's row in that Gaussian: ``'index'`` or the ``'fraction'`` index / width.
        attention_loss_weight, mask_loss_weight: of the two losses.

    Raises:
        ValueError: ``reduction`` or ``spatial_row`` is unknown.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 256,
        num_levels: int = 4,
        channels: int = 256,
        stride: int = 8,
        num_mask_convs: int = 4,
        reduction: str = 'mean',
        spatial_sigma: float | None = None,
        spatial_row: str = 'index',
        attention_loss_weight: float = 1.0,
        mask_loss_weight: float = 1.0,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg or list(INIT_CFG))
        if reduction not in REDUCTIONS:
            raise ValueError(f'reduction={reduction!r} is unknown; choose one of {REDUCTIONS}')
        if spatial_row not in ROW_FORMS:
            raise ValueError(f'spatial_row={spatial_row!r} is unknown; choose one of {ROW_FORMS}')
        self.num_levels = num_levels
        self.stride = stride
        self.reduction = reduction
        self.spatial_sigma = spatial_sigma
        self.spatial_row = spatial_row
        self.attention_loss_weight = attention_loss_weight
        self.mask_loss_weight = mask_loss_weight

        self.convs = nn.Sequential(
            nn.Conv2d(num_levels * in_channels, channels, 1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1),
        )
        self.mask_convs = nn.ModuleList(
            ConvModule(channels, channels, 3, padding=1) for _ in range(num_mask_convs)
        )
        self.upsample = nn.ConvTranspose2d(channels, channels, 2, stride=2)
        self.conv_logits = nn.Conv2d(channels, num_classes, 1)

    # -- the steps

    def encode_features(self, feats: Sequence[Tensor]) -> Tensor:
        """F_t: levels resized to the stride, concatenated, three convolutions.

        Args:
            feats: levels of the FPN, each (B, in_channels, H_l, W_l); those beyond ``num_levels`` are left out.

        Returns:
            (B, channels, H / stride, W / stride).
        """
        size = [side * FIRST_STRIDE // self.stride for side in feats[0].shape[-2:]]
        levels = [F.interpolate(level, size, mode='bilinear') for level in feats[: self.num_levels]]
        return self.convs(torch.cat(levels, 1))

    def propagate_boxes(
        self, current: Tensor, reference: Tensor, boxes: Sequence[Tensor], weighted: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Object and background maps of the boxes of B reference frames, carried to the current ones (Eq. 2).

        Args:
            current: (B, C, h, w), or B = 1 for all references. reference: (B, C, h, w).
            boxes: B tensors (N_b, 4) float, pixels of the network's input; N of all frames.
            weighted: apply the spatial weight, if the head has one.

        Returns:
            two (N, h, w) float32.
        """
        height, width = reference.shape[-2:]
        maps = [object_maps(b, height, width, self.stride) for b in boxes]
        # frames hold different numbers of objects: empty maps fill up the batch
        padded = pad_sequence(maps, batch_first=True)  # [B, most, h, w]
        sigma = self.spatial_sigma if weighted else None
        carried = propagate_maps(current, reference, padded, sigma=sigma, row=self.spatial_row)
        objects, background = (torch.cat([m[: len(b)] for m, b in zip(x, boxes, strict=True)]) for x in carried)
        return objects, background

    def attention_logits(self, objects: Tensor, background: Tensor) -> Tensor:
        """(N, H, W) logits, in pixels: the softmax of object against background is their sigmoid."""
        return self._to_pixels((objects - background)[:, None])[:, 0]

    def attend(self, current: Tensor, attention: Tensor) -> Tensor:
        """Mask logits of all classes, at half the head's stride.

        Args:
            current: (N or 1, C, h, w) features.
            attention: (N, H, W) float in [0, 1], pixels.

        Returns:
            (N, num_classes, 2 h, 2 w).
        """
        x = current * self.to_cells(attention)[:, None].to(current.dtype)
        for conv in self.mask_convs:
            x = conv(x)
        return self.conv_logits(F.relu(self.upsample(x)))

    def to_cells(self, attention: Tensor) -> Tensor:
        """Attention maps (N, H, W) at the head's stride, (N, h, w); interpolated, not averaged over the cell."""
        size = [side // self.stride for side in attention.shape[-2:]]
        return F.interpolate(attention[:, None], size, mode='bilinear')[:, 0]

    def probabilities(self, logits: Tensor) -> Tensor:
        """Masks (N, H, W) float32 in pixels of the network's input from (N, 2 h, 2 w) logits."""
        return self._mask_to_pixels(logits).sigmoid()

    def _mask_to_pixels(self, logits: Tensor) -> Tensor:
        scale = self.stride // 2
        return F.interpolate(logits[:, None].float(), scale_factor=scale, mode='bilinear')[:, 0]

    def _to_pixels(self, maps: Tensor) -> Tensor:
        return F.interpolate(maps.float(), scale_factor=self.stride, mode='bilinear')

    # -- test

    def encode(self, view: View, instances: Detections) -> Tensor:
        """The code of a frame, (C, h, w); it does not depend on its instances."""
        return self.encode_features(view.feats)[0]

    def encode_batch(
        self, feats: Sequence[Tensor], views: Sequence[View], instances: Sequence[Detections]
    ) -> list[Tensor]:
        """:meth:`encode` of several frames."""
        return list(self.encode_features(feats).unbind())

    def history_filler(self, **options: Any) -> HistoryFiller:
        """What fills a video's missed objects; options of :class:`HistoryFiller`."""
        return HistoryFiller(self, **options)

    def propagate_objects(
        self, current: Tensor, references: Tensor, boxes: Sequence[Tensor], labels: Sequence[Tensor]
    ) -> Tensor:
        """Masks in one frame of the objects of K earlier frames.

        Args:
            current: (C, h, w), the code of the frame.
            references: (K, C, h, w), those of the earlier ones.
            boxes: K tensors (N_k, 4) float, pixels of the network's input; N of all frames.
            labels: K tensors (N_k,) long.

        Returns:
            (N, 2 h, 2 w) float32, logits of each object's class; see :meth:`probabilities`.
        """
        objects, background = self.propagate_boxes(current[None], references, boxes, weighted=True)
        parts = (x.split(OBJECTS_PER_CALL) for x in (objects, background, torch.cat(list(labels))))
        logits = []
        for part_objects, part_background, part_labels in zip(*parts, strict=True):
            attention = self.attention_logits(part_objects, part_background).sigmoid()
            logits.append(_of_class(self.attend(current[None], attention), part_labels))
        return torch.cat(logits)

    # -- training

    def loss(self, pairs: FramePairs) -> dict[str, Tensor]:
        """:meth:`pair_losses` of a batch: the other frames are the references of the key frames."""
        codes = self.encode_features(pairs.feats)
        return self.pair_losses(codes[::2], codes[1::2], pairs.keys, pairs.others, pairs.input_shape)

    def pair_losses(
        self,
        current: Tensor,
        reference: Tensor,
        current_samples: Sequence[DetDataSample],
        reference_samples: Sequence[DetDataSample],
        input_shape: tuple[int, int],
    ) -> dict[str, Tensor]:
        """Attention loss (Eq. 3) and mask loss of the reference frames' ground-truth boxes in the current frames.

        An object that is absent from the current frame is all background for the attention and has no mask loss.

        Args:
            current, reference: (B, C, h, w) codes.
            current_samples, reference_samples: B samples with ``gt_instances`` (``bboxes`` in pixels of the
                network's input, ``labels``, ``masks``, ``instances_ids``).
            input_shape: (height, width) of the padded input in pixels.

        Returns:
            ``loss_attention`` and ``loss_propagated_mask``; without objects 0, but connected to every parameter.
        """
        boxes = [sample.gt_instances.bboxes.to(current.device).float() for sample in reference_samples]
        if not sum(len(b) for b in boxes):
            nothing = self._zero_loss(current)
            return dict(loss_attention=nothing, loss_propagated_mask=nothing)
        logits = self.attention_logits(*self.propagate_boxes(current, reference, boxes))
        found = find_objects(current_samples, reference_samples, input_shape, current.device)
        targets = object_maps(found.boxes, *input_shape, stride=1)
        loss = F.binary_cross_entropy_with_logits(logits, targets, reduction='none')
        loss = loss.mean() if self.reduction == 'mean' else loss.sum((1, 2)).mean()
        return dict(
            loss_attention=self.attention_loss_weight * loss,
            loss_propagated_mask=self.mask_loss_weight * self._mask_loss(current, logits, found),
        )

    def _mask_loss(self, current: Tensor, logits: Tensor, found: FoundObjects) -> Tensor:
        """Binary cross-entropy over the padded image, of the channel of each object's class."""
        present = found.rows >= 0
        if not present.any():
            return self._zero_loss(current)
        masks = self.attend(current[found.images[present]], logits[present].sigmoid())
        masks = self._mask_to_pixels(_of_class(masks, found.labels[present]))
        return F.binary_cross_entropy_with_logits(masks, found.masks)

    def _zero_loss(self, current: Tensor) -> Tensor:
        """0, connected to every parameter: DDP then needs no search for unused ones."""
        attention = current.new_ones((1, *(side * self.stride for side in current.shape[-2:])))
        return 0 * self.attend(current[:1], attention).float().sum()


def _of_class(logits: Tensor, labels: Tensor) -> Tensor:
    """(N, H, W): of (N, num_classes, H, W) each object's own class."""
    return logits[torch.arange(len(labels), device=labels.device), labels]


def find_objects(
    current_samples: Sequence[DetDataSample],
    reference_samples: Sequence[DetDataSample],
    input_shape: tuple[int, int],
    device: torch.device | str,
) -> FoundObjects:
    """The reference frames' objects in the current frames, by ``instances_ids``; masks at the input's size."""
    images, rows, boxes, labels, masks = [], [], [], [], []
    for index, (current, reference) in enumerate(zip(current_samples, reference_samples, strict=True)):
        objects = current.gt_instances
        row_of = {i: row for row, i in enumerate(objects.instances_ids.tolist())}
        found = [row_of.get(i, -1) for i in reference.gt_instances.instances_ids.tolist()]
        images += [index] * len(found)
        rows += found
        # an absent object has row -1: of one more box, 0
        boxes.append(F.pad(objects.bboxes.to(device).float(), (0, 0, 0, 1))[found])
        labels.append(F.pad(objects.labels.to(device), (0, 1))[found])
        bitmaps = objects.masks[[row for row in found if row >= 0]].to_tensor(torch.float32, device)
        height, width = bitmaps.shape[1:]
        masks.append(F.pad(bitmaps, (0, input_shape[1] - width, 0, input_shape[0] - height)))
    return FoundObjects(
        images=numbers_on(device, images, torch.long),
        rows=numbers_on(device, rows, torch.long),
        boxes=torch.cat(boxes),
        labels=torch.cat(labels),
        masks=torch.cat(masks),
    )
