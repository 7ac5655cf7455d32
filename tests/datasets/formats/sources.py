"""Small sources of annotations, and what must come of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image

from maskprop.datasets.rle import decode_mask
from maskprop.datasets.ytvis_json import find_problems, load_ytvis
from maskprop.engine import cli

ROOT = Path(__file__).parents[3]
SHARED = ROOT.parent / 'shared'
IMPORT = vars(import_module('maskprop.commands.import_annotations'))
EXPORT = vars(import_module('maskprop.commands.export_annotations'))
SIZE = (20, 30)


def block(top: int, bottom: int, left: int, right: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A bool mask that is True in rows top to bottom and columns left to right, ends excluded."""
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


def write_frames(root: Path, videos: Mapping[str, Sequence[str]], size: tuple[int, int] = SIZE) -> Path:
    """Grey frames of these names, a folder for each video."""
    for video, names in videos.items():
        (root / video).mkdir(parents=True, exist_ok=True)
        for name in names:
            Image.new('RGB', size[::-1], (90, 90, 90)).save(root / video / name)
    return root


def import_annotations(source: Path, out: Path, *options: object) -> dict:
    """What the tool makes of a source, checked by the checker."""
    run_import(source, out, *options)
    assert not [problem for problem in find_problems(out) if problem.severity == 'error']
    return load_ytvis(out)


def run_import(*args: object) -> None:
    cli.run(IMPORT['convert'], IMPORT['parse_args'](list(map(str, args))))


def run_export(*args: object) -> None:
    cli.run(EXPORT['convert'], EXPORT['parse_args'](list(map(str, args))))


def tracks_of(content: dict) -> dict[str, list[tuple[str, list[np.ndarray | None]]]]:
    """Class and masks of each object, by the folder of its video."""
    names = {category['id']: category['name'] for category in content['categories']}
    found = {}
    for video in content['videos']:
        size = video['height'], video['width']
        found[str(Path(video['file_names'][0]).parent)] = [
            (names[a['category_id']], [None if m is None else decode_mask(m, *size) for m in a['segmentations']])
            for a in content['annotations']
            if a['video_id'] == video['id']
        ]
    return found


def assert_tracks(content: dict, expected: Mapping[str, Sequence[tuple[str, Sequence]]]) -> None:
    """expected: for each video (class, [mask or None for each frame]) of each object."""
    found = tracks_of(content)
    assert list(found) == list(expected)
    for video, tracks in expected.items():
        assert [name for name, _ in found[video]] == [name for name, _ in tracks], video
        for (name, masks), (_, wanted) in zip(found[video], tracks, strict=True):
            assert [m is not None for m in masks] == [m is not None for m in wanted], (video, name)
            for frame, (mask, want) in enumerate(zip(masks, wanted, strict=True)):
                assert want is None or np.array_equal(mask, want), (video, name, frame)
