"""A frame for a linker, of detections that a case has as rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from maskprop.ops.masks import encode_mask
from maskprop.structures import Frame


def detected_frame(boxes: Tensor, labels: Tensor, size: tuple[int, int] = (1, 1), **codes: Any) -> Frame:
    """A frame with the detections of (N, 5) boxes and scores; their masks, which nothing here needs, are empty."""
    return Frame(
        masks=torch.zeros(len(boxes), 1, 1),
        boxes=boxes[:, :4],
        class_scores=[{label: score} for label, score in zip(labels.tolist(), boxes[:, 4].tolist(), strict=True)],
        rles=[encode_mask(np.zeros(size, dtype=np.uint8))] * len(boxes),
        size=size,
        map_size=size,
        codes=codes,
    )
