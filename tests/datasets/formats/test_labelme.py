"""labelme: a JSON beside each frame."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .sources import SIZE, assert_tracks, block, import_annotations, run_import, write_frames


def polygon(label: str, group: int | None, left: int) -> dict:
    points = [[left, 4], [left + 6, 4], [left + 6, 10], [left, 10]]
    return dict(label=label, points=points, group_id=group, shape_type='polygon', flags={})


def mask(label: str, group: int, pixels: np.ndarray) -> dict:
    """As labelme: the PNG of the box, and its corners, the last pixel included."""
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    crop = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    file = io.BytesIO()
    Image.fromarray((crop * 255).astype(np.uint8)).save(file, 'PNG')
    points = [[int(columns[0]), int(rows[0])], [int(columns[-1]), int(rows[-1])]]
    text = base64.b64encode(file.getvalue()).decode()
    return dict(label=label, points=points, group_id=group, shape_type='mask', mask=text)


def write(path: Path, image: str, *shapes: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    size = dict(imageHeight=SIZE[0], imageWidth=SIZE[1], imageData=None)
    content = dict(version='5.5.0', flags={}, shapes=shapes, imagePath=image, **size)
    path.write_text(json.dumps(content, ensure_ascii=False), encoding='utf-8')


def square(left: int) -> np.ndarray:
    return block(4, 10, left, left + 6)


RING = block(2, 12, 20, 28)
RING[4:8, 22:26] = False


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two videos beside their JSON files; frame 9 has no JSON, frame 10 one without shapes."""
    root = write_frames(tmp_path / 'set', {'ビデオ': ['2.jpg', '9.jpg', '10.jpg', '11.jpg'], 'b': ['0.jpg']})
    write(root / 'ビデオ/2.json', '2.jpg', polygon('人', 1, 2), polygon('人', 1, 12), mask('dog', 1, RING))
    write(root / 'ビデオ/10.json', '2.jpg'.replace('2', '10'))
    write(root / 'ビデオ/11.json', '..\\ビデオ\\11.jpg', polygon('人', 1, 6))
    write(root / 'b/0.json', '0.jpg', polygon('dog', 1, 0))
    return root


EXPECTED = {
    'b': [('dog', [square(0)])],
    'ビデオ': [('dog', [RING, None, None, None]), ('人', [square(2) | square(12), None, None, square(6)])],
}


def test_groups_of_a_label_are_objects(folder, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run_import(folder, tmp_path / 'all.json')
    assert 'ビデオ: 1 of 4 frames have no annotation, the first: ビデオ/9.jpg' in capsys.readouterr().err
    content = import_annotations(folder, tmp_path / 'all.json', '--unannotated', 'absent')
    assert_tracks(content, EXPECTED)


def test_json_files_alone(folder, tmp_path):
    for picture in folder.rglob('*.jpg'):
        picture.unlink()
    content = import_annotations(
        folder, tmp_path / 'all.json'
    )  # the frames that have a JSON are all that is known
    shorter = [(name, masks[:1] + masks[2:]) for name, masks in EXPECTED['ビデオ']]
    assert_tracks(content, {'b': EXPECTED['b'], 'ビデオ': shorter})


@pytest.mark.parametrize(
    'shape, expected',
    [
        (polygon('dog', None, 2), 'b/0.json: shapes[0]: dog has no group_id'),
        (dict(polygon('dog', 1, 2), shape_type='rectangle'), 'shapes[0]: a rectangle, which says nothing'),
        (dict(polygon('dog', 1, 2), points=[[1, 2]]), 'shapes[0]: a polygon of 2 numbers'),
        (dict(mask('dog', 1, RING), mask='!'), 'shapes[0]: a mask that cannot be read'),
        (dict(mask('dog', 1, RING), points=[[28, 2], [35, 11]]), 'shapes[0]: a mask that lies outside'),
        (dict(mask('dog', 1, RING), points=[]), 'shapes[0]: a mask that cannot be read'),
        (polygon('dog', 1.5, 2), 'dog has no group_id (a number or a text)'),
        (polygon('dog', True, 2), 'dog has no group_id (a number or a text)'),
        (polygon('dog', [1], 2), 'dog has no group_id (a number or a text)'),
        (polygon(' ', 1, 2), "shapes[0]: label: found ' '; expected a name"),
        (dict(polygon('dog', 1, 2), points='1,2 3,4'), "points: found '1,2 3,4'; expected [[x, y], ...]"),
        (dict(polygon('dog', 1, 2), points=['12', '34', '56']), "points: found ['12', '34', '56']; expected"),
        (dict(polygon('dog', 1, 2), points=[['1', '2']] * 3), 'points: found [['),
        (dict(polygon('dog', 1, 2), points=None), 'points: found nothing'),
        ('dog', "shapes[0]: found 'dog'; expected an object {...}"),
    ],
)
def test_what_is_wrong_is_named(folder, tmp_path, capsys, shape, expected):
    write(folder / 'b/0.json', '0.jpg', shape)
    with pytest.raises(SystemExit):
        run_import(folder, tmp_path / 'all.json', '--unannotated', 'absent')
    assert expected in capsys.readouterr().err


def test_a_group_may_be_a_float_or_a_text(tmp_path):
    """1, 1.0 and "1" are one object, 01 and a are others."""
    root = write_frames(tmp_path / 'set', {'v': ['0.jpg', '1.jpg', '2.jpg']})
    write(root / 'v/0.json', '0.jpg', polygon('dog', 1, 2), polygon('dog', 'a', 12))
    write(root / 'v/1.json', '1.jpg', polygon('dog', 1.0, 3), polygon('dog', '01', 12))
    write(root / 'v/2.json', '2.jpg', polygon('dog', '1', 4), polygon('dog', 'a', 13))
    content = import_annotations(root, tmp_path / 'all.json')
    one, other, third = [square(2), square(3), square(4)], [square(12), None, square(13)], [None, square(12), None]
    assert_tracks(content, dict(v=[('dog', other), ('dog', one), ('dog', third)]))


@pytest.mark.parametrize('pictures', [True, False])
def test_two_files_of_one_frame(tmp_path, capsys, pictures):
    root = write_frames(tmp_path / 'set', {'v': ['0.jpg', '1.jpg']})
    write(root / 'v/0.json', '0.jpg', polygon('dog', 1, 2))
    write(root / 'v/1.json', 'C:\\v\\0.jpg', polygon('dog', 1, 12))
    for picture in root.rglob('*.jpg') if not pictures else ():
        picture.unlink()
    with pytest.raises(SystemExit):
        run_import(root, tmp_path / 'all.json')
    assert 'imagePath: two files are of the frame' in capsys.readouterr().err
