"""torchvision's ``maskrcnn_resnet50_fpn`` weights under the names of an mmdet Mask R-CNN."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from maskprop.engine.checkpoint import CheckpointError
from maskprop.engine.state_dicts import TORCHVISION, as_tensors, describe_layout, find_layout

# Some names changed with torchvision 0.13: what older files lack is optional here.
_RENAMES = (
    (r'backbone\.body\.(.+)', r'backbone.\1'),
    (r'backbone\.fpn\.inner_blocks\.(\d+)(?:\.0)?\.(weight|bias)', r'neck.lateral_convs.\1.conv.\2'),
    (r'backbone\.fpn\.layer_blocks\.(\d+)(?:\.0)?\.(weight|bias)', r'neck.fpn_convs.\1.conv.\2'),
    (r'rpn\.head\.conv(?:\.0\.0)?\.(weight|bias)', r'rpn_head.rpn_conv.\1'),
    (r'rpn\.head\.cls_logits\.(.+)', r'rpn_head.rpn_cls.\1'),
    (r'rpn\.head\.bbox_pred\.(.+)', r'rpn_head.rpn_reg.\1'),
    (r'roi_heads\.box_head\.fc6\.(.+)', r'roi_head.bbox_head.shared_fcs.0.\1'),
    (r'roi_heads\.box_head\.fc7\.(.+)', r'roi_head.bbox_head.shared_fcs.1.\1'),
    (r'roi_heads\.box_predictor\.cls_score\.(.+)', r'roi_head.bbox_head.fc_cls.\1'),
    (r'roi_heads\.box_predictor\.bbox_pred\.(.+)', r'roi_head.bbox_head.fc_reg.\1'),
    (r'roi_heads\.mask_head\.(\d+)\.0\.(weight|bias)', r'roi_head.mask_head.convs.\1.conv.\2'),
    (r'roi_heads\.mask_predictor\.conv5_mask\.(.+)', r'roi_head.mask_head.upsample.\1'),
    (r'roi_heads\.mask_predictor\.mask_fcn_logits\.(.+)', r'roi_head.mask_head.conv_logits.\1'),
)


def convert_state_dict(state: Mapping[str, Any], name: str = 'the state dict') -> dict[str, Tensor]:
    """A torchvision Mask R-CNN (``maskrcnn_resnet50_fpn``, any ResNet) as ``detector.*``.

    Anchors, box deltas, RoI levels and FPN are in the same order in both. The background is class 0 there; here it
    is the box head's last class and the mask head has none.

    Args:
        state: tensors or numpy arrays by name.
        name: of the checkpoint, for errors.

    Raises:
        CheckpointError: it is of another model.
    """
    tensors = as_tensors(state, name)
    layers = 'backbone.body.*, backbone.fpn.*, rpn.*, roi_heads.*'
    expected = f"{name}: expected torchvision's maskrcnn_resnet50_fpn ({layers})"
    if find_layout(tensors) != TORCHVISION:
        raise CheckpointError(f'{expected}, found {describe_layout(tensors)}')
    converted, unknown = {}, []
    for key, value in tensors.items():
        # mask_fcn1..4 are the old names of convolutions 0..3
        modern = re.sub(r'\.mask_fcn(\d+)\.', lambda match: f'.{int(match[1]) - 1}.0.', key)
        renamed = _rename(modern)
        if renamed is None:
            unknown.append(key)
        else:
            converted[f'detector.{renamed}'] = _move_background(renamed, value)
    if unknown:
        more = f' and {len(unknown) - 4} more' if len(unknown) > 4 else ''
        raise CheckpointError(
            f'{expected}, found weights that it has not: {", ".join(unknown[:4])}{more}. The v2 model and other '
            'detectors of torchvision have other layers than mmdet and cannot be converted'
        )
    parts = {key.split('.')[2] for key in converted if key.startswith('detector.roi_head.')}
    lacking = sorted({'bbox_head', 'mask_head'} - parts)
    if lacking:
        raise CheckpointError(f'{expected}, found a detector without {" and ".join(lacking)}')
    return converted


def _rename(key: str) -> str | None:
    for pattern, replacement in _RENAMES:
        if re.fullmatch(pattern, key):
            return re.sub(pattern, replacement, key)
    return None


def _move_background(key: str, value: Tensor) -> Tensor:
    if '.bbox_head.fc_cls.' in key:
        return torch.cat([value[1:], value[:1]])
    if '.bbox_head.fc_reg.' in key:
        return value[4:].clone()
    if '.mask_head.conv_logits.' in key:
        return value[1:].clone()
    return value
