from __future__ import annotations

import io
import random

import numpy as np
import pytest
import torch

from maskprop.utils.random_state import get_random_state, preserve_random_state, seeded, set_random_state


def draw() -> list[float]:
    return [random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(), float(torch.rand(()))]


def test_state_survives_a_checkpoint_read_with_weights_only():
    draw()  # leaves a cached gaussian behind in python and numpy
    buffer = io.BytesIO()
    torch.save(get_random_state(), buffer)
    expected = draw()
    buffer.seek(0)
    set_random_state(torch.load(buffer, weights_only=True))
    assert draw() == expected


def test_preserve_restores_after_an_error():
    with seeded(3):
        expected = draw()
    with seeded(3):
        with pytest.raises(KeyError), preserve_random_state():
            draw()
            raise KeyError
        assert draw() == expected


def test_seeded_depends_on_the_whole_key_only():
    def first(*key: int) -> list[float]:
        with seeded(*key):
            return draw()

    values = [first(*key) for key in ((0,), (1,), (0, 1), (1, 0), (1, 2, 3), (1, 2, 4))]
    assert len({tuple(v) for v in values}) == len(values)
    torch.rand(7)
    assert first(1, 2, 3) == values[4]


@pytest.mark.parametrize('key', [(), (-1,), (0, -5)])
def test_a_bad_key_is_refused(key):
    with pytest.raises(ValueError, match='random key'), seeded(*key):
        pass
