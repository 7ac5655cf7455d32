"""What a clip's decoders learn: masks, classes and ignored cells at stride 4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

STRIDE = 4


class ClipTargets(NamedTuple):
    """Ground truth of a clip with N objects and T frames, on H x W cells.

    Attributes:
        masks: (N, T, H, W) bool; each object has a cell somewhere.
        classes: (T, H, W) long: 0 background, else class index + 1; where masks overlap the highest.
        ignored: (T, H, W) bool.
    """

    masks: Tensor
    classes: Tensor
    ignored: Tensor


def clip_targets(
    frames: Sequence[DetDataSample], size: tuple[int, int], device: torch.device | str
) -> ClipTargets:
    """The targets of one clip, from the annotations of its T frames.

    Args:
        frames: with ``gt_instances`` (``masks``, ``labels``, ``instances_ids``) and, for what is ignored,
            ``ignored_instances`` (``masks``). An id has its class from the first frame it is in.
        size: (height, width) of the network's input in pixels; masks may be smaller (padding).
        device: of the result.
    """
    labels: dict[int, int] = {}
    for frame in frames:
        instances = frame.gt_instances
        for instance, label in zip(instances.instances_ids.tolist(), instances.labels.tolist(), strict=True):
            labels.setdefault(instance, label)
    rows = {instance: row for row, instance in enumerate(labels)}
    masks = torch.zeros(len(rows), len(frames), *size, dtype=torch.bool, device=device)
    ignored = torch.zeros(len(frames), *size, dtype=torch.bool, device=device)
    for t, frame in enumerate(frames):
        ids = frame.gt_instances.instances_ids.tolist()
        for instance, mask in zip(ids, _bitmaps(frame.gt_instances), strict=True):
            masks[rows[instance], t, : mask.shape[0], : mask.shape[1]] = mask.to(device)
        for mask in _bitmaps(frame.get('ignored_instances')):
            ignored[t, : mask.shape[0], : mask.shape[1]] |= mask.to(device)
    return reduce_targets(masks, torch.tensor(list(labels.values()), dtype=torch.long, device=device), ignored)


def reduce_targets(masks: Tensor, labels: Tensor, ignored: Tensor) -> ClipTargets:
    """Targets at stride 4 of full-size masks.

    Args:
        masks: (N, T, H, W) bool. labels: (N,) long, class indices. ignored: (T, H, W) bool.

    Returns:
        targets on H / 4 x W / 4 cells. Objects without a cell are left out of ``masks``.
    """
    small = central_cells(masks)
    classes = (small * (labels + 1)[:, None, None, None]).amax(0) if len(small) else 0 * small.sum(0)
    return ClipTargets(small[small.flatten(1).any(1)], classes.long(), central_cells(ignored))


def central_cells(masks: Tensor) -> Tensor:
    """(..., H, W) bool to (..., H / 4, W / 4): a cell counts if its four central pixels all do.

    That is what bilinear reduction to a quarter gives, rounded down: masks shrink, and small objects vanish.
    """
    first, second = STRIDE // 2 - 1, STRIDE // 2
    rows = masks[..., first::STRIDE, :] & masks[..., second::STRIDE, :]
    return rows[..., first::STRIDE] & rows[..., second::STRIDE]


def _bitmaps(instances: InstanceData | None) -> list[Tensor]:
    """The masks of a frame's instances, (H, W) bool each."""
    if instances is None or 'masks' not in instances:
        return []
    return [torch.from_numpy(mask).bool() for mask in instances.masks.masks]
