"""PReMVOS's reference numbers computed anew by this project's modules: crops, masks put back, losses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from maskprop.conversion.golden_arrays import Arrays, Compared
from maskprop.methods.ensemble_vis.losses import (
    BootstrappedCrossEntropy,
    SoftMarginTripletLoss,
    hardest_distances,
)
from maskprop.methods.ensemble_vis.windows import (
    LEAST_SIDE,
    context_windows,
    crop,
    filled_boxes,
    margin_windows,
    paste_letter,
)

TOLERANCE = 1e-5  # of what is no integer
INPUTS = re.compile(r'image|boxes|seg_posterior|ce_(logits|target)|triplet_(embed|label)')
MARGIN, CONTEXT = 50, 1.2


@torch.no_grad()
def compare(case: Arrays, state: Mapping[str, Any]) -> dict[str, Compared]:
    """Every output array of a case, ours and the reference's; there are no weights."""
    image = case['image'].permute(2, 0, 1)
    found = _segmentation(case, image) | _reid(case, image) | _losses(case)
    return {name: Compared(ours, case[name], TOLERANCE * ours.is_floating_point()) for name, ours in found.items()}


def _segmentation(case: Arrays, image: Tensor) -> dict[str, Tensor]:
    """Windows and inputs of the crop segmenter, and masks put back."""
    boxes, size = case['boxes'], image.shape[1:]
    side = case['seg_posterior'].shape[1:]
    windows = margin_windows(boxes, size, MARGIN)
    soft, binary = paste_letter(case['seg_posterior'], windows, size)
    return dict(
        seg_window_y0x0y1x1=windows[:, [1, 0, 3, 2]],
        seg_crop=_last(crop(image, windows, side, letter=True)),
        seg_guidance=filled_boxes(boxes, windows, side).byte(),
        seg_full_posterior=soft,
        seg_full_mask=binary.byte(),
        # of the class that the binary mask has, which near the border is not always the likelier one
        seg_conf_score=(2 * torch.where(binary, soft, 1 - soft).double() - 1).flatten(1).mean(1),
    )


def _reid(case: Arrays, image: Tensor) -> dict[str, Tensor]:
    """Windows of the ReID net at test and in training, and crops at test."""
    boxes, size = case['boxes'], image.shape[1:]
    windows = {kind: context_windows(boxes, size, CONTEXT, letter=kind) for kind in ('train', 'test')}
    sides = {kind: w[:, 2:] - w[:, :2] for kind, w in windows.items()}
    crops = crop(image, windows['test'], case['reid_crop_test'].shape[1:3], letter=True)
    crops[(sides['test'] <= LEAST_SIDE).any(1)] = 0
    return dict(
        reid_window_test_xywh=torch.cat([windows['test'][:, :2], sides['test']], 1),
        reid_window_train_hw=sides['train'].flip(1),
        reid_crop_test=_last(crops),
    )


def _losses(case: Arrays) -> dict[str, Tensor]:
    embeds, labels = case['triplet_embed'], case['triplet_label']
    farthest, nearest = hardest_distances(embeds, labels)
    cross_entropy = BootstrappedCrossEntropy()(case['ce_logits'].permute(0, 3, 1, 2), case['ce_target'].long())
    return dict(
        ce_bootstrapped=cross_entropy.mean()[None],
        triplet_hardest_positive=farthest,
        triplet_hardest_negative=nearest,
        triplet_loss_per_anchor=F.softplus(farthest - nearest),
        triplet_loss=SoftMarginTripletLoss('sum')(embeds, labels)[None],
    )


def _last(maps: Tensor) -> Tensor:
    """(N, C, H, W) with the channels last."""
    return maps.permute(0, 2, 3, 1)
