"""Embeddings of detections against those of known objects, of whom a detection may be none."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def match_logits(embeds: Tensor, memory: Tensor, normalize: bool) -> Tensor:
    """Dot products of embeddings; a new object's logit is 0. In fp32, also under autocast: they are not scaled.

    Args:
        embeds: (N, E) float, of detections. memory: (M, E) float, of objects.
        normalize: to length 1 first, so that the products are cosines.

    Returns:
        (N, M + 1) float.
    """
    embeds, memory = embeds.float(), memory.float()
    if normalize:
        embeds, memory = F.normalize(embeds, dim=1), F.normalize(memory, dim=1)
    with torch.autocast(embeds.device.type, enabled=False):
        return F.pad(embeds @ memory.T, (1, 0))
