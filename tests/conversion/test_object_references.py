"""Released FEELVOS's and OSMN's weights: names, layouts, what is left out, what is refused."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch

from maskprop.conversion import feelvos_reference, osmn_reference
from maskprop.conversion.state_dicts import read_state_dict
from maskprop.engine.checkpoint import CheckpointError

SHARED = Path(os.environ.get('MASKPROP_SHARED', Path(__file__).parents[3] / 'shared')) / 'goldens'
TOOLS = Path(__file__).parents[2] / 'tools' / 'model_converters'
CONVERTERS = dict(feelvos=feelvos_reference, osmn=osmn_reference)
# a kernel there (height, width, in, out) and its name here
KERNELS = dict(
    feelvos=('embedding/split_separable_conv2d_pointwise/weights', 'embedding.pointwise_conv.conv.weight'),
    osmn=('osmn/seg/conv4_3_16/weights', 'segmentation.side_convs.2.weight'),
)


@pytest.mark.parametrize('method', CONVERTERS)
def test_kernels_are_turned_and_extras_left_out(method, tmp_path, capsys):
    path = SHARED / method / 'case_a' / 'state.npz'
    if not path.is_file():
        pytest.skip(f'needs ../shared/goldens/{method} (or MASKPROP_SHARED)')
    state = (
        dict(np.load(path))
        | dict(
            feelvos={'xception_65/entry_flow/conv1_1/weights': np.zeros(3), 'global_step': np.zeros(1)},
            osmn={'osmn/seg/score-multi2-up/weights': np.zeros((4, 4, 16, 16)), 'beta1_power': np.zeros(1)},
        )[method]
    )
    np.savez(tmp_path / 'in.npz', **state)
    tool = f'{method}_reference.py'
    argv = [tool, str(tmp_path / 'in.npz'), str(tmp_path / 'out.pth'), '--head', 'some_head']
    with mock.patch.object(sys, 'argv', argv):
        runpy.run_path(str(TOOLS / tool), run_name='__main__')
    converted = read_state_dict(tmp_path / 'out.pth')
    assert len(converted) == len(state) - 2 and f'{len(state) - 2} weights of some_head' in capsys.readouterr().out
    there, here = KERNELS[method]
    assert converted[f'some_head.{here}'].equal(torch.from_numpy(state[there].transpose(3, 2, 0, 1)))


@pytest.mark.parametrize(
    ('method', 'name'), [('feelvos', 'aspp1/weights'), ('osmn', 'osmn/modulator_sp/conv1/weights')]
)
def test_weights_of_another_network_are_named(method, name):
    with pytest.raises(CheckpointError, match=f'released {method.upper()}.*{name}'):
        CONVERTERS[method].convert_state_dict({name: np.zeros((1, 1, 2, 2), dtype=np.float32)})


@pytest.mark.parametrize(
    ('method', 'name'), [('feelvos', 'aspp0/weights'), ('osmn', 'osmn/seg/upscore-fuse/weights')]
)
def test_incomplete_weights_are_refused(method, name):
    with pytest.raises(CheckpointError, match='Nothing in it becomes'):
        CONVERTERS[method].convert_state_dict({name: np.zeros((1, 1, 2, 2), dtype=np.float32)})
