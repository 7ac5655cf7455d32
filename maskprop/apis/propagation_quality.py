"""How well masks are propagated, apart from detection and linking: ground-truth masks in, IoU out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import pycocotools.mask as mask_utils
import torch

from maskprop.apis.synthetic_report import move_mask
from maskprop.apis.views import load_views
from maskprop.ops.masks import encode_mask

METHODS = ('propagated', 'copied', 'shifted')


@torch.no_grad()
def propagation_quality(
    model: torch.nn.Module,
    dataset: torch.utils.data.Dataset,
    gaps: Sequence[int] = tuple(range(1, 11)),
    every: int = 3,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, dict[int, float]]:
    """Mean IoU of ground-truth masks carried over a gap of frames, at the videos' own size.

    Args:
        model: a ``VideoMaskRCNN`` in evaluation mode.
        dataset: a ``YouTubeVISJsonDataset`` in test mode with annotations.
        gaps: in frames of the data set, positive.
        every: every how many frames a mask starts.
        progress: called with (videos done, videos in all).

    Returns:
        ``{'propagated' | 'copied' | 'shifted': {gap: mean IoU}}``; ``'shifted'`` moves the mask by the
        ground truth's own centroid shift in whole pixels, what the best translation could do. Instances absent
        from either frame are left out; a gap that no instance spans is missing.
    """
    scores: dict[str, dict[int, list[float]]] = {name: defaultdict(list) for name in METHODS}
    needs = getattr(model.propagator, 'needs', ())
    for video in range(len(dataset)):
        images = dataset.get_data_info(video)['images']
        frames = [
            model.encode(view, instances=images[t]['instances'], needs=needs)
            for t, view in load_views(model, dataset, video, range(len(images)))
        ]
        masks = [{i['instance_id']: i['mask'] for i in image['instances']} for image in images]
        for t in range(0, len(images), every):
            reached = [gap for gap in gaps if t + gap < len(images)]
            if masks[t] and reached:
                # every frame between too: a propagator may lead from one to the next
                soft = model.propagator.propagate(frames[t], frames[t + 1 : t + max(reached) + 1])
                for gap, maps in zip(reached, soft[[gap - 1 for gap in reached]], strict=True):
                    _compare(scores, gap, masks[t], masks[t + gap], frames[t].paste(maps))
        if progress is not None:
            progress(video + 1, len(dataset))
    return {
        name: {gap: float(np.mean(values)) for gap, values in sorted(by_gap.items())}
        for name, by_gap in scores.items()
    }


def _compare(scores: dict, gap: int, start: dict[int, dict], end: dict[int, dict], carried: list[dict]) -> None:
    """Add the IoUs of every instance that is in both frames; ``carried`` are the propagated masks of ``start``."""
    for (instance, before), propagated in zip(start.items(), carried, strict=True):
        if instance not in end:
            continue
        after = end[instance]
        a, b = (mask_utils.decode(rle).astype(bool) for rle in (before, after))
        shift = np.round(np.argwhere(b).mean(0) - np.argwhere(a).mean(0)).astype(int)
        candidates = dict(propagated=propagated, copied=before, shifted=encode_mask(move_mask(a, shift)))
        for name, rle in candidates.items():
            scores[name][gap].append(float(mask_utils.iou([rle], [after], [0])[0, 0]))
