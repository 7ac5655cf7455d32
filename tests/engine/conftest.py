from __future__ import annotations

import pytest

from tests.engine.tiny_config import quick_runs


@pytest.fixture(autouse=True, scope='module')
def quick():
    with quick_runs():
        yield
