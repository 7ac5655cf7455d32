"""What a stream takes of a frame: from the detector's output, or from instances that are known."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any, cast

import numpy as np
import pycocotools.mask as mask_utils
import torch
import torch.nn.functional as F
from mmengine.model import ImgDataPreprocessor
from torch import Tensor

from maskprop.models.duplicates import class_scores, group_duplicates
from maskprop.ops.later_masks import paste_in_turn
from maskprop.ops.masks import downsample_masks, paste_soft_masks
from maskprop.ops.uploads import numbers_on
from maskprop.structures import (
    Detections,
    Frame,
    VideoHead,
    View,
    join_detections,
    split_detections,
    takes_many,
)

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
        preprocessor: that normalised the images; for frames that ``need`` their ``'image'``.
    """

    heads: Mapping[str, VideoHead]
    paste_masks: PasteMasks
    merge_iou: float | None
    stride: int = DEFAULT_STRIDE
    preprocessor: ImgDataPreprocessor | None = None

    def from_detections(
        self,
        view: View,
        detections: Detections,
        groups: np.ndarray | None = None,
        needs: Collection[str] | None = None,
    ) -> Frame:
        """The frame with what the detector found.

        Args:
            view: the frame's features, image and meta.
            detections: N of them.
            groups: (N,) integers, which detection stands for each one, as ``group_duplicates`` gives it;
                ``None``: by ``merge_iou``.
            needs: keys of the heads whose codes are wanted; ``None``: all.
        """
        return self._encode([view], view.feats, [detections], None if groups is None else [groups], needs)[0]

    def from_batch(
        self,
        views: Sequence[View],
        feats: tuple[Tensor, ...],
        detections: Sequence[Detections],
        needs: Collection[str] | None = None,
    ) -> list[Frame]:
        """:meth:`from_detections` of B frames of one video; what does not depend on order is done for all at once.

        Args:
            views, detections: B each. feats: levels of the FPN of all frames, each (B, C, H_l, W_l).
        """
        first = views[0]
        alike = all(v.shape == first.shape and _in_video(v.meta) == _in_video(first.meta) for v in views)
        if alike and all(found.roi_masks is not None for found in detections):
            return self._encode(views, feats, detections, None, needs)
        return [
            self.from_detections(view, found, None, needs) for view, found in zip(views, detections, strict=True)
        ]

    def _encode(
        self,
        views: Sequence[View],
        feats: tuple[Tensor, ...],
        detections: Sequence[Detections],
        groups: Sequence[np.ndarray] | None,
        needs: Collection[str] | None,
    ) -> list[Frame]:
        view = views[0]
        counts = [len(found.boxes) for found in detections]
        found = join_detections(detections)
        # all numbers of all frames are waited for once
        numbers = torch.cat([found.boxes, found.scores[:, None], found.labels[:, None].to(found.boxes)], 1).cpu()
        boxes, scores = _divided(numbers[:, :4], view.meta['scale_factor']), numbers[:, 4]
        if groups is None:
            parts = zip(boxes.split(counts), scores.split(counts), strict=True)
            groups = [group_duplicates(*part, self.merge_iou) for part in parts]
        known, kept = [], []
        labels, confidences = numbers[:, 5].int().numpy().tolist(), scores.numpy().tolist()
        for start, rows in zip(accumulate(counts, initial=0), groups, strict=False):
            own = np.unique(rows).tolist()
            part = slice(start, start + len(rows))
            known.append(class_scores(labels[part], confidences[part], rows.tolist(), own))
            kept += [start + row for row in own]
        if len(kept) < len(boxes):
            index = torch.tensor(kept, dtype=torch.long)
            found, boxes = found.select(index.to(found.boxes.device, non_blocking=True)), boxes[index]
        counts = [len(rows) for rows in known]
        instances = [found] if len(views) == 1 else split_detections(found, counts)
        ends = list(accumulate(counts))
        rles = self._final_masks(view.meta, found, later=len(views) > 1)
        columns = zip(
            known,
            self._soft_masks(view, found).split(counts),
            boxes.split(counts),
            (rles[end - count : end] for end, count in zip(ends, counts, strict=True)),
            self._batch_codes(views, feats, instances, needs),
            strict=True,
        )
        return [
            Frame(masks=m, boxes=b, class_scores=c, rles=r, codes=codes, **self._common(view, needs))
            for view, (c, m, b, r, codes) in zip(views, columns, strict=True)
        ]

    def _batch_codes(
        self,
        views: Sequence[View],
        feats: tuple[Tensor, ...],
        instances: Sequence[Detections],
        needs: Collection[str] | None,
    ) -> list[dict]:
        """The heads' codes of each frame."""
        codes: list[dict] = [{} for _ in views]
        for name, head in self.heads.items():
            if needs is not None and name not in needs:
                continue
            if len(views) > 1 and takes_many(head, 'encode', 'encode_batch'):
                found = cast(Any, head).encode_batch(feats, views, instances)
            else:
                found = [head.encode(view, part) for view, part in zip(views, instances, strict=True)]
            for own, code in zip(codes, found, strict=True):
                if code is not None:
                    own[name] = code
        return codes

    def final_masks(self, meta: dict, found: Detections) -> list[dict]:
        """N RLEs at the video's size; ``meta``: of the frame."""
        return list(self._final_masks(meta, found))

    def _final_masks(self, meta: dict, found: Detections, later: bool = False) -> Sequence[dict]:
        if found.frame_masks is not None:
            return found.frame_masks.in_video(meta)
        boxes = _divided(found.boxes, meta['scale_factor'])
        paste = partial(paste_in_turn, self.paste_masks) if later else self.paste_masks
        return paste(found.roi_masks, boxes, *meta['ori_shape'][:2])

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
            scores=numbers_on(device, [float(i.get('score', 1)) for i in instances]),
            labels=numbers_on(device, [int(i['bbox_label']) for i in instances], torch.long),
            roi_masks=None,
        )
        groups = group_duplicates(found.boxes, found.scores, merge_iou)
        kept = np.unique(groups)
        instances = [instances[row] for row in kept.tolist()]
        found_kept = found.select(numbers_on(device, kept))
        return Frame(
            masks=_stride_masks(instances, view, self.stride),
            boxes=_video_boxes(instances),
            class_scores=class_scores(
                found.labels.tolist(), found.scores.tolist(), groups.tolist(), kept.tolist()
            ),
            rles=[_as_text(i['mask']) for i in instances],
            codes=self._batch_codes([view], view.feats, [found_kept], needs)[0],
            **self._common(view, needs),
        )

    def _soft_masks(self, view: View, found: Detections) -> Tensor:
        if found.frame_masks is not None:
            return found.frame_masks.on_map(*self._cells(view))
        return paste_soft_masks(found.roi_masks, found.boxes / self.stride, *self._cells(view))

    def _cells(self, view: View) -> tuple[int, int]:
        height, width = view.shape
        return height // self.stride, width // self.stride

    def _common(self, view: View, needs: Collection[str] | None) -> dict[str, Any]:
        """What does not depend on a frame's instances: sizes, and the image where it is needed."""
        scale = view.meta['scale_factor'][::-1]  # (h, w)
        return dict(
            size=tuple(view.meta['ori_shape'][:2]),
            image=view.rgb(self.preprocessor) if 'image' in (needs or ()) else None,
            map_size=tuple(n * self.stride / s for n, s in zip(self._cells(view), scale, strict=True)),
        )


def _divided(boxes: Tensor, scale: Sequence[float]) -> Tensor:
    """Boxes by the (w, h) of a ``scale_factor``."""
    return boxes / numbers_on(boxes.device, scale, boxes.dtype).repeat(2)


def network_boxes(instances: list[dict], meta: dict, device: torch.device | str) -> Tensor:
    """Boxes of a frame's instances in pixels of the network's input, (N, 4) float."""
    boxes = _video_boxes(instances).to(device, non_blocking=True)
    return boxes * numbers_on(device, meta['scale_factor'], boxes.dtype).repeat(2)


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
    return torch.cat(masks).to(view.image.device, non_blocking=True)


def _video_boxes(instances: list[dict]) -> Tensor:
    return torch.tensor([i['bbox'] for i in instances], dtype=torch.float32).reshape(-1, 4)


def _as_text(rle: dict) -> dict:
    counts = rle['counts']
    return dict(size=list(rle['size']), counts=counts.decode('ascii') if isinstance(counts, bytes) else counts)


def _in_video(meta: dict) -> tuple:
    """What says where a frame's pixels are in the video."""
    return tuple(meta['scale_factor']), tuple(meta['ori_shape'][:2])
