"""The command, as a module."""

from __future__ import annotations

import importlib.util

import pytest

from tests.ablation.tiny_study import ROOT


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('ablate', ROOT / 'tools/ablate.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
