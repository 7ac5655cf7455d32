"""What a stream takes of a frame: from the detector's output, or from instances that are known."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pycocotools.mask as mask_utils
import torch
import torch.nn.functional as F
from torch import Tensor

from maskprop.models.duplicates import class_scores, group_duplicates
from maskprop.ops.masks import downsample_masks, paste_soft_masks
from maskprop.structures import Detections, Frame, VideoHead, View

PasteMasks = Callable[[Tensor, Tensor, int, int], list[dict]]  # RoI masks, boxes, height, width -> RLEs
DEFAULT_STRIDE = 8  # pixels, of the soft masks when nothing propagates by a stride of its own


@dataclass(frozen=True)
class FrameEncoder:
    """Makes the :class:`~maskprop.structures.frame.Frame` of a view.

    Args:
        heads: by their keys; each adds a code.
        paste_masks: (N, m, m) RoI masks, (N, 4) boxes in pixels of the video, height, width to N RLEs.
        merge_iou: detections whose boxes overlap above this are one with several class scores; None: never.
        stride: pixels of the network's input per cell of the soft masks.
    """

    heads: Mapping[str, VideoHead]
    paste_masks: PasteMasks
    merge_iou: float | None
    stride: int = DEFAULT_STRIDE

    def from_detections(
        self,
        view: View,
        detections: Detections,
        groups: Tensor | None = None,
        needs: Collection[str] | None = None,
    ) -> Frame:
        """The frame with what the detector found.

        Args:
            view: the frame's features, image and meta.
            detections: N of them.
            groups: (N,) long, which detection stands for each one, as ``group_duplicates`` gives it; ``None``: by
                ``merge_iou``.
            needs: keys of the heads whose codes are wanted; ``None``: all.
        """
        scale = detections.boxes.new_tensor(view.meta['scale_factor']).repeat(2)  # (w, h, w, h)
        if groups is None:
            groups = group_duplicates(detections.boxes / scale, detections.scores, self.merge_iou)
        kept = groups.unique()
        found = detections.select(kept)
        return Frame(
            masks=self._soft_masks(view, found),
            boxes=(found.boxes / scale).cpu(),
            class_scores=class_scores(detections, groups, kept),
            rles=self.final_masks(view.meta, found),
            codes=self._codes(view, found, needs),
            **self._sizes(view),
        )

    def final_masks(self, meta: dict, found: Detections) -> list[dict]:
        """N RLEs at the video's size; ``meta``: of the frame."""
        if found.frame_masks is not None:
            return found.frame_masks.in_video(meta)
        boxes = found.boxes / found.boxes.new_tensor(meta['scale_factor']).repeat(2)
        return self.paste_masks(found.roi_masks, boxes, *meta['ori_shape'][:2])

    def from_instances(
        self,
        view: View,
        instances: list[dict],
        merge_iou: float | None = None,
        needs: Collection[str] | None = None,
    ) -> Frame:
        """The frame with instances that are known: annotations, or detections of another model.

        Args:
            view: the frame's features, image and meta.
            instances: dicts of ``bbox`` (x1, y1, x2, y2), ``bbox_label``, ``mask`` (RLE), in pixels of the video,
                and ``score`` (default 1).
            merge_iou: in place of the encoder's own.
            needs: keys of the heads whose codes are wanted; ``None``: all.
        """
        device = view.image.device
        found = Detections(
            boxes=network_boxes(instances, view.meta, device),
            scores=torch.tensor([float(i.get('score', 1)) for i in instances], device=device),
            labels=torch.tensor([int(i['bbox_label']) for i in instances], dtype=torch.long, device=device),
            roi_masks=None,
        )
        groups = group_duplicates(found.boxes, found.scores, merge_iou)
        kept = groups.unique()
        instances = [instances[row] for row in kept.tolist()]
        return Frame(
            masks=_stride_masks(instances, view, self.stride),
            boxes=_video_boxes(instances),
            class_scores=class_scores(found, groups, kept),
            rles=[_as_text(i['mask']) for i in instances],
            codes=self._codes(view, found.select(kept), needs),
            **self._sizes(view),
        )

    def _soft_masks(self, view: View, found: Detections) -> Tensor:
        if found.frame_masks is not None:
            return found.frame_masks.on_map(*self._cells(view))
        return paste_soft_masks(found.roi_masks, found.boxes / self.stride, *self._cells(view))

    def _codes(self, view: View, instances: Detections, needs: Collection[str] | None) -> dict:
        wanted = (name for name in self.heads if needs is None or name in needs)
        codes = {name: self.heads[name].encode(view, instances) for name in wanted}
        return {name: code for name, code in codes.items() if code is not None}

    def _cells(self, view: View) -> tuple[int, int]:
        height, width = view.shape
        return height // self.stride, width // self.stride

    def _sizes(self, view: View) -> dict[str, Any]:
        scale = view.meta['scale_factor'][::-1]  # (h, w)
        return dict(
            size=tuple(view.meta['ori_shape'][:2]),
            map_size=tuple(n * self.stride / s for n, s in zip(self._cells(view), scale, strict=True)),
        )


def network_boxes(instances: list[dict], meta: dict, device: torch.device | str) -> Tensor:
    """Boxes of a frame's instances in pixels of the network's input, (N, 4) float."""
    boxes = _video_boxes(instances).to(device)
    return boxes * boxes.new_tensor(meta['scale_factor']).repeat(2)


def _stride_masks(instances: list[dict], view: View, stride: int) -> Tensor:
    """(N, H, W) float of 0 and 1, at the stride; one by one, as full-size masks of many would fill the memory."""
    height, width = view.shape
    shown = view.meta['img_shape'][:2]
    masks = [torch.zeros(0, height // stride, width // stride)]
    for instance in instances:
        bitmap = torch.from_numpy(mask_utils.decode(instance['mask']))[None, None].float()
        resized = F.interpolate(bitmap, size=shown, mode='nearest')[0]
        padded = F.pad(resized, (0, width - shown[1], 0, height - shown[0]))
        masks.append(downsample_masks(padded, stride))
    return torch.cat(masks).to(view.image.device)


def _video_boxes(instances: list[dict]) -> Tensor:
    return torch.tensor([i['bbox'] for i in instances], dtype=torch.float32).reshape(-1, 4)


def _as_text(rle: dict) -> dict:
    counts = rle['counts']
    return dict(size=list(rle['size']), counts=counts.decode('ascii') if isinstance(counts, bytes) else counts)
