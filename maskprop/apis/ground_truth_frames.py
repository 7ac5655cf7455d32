"""Frames of a data set as a stream takes them, with the annotations in place of the detections."""

from __future__ import annotations

import numpy as np
import pycocotools.mask as mask_utils
import torch
import torch.nn.functional as F
from mmengine.dataset import pseudo_collate
from torch import Tensor

from maskprop.models.detectors.video_mask_rcnn import DEFAULT_STRIDE
from maskprop.ops.masks import downsample_masks
from maskprop.tracking.stream import Frame


def load_frame(model: torch.nn.Module, dataset: torch.utils.data.Dataset, video: int, index: int) -> tuple:
    """Image (1, 3, H, W), normalised and padded, and meta of a frame of a ``YouTubeVISJsonDataset``."""
    batch = model.data_preprocessor(pseudo_collate([dataset[video, index]]), False)
    return batch['inputs'][0], batch['data_samples'][0][0].metainfo


@torch.no_grad()
def encode_ground_truth(model: torch.nn.Module, image: Tensor, meta: dict, instances: list[dict]) -> Frame:
    """A frame whose detections are its annotations, with score 1.

    Args:
        model: a ``VideoMaskRCNN``, with or without a propagation head.
        image: (1, 3, H, W) float. meta: ``img_shape``, ``ori_shape``, ``scale_factor``.
        instances: dicts of ``bbox`` (x1, y1, x2, y2), ``bbox_label`` and ``mask`` (RLE) at the video's size.
    """
    return ground_truth_frame(model, model.detector.extract_feat(image), meta, image.shape[-2:], instances)


@torch.no_grad()
def ground_truth_frame(
    model: torch.nn.Module,
    feats: tuple[Tensor, ...],
    meta: dict,
    input_shape: tuple[int, int],
    instances: list[dict],
) -> Frame:
    """:func:`encode_ground_truth` on features computed elsewhere.

    Args:
        feats: levels of the FPN, each (1, C, H_l, W_l).
        input_shape: (H, W) of the network's input, padding included.
    """
    stride = DEFAULT_STRIDE if model.propagation_head is None else model.propagation_head.stride
    height, width = input_shape
    shown, scale = meta['img_shape'][:2], meta['scale_factor']
    bitmaps = np.zeros((len(instances), *meta['ori_shape'][:2]), dtype=np.uint8)
    for row, instance in enumerate(instances):
        bitmaps[row] = mask_utils.decode(instance['mask'])
    resized = F.interpolate(torch.from_numpy(bitmaps)[:, None].float(), size=shown, mode='nearest')[:, 0]
    padded = F.pad(resized, (0, width - shown[1], 0, height - shown[0])).to(feats[0].device)
    return Frame(
        **model.frame_code(feats, network_boxes(instances, meta, feats[0].device)),
        masks=downsample_masks(padded, stride),
        boxes=_video_boxes(instances),
        class_scores=[{i['bbox_label']: 1.0} for i in instances],
        rles=[_as_text(i['mask']) for i in instances],
        size=tuple(meta['ori_shape'][:2]),
        map_size=(height / scale[1], width / scale[0]),
    )


def network_boxes(instances: list[dict], meta: dict, device: torch.device | str) -> Tensor:
    """Boxes of a frame's annotations in pixels of the network's input, (N, 4) float."""
    boxes = _video_boxes(instances).to(device)
    return boxes * boxes.new_tensor(meta['scale_factor']).repeat(2)


def _video_boxes(instances: list[dict]) -> Tensor:
    return torch.tensor([i['bbox'] for i in instances], dtype=torch.float32).reshape(-1, 4)


def _as_text(rle: dict) -> dict:
    counts = rle['counts']
    return dict(size=list(rle['size']), counts=counts.decode('ascii') if isinstance(counts, bytes) else counts)
