from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True, scope='session')
def one_thread():
    """Models this small are faster on one thread, much faster on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
