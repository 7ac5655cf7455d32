"""Checkpoints of the released FEELVOS (TensorFlow, tensorflow/models research/feelvos) for ``FEELVOSHead``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from maskprop.conversion.state_dicts import as_tensors, convert_head_file
from maskprop.engine.checkpoint import CheckpointError

NORM = dict(gamma='weight', beta='bias', moving_mean='running_mean', moving_variance='running_var')
# layer there -> layer here; `\1` are the parts of separable convolutions
LAYERS = {
    r'image_pooling': 'aspp.pool_conv',
    r'aspp0': 'aspp.conv',
    r'aspp([123])_(depthwise|pointwise)': 'aspp.dilated_convs.{0}.{1}_conv',
    r'concat_projection': 'aspp.project',
    r'decoder/feature_projection0': 'decoder.low_conv',
    r'decoder/decoder_conv([01])_(depthwise|pointwise)': 'decoder.convs.{0}.{1}_conv',
    r'embedding/split_separable_conv2d_(depthwise|pointwise)': 'embedding.{0}_conv',
    r'embedding_seg/split_separable_conv2d_(\d+)_(depthwise|pointwise)': 'object_head.convs.{0}.{1}_conv',
    r'logits/semantic': 'object_head.logit',
}
LEFT_OUT = re.compile(r'xception_65/.*|global_step|.*/(Momentum|ExponentialMovingAverage)')
EXPECTED = 'expected a checkpoint of the released FEELVOS: ' + ', '.join(
    ('image_pooling/*', 'aspp0/*', 'decoder/*', 'embedding/*', 'embedding_seg/*', 'logits/semantic/*')
)


def convert_state_dict(state: Mapping[str, Any], name: str = 'the state dict') -> dict[str, Tensor]:
    """The weights above the backbone under this project's names, in PyTorch's layout.

    Xception-65, which this project does not have, is left out, and what optimizers keep.

    Args:
        state: tensors or numpy arrays by the names of the TensorFlow checkpoint.
        name: of the checkpoint, for errors.

    Raises:
        CheckpointError: a weight is of another network, or one is missing.
    """
    converted = {}
    for key, value in as_tensors(state, name).items():
        if LEFT_OUT.fullmatch(key):
            continue
        target = _target(key)
        if target is None:
            raise CheckpointError(f'{name}: {EXPECTED}. Found {key!r}, which it does not have')
        # kernels: height, width, in, out; depthwise: height, width, channel, 1, which is out, 1 here
        if value.ndim == 4:
            order = (2, 3, 0, 1) if key.endswith('depthwise_weights') else (3, 2, 0, 1)
            value = value.permute(order).contiguous()
        converted[target] = value
    wanted = ('aspp.conv.conv.weight', 'decoder.low_conv.conv.weight', 'embedding.pointwise_conv.conv.weight')
    missing = [key for key in (*wanted, 'object_head.logit.weight') if key not in converted]
    if missing:
        raise CheckpointError(f'{name}: {EXPECTED}. Nothing in it becomes {missing[0]}')
    return converted


def _target(key: str) -> str | None:
    layer, _, kind = key.rpartition('/')
    is_norm = layer.endswith('/BatchNorm')
    layer = layer.removesuffix('/BatchNorm')
    for pattern, form in LAYERS.items():
        if found := re.fullmatch(pattern, layer):
            parts = list(found.groups())
            if pattern.startswith('aspp('):
                parts[0] = str(int(parts[0]) - 1)
            target = form.format(*parts)
            if is_norm:
                return f'{target}.bn.{NORM[kind]}' if kind in NORM else None
            inner = '' if target.endswith('logit') else '.conv'
            names = dict(weights='weight', depthwise_weights='weight', biases='bias')
            return f'{target}{inner}.{names[kind]}' if kind in names else None
    return None


def convert_file(source: str | Path, out: str | Path, head: str = 'propagation_head') -> str:
    """Convert the arrays of a released checkpoint, ``.npz`` or ``.pth``, for a model with a FEELVOSHead.

    Args:
        head: the head's key in the config.

    Returns:
        What was found and written, for the user.

    Raises:
        FileNotFoundError, CheckpointError: the file is missing, damaged or of another network.
    """
    count = convert_head_file(source, out, head, convert_state_dict, 'feelvos_reference')
    return f'{source}: FEELVOS without its backbone\nwrote {out}: {count} weights of {head}'
