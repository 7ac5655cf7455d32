"""The command, as a module."""

from __future__ import annotations

import pytest

from maskprop.commands import ablate


@pytest.fixture(scope='module')
def tool():
    return ablate
