"""Datumaro's JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as mask_api

from .sources import SIZE, assert_tracks, block, import_annotations, run_import

ONE, TWO = block(2, 10, 2, 12), block(12, 18, 8, 20)


def mask(pixels: np.ndarray, label: int, **track: object) -> dict:
    rle = mask_api.encode(np.asfortranarray(pixels, dtype=np.uint8))
    shape = dict(id=0, type='mask', group=0, label_id=label, z_order=0)
    return dict(**shape, rle=dict(size=list(SIZE), counts=rle['counts'].decode()), **track)


def polygon(label: int, **track: object) -> dict:
    return dict(id=0, type='polygon', group=0, label_id=label, points=[2.0, 2, 12, 2, 12, 10, 2, 10], **track)


def item(name: str, frame: int | None, *annotations: dict) -> dict:
    attributes = {} if frame is None else dict(attr=dict(frame=frame))
    return dict(id=name, annotations=annotations, image=dict(path=f'{name}.png', size=list(SIZE)), **attributes)


def write(path: Path, *items: dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = [dict(name=name, parent='', attributes=[]) for name in ('кот', 'dog')]
    categories = dict(label=dict(labels=labels, label_groups=[], attributes=[]))
    content = dict(dm_format_version='1.0', media_type=2, infos={}, categories=categories, items=items)
    path.write_text(json.dumps(content, ensure_ascii=False), encoding='utf-8')
    return path


def test_tracks_of_masks_and_polygons(tmp_path):
    first = dict(attributes=dict(track_id=4))
    write(
        tmp_path / 'set/annotations/default.json',
        item('a/x', 1, mask(TWO, 1, **first), dict(id=0, type='label', label_id=0)),
        item('a/y', 0, polygon(1, **first), mask(TWO, 0, attributes={}, object_id=9)),
        item('b/10', None, mask(ONE, 0, **first)),
        item('b/9', None, mask(TWO, 0, **first), mask(block(0, 1, 0, 3), 0, **first)),
    )
    content = import_annotations(tmp_path / 'set', tmp_path / 'all.json')
    expected = dict(a=[('dog', [ONE, TWO]), ('кот', [TWO, None])], b=[('кот', [TWO | block(0, 1, 0, 3), ONE])])
    assert_tracks(content, expected)
    assert [video['file_names'] for video in content['videos']] == [
        ['a/y.png', 'a/x.png'],
        ['b/9.png', 'b/10.png'],
    ]
    assert [category['name'] for category in content['categories']] == ['кот', 'dog']


@pytest.mark.parametrize(
    'annotation, expected',
    [
        (mask(ONE, 0, attributes={}, object_id=-1), 'item a/0: annotation 0: no track_id'),
        (
            dict(id=3, type='bbox', bbox=[1, 1, 2, 2], label_id=0, attributes=dict(track_id=1)),
            'a bbox, which says',
        ),
        (mask(ONE, 7, attributes=dict(track_id=1)), 'label_id: found 7; the file has 2 labels'),
        (mask(ONE, '0', attributes=dict(track_id=1)), "label_id: found '0'; the file has 2 labels"),
        (mask(ONE, 0, attributes=[1]), 'annotation 0: no track_id'),
        (dict(mask(ONE, 0, attributes=dict(track_id=1)), rle=None), 'a mask without rle; export it again'),
        (7, 'annotations[0]: found 7; expected an object {...}'),
    ],
)
def test_what_is_wrong_is_named(tmp_path, capsys, annotation, expected):
    source = write(tmp_path / 'x.json', item('a/0', 0, annotation))
    with pytest.raises(SystemExit):
        run_import(source, tmp_path / 'all.json')
    assert expected in capsys.readouterr().err


def test_items_without_annotations(tmp_path, capsys):
    source = write(tmp_path / 'x.json', item('a/0', 0, polygon(0, attributes=dict(track_id=1))), item('a/1', 1))
    with pytest.raises(SystemExit):
        run_import(source, tmp_path / 'all.json')
    assert '1 of 2 frames have no annotation, the first: a/1.png' in capsys.readouterr().err
