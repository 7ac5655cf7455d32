"""mmdet's COCO detectors (Mask R-CNN, Cascade Mask R-CNN, HTC) under this project's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from maskprop.engine.checkpoint import CheckpointError
from maskprop.engine.state_dicts import MMDET_1, MMDET_3, as_tensors, describe_layout, find_layout

PARTS = ('backbone', 'neck', 'rpn_head', 'roi_head')


def convert_state_dict(state: Mapping[str, Any], name: str = 'the state dict') -> dict[str, Tensor]:
    """A two-stage detector of mmdet 2.x or 3.x as ``detector.*``; the values stay.

    Args:
        state: tensors or numpy arrays by name.
        name: of the checkpoint, for errors.

    Raises:
        CheckpointError: it is of another kind.
    """
    tensors = as_tensors(state, name)
    # the preprocessor's mean and std, and an averaged copy that some trainings write beside the weights
    tensors = {key: value for key, value in tensors.items() if not key.startswith(('data_preprocessor.', 'ema_'))}
    foreign = [key for key in tensors if key.partition('.')[0] not in PARTS]
    if find_layout(tensors) != MMDET_3 or foreign:
        advice = ''
        if find_layout(tensors) == MMDET_1:
            advice = '. For mmdet 0.x and 1.x: use tools/model_converters/objprop_reference.py --partial'
        raise CheckpointError(
            f'{name}: expected a two-stage detector of mmdet 2.x or 3.x ({", ".join(f"{p}.*" for p in PARTS)}), '
            f'found {describe_layout({key: 0 for key in foreign} or tensors)}{advice}'
        )
    return {f'detector.{key}': value for key, value in tensors.items()}
