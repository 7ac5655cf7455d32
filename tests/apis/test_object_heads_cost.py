"""What FEELVOS and OSMN cost a frame: by hand, and linear in the objects."""

from __future__ import annotations

import copy

import pytest
from mmengine.config import Config

import maskprop

maskprop.register_all()

from maskprop.apis.model_cost import model_cost  # noqa: E402
from tests.models.builders import build_model  # noqa: E402


def propagation_flops(file: str, objects: int, size: tuple[int, int] = (64, 96), **options) -> int:
    head = {**copy.deepcopy(dict(Config.fromfile(file).model.propagation_head)), **options}
    return model_cost(build_model(propagation_head=head), size, objects).flops['propagation']


@pytest.mark.slow
def test_feelvos():
    """Each object: convolutions of 35 and 32 channels, 7x7 and 1x1, and the logit, on 16x24 cells."""
    counts = [propagation_flops('configs/feelvos/feelvos_tiny_synthetic.py', n) for n in (1, 2, 5)]
    a_cell = 35 * 49 + 35 * 32 + 32 * 49 + 32 * 32 + 32
    assert counts[1] - counts[0] == 2 * a_cell * 16 * 24 and counts[2] - counts[1] == 3 * (counts[1] - counts[0])
    wider = propagation_flops('configs/feelvos/feelvos_tiny_synthetic.py', 1, radius=11)
    assert wider - counts[0] == 2 * 16 * 16 * 24 * (23 * (24 + 22) - 21 * (24 + 20))  # of the local products


@pytest.mark.slow
@pytest.mark.parametrize('size', [None, (32, 64)])
def test_osmn(size):
    counts = [
        propagation_flops('configs/osmn/osmn_tiny_synthetic.py', n, input_size=size, guide_size=32)
        for n in (1, 2, 5)
    ]
    assert 0 < counts[1] - counts[0] < counts[0] and counts[2] - counts[1] == 3 * (counts[1] - counts[0])
