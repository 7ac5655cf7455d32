"""RoI masks pasted as mmdet 0.x and 1.x did, for models that were trained there."""

from __future__ import annotations

import cv2
import numpy as np
from mmdet.registry import TASK_UTILS
from torch import Tensor

from maskprop.ops.masks import encode_crops


@TASK_UTILS.register_module()
def paste_legacy_masks(
    roi_masks: Tensor, boxes: Tensor, height: int, width: int, threshold: float = 0.5
) -> list[dict]:
    """Resize each RoI mask to its box in whole pixels, threshold and encode it.

    Takes the place of :func:`~maskprop.ops.masks.paste_binary_masks`, which samples at the exact box and counts
    the threshold itself as foreground.

    Args:
        roi_masks: (N, m, m) float in [0, 1].
        boxes: (N, 4) float, (x1, y1, x2, y2) in pixels of the image, x2 and y2 inclusive; truncated to integers.
        height, width: size of the image in pixels.
        threshold: a pixel is foreground above this probability.

    Returns:
        N compressed RLEs, ``{'size': [height, width], 'counts': str}``.
    """
    crops = []
    corners = boxes.detach().cpu().numpy().astype(np.int32)  # towards 0
    for roi_mask, (x1, y1, x2, y2) in zip(roi_masks.detach().float().cpu().numpy(), corners, strict=True):
        size = (max(int(x2 - x1) + 1, 1), max(int(y2 - y1) + 1, 1))
        inside = cv2.resize(roi_mask, size, interpolation=cv2.INTER_LINEAR) > threshold
        left, top = max(x1, 0), max(y1, 0)
        part = inside[top - y1 : max(height - y1, 0), left - x1 : max(width - x1, 0)]  # what lies in the image
        crops.append((part, top, left))
    return encode_crops(crops, height, width)
