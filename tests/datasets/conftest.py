"""The tiny set of coordinate_set.py as files."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest

from tests.datasets.coordinate_set import coordinate_image, tiny_gt


@pytest.fixture
def gt() -> dict[str, Any]:
    """A fresh copy of ``tiny_gt``, to break."""
    return tiny_gt()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a ground truth to a file of the test's folder and returns its path."""

    def write_file(data: Any, name: str = 'gt.json') -> Path:
        path = tmp_path / name
        path.write_text(data if isinstance(data, str) else json.dumps(data))
        return path

    return write_file


@pytest.fixture(scope='session')
def tiny_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ``gt.json`` (see ``tiny_gt``), ``unannotated.json`` and ``images``."""
    root = tmp_path_factory.mktemp('tiny_set')
    data = tiny_gt()
    (root / 'gt.json').write_text(json.dumps(data))
    unannotated = copy.deepcopy(data)
    unannotated['annotations'] = None
    (root / 'unannotated.json').write_text(json.dumps(unannotated))
    for video in data['videos']:
        for frame, name in enumerate(video['file_names']):
            path = root / 'images' / name
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), coordinate_image(frame))
    return root
