"""MOTS PNG and txt: CVAT's zip, KITTI-MOTS and MOTS20."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_api

from .sources import SIZE, assert_tracks, block, import_annotations, run_export, run_import, write_frames
from .test_round_trips import make_set

CAR, DOG, SECOND = block(2, 8, 2, 9), block(10, 15, 12, 20), block(0, 3, 20, 28)


def save(path: Path, **values: np.ndarray) -> None:
    """values: masks by 'v1001'."""
    picture = np.zeros(SIZE, np.uint16)
    for name, mask in values.items():
        picture[mask] = int(name[1:])
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


@pytest.fixture
def cvat(tmp_path) -> tuple[Path, Path]:
    """Two videos of CVAT's export: ids begin at 0 in each; an object is in two pieces and has a gap."""
    root = tmp_path / 'export/instances'
    images = write_frames(tmp_path / 'images', {'straße': ['2.jpg', '10.jpg', '11.jpg'], 'b': ['0.jpg']})
    save(root / 'straße/2.png', v1000=CAR | SECOND, v2001=DOG)
    save(root / 'straße/10.png', v2001=DOG)
    save(root / 'straße/11.png', v1000=CAR)
    save(root / 'b/0.png', v1000=DOG)
    (root / 'labels.txt').write_text('машина\ndog\nunused\n', encoding='utf-8')
    return tmp_path / 'export', images


EXPECTED = {
    'b': [('машина', [DOG])],
    'straße': [('машина', [CAR | SECOND, None, CAR]), ('dog', [DOG, DOG, None])],
}


@pytest.mark.parametrize('form', ['folder', 'zip', 'zip with images'])
def test_cvat(cvat, tmp_path, form):
    source, images = cvat
    options = ['--images', images]
    if form == 'zip with images':
        shutil.copytree(images, source / 'images')
        options = []
    if form != 'folder':
        source = Path(shutil.make_archive(str(tmp_path / 'export'), 'zip', source))
    content = import_annotations(source, tmp_path / 'all.json', *options)
    assert [category['name'] for category in content['categories']] == ['машина', 'dog', 'unused']
    assert_tracks(content, EXPECTED)


def test_cvat_of_one_task_has_no_folder(tmp_path):
    """CVAT names the pictures by frames of the video, and leaves out those of frames without objects."""
    images = write_frames(tmp_path / 'images', {'my_video': [f'{n:05d}.jpg' for n in range(3)]})
    save(tmp_path / 'task/default/instances/frame_000000.png', v1003=CAR)
    save(tmp_path / 'task/default/instances/frame_000002.png', v1003=CAR)
    (tmp_path / 'task/default/instances/labels.txt').write_text('car\n')
    args = (tmp_path / 'task', tmp_path / 'all.json', '--images', images, '--unannotated', 'absent')
    assert_tracks(import_annotations(*args), dict(my_video=[('car', [CAR, None, CAR])]))


def test_kitti_and_its_ignored_regions(tmp_path):
    images = write_frames(tmp_path / 'images', {'0002': ['000000.png', '000001.png']})
    save(tmp_path / 'mots/instances/0002/000000.png', v1005=CAR, v2003=DOG, v10000=SECOND)
    save(tmp_path / 'mots/instances/0002/000001.png', v1005=CAR)
    args = (tmp_path / 'mots', tmp_path / 'all.json', '--images', images)
    with pytest.warns(UserWarning, match='1 masks of ignored regions'):
        content = import_annotations(*args)
    assert_tracks(content, {'0002': [('pedestrian', [DOG, None]), ('car', [CAR, CAR])]})


def test_numbers_that_begin_anew_in_each_class_are_two_objects(cvat, tmp_path):
    source, images = cvat
    save(source / 'instances/b/0.png', v1001=CAR, v2001=DOG)
    content = import_annotations(source, tmp_path / 'all.json', '--images', images)
    assert_tracks(content, {**EXPECTED, 'b': [('машина', [CAR]), ('dog', [DOG])]})


@pytest.mark.parametrize(
    'spoil, expected',
    [
        (lambda root: save(root / 'b/0.png', v7000=CAR), 'b/0.png: 7000: class 7, but labels.txt has 3'),
        (lambda root: save(root / 'b/0.png', v3=CAR), 'class 0, but labels.txt has 3'),
        (lambda root: save(root / 'b/7.png', v1000=CAR), 'instances/b: 7.png: '),
        (lambda root: (root / 'b/0.png').write_bytes(b'no picture'), 'b/0.png: not a picture'),
        (lambda root: Image.new('I;16', (9, 9)).save(root / 'b/0.png'), 'b/0.png: 9x9, but the frames are 30x20'),
    ],
)
def test_what_is_wrong_is_named(cvat, tmp_path, capsys, spoil, expected):
    source, images = cvat
    spoil(source / 'instances')
    with pytest.raises(SystemExit):
        run_import(source, tmp_path / 'all.json', '--images', images)
    assert expected in capsys.readouterr().err and not (tmp_path / 'all.json').exists()


def line(frame: int, value: int, mask: np.ndarray) -> str:
    rle = mask_api.encode(np.asfortranarray(mask, dtype=np.uint8))
    return f'{frame} {value} {value // 1000} {SIZE[0]} {SIZE[1]} {rle["counts"].decode()}\n'


@pytest.mark.parametrize('layout', ['{}.txt', '{}/gt/gt.txt'])
def test_lines_out_of_order(tmp_path, layout):
    """KITTI counts frames from 0, MOTS20 from 1: the numbers in the names of the frames decide."""
    names = {'0001': ['000000.jpg', '000001.jpg'], 'MOTS20-02': ['000001.jpg', '000002.jpg', '000003.jpg']}
    images = write_frames(tmp_path / 'images', names)
    texts = {
        '0001': line(1, 1001, CAR) + line(0, 1001, SECOND) + line(0, 2001, DOG),
        'MOTS20-02': line(3, 2007, DOG) + line(1, 2007, CAR),
    }
    for video, text in texts.items():
        path = tmp_path / 'txt' / layout.format(video)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    args = (tmp_path / 'txt', tmp_path / 'all.json', '--images', images, '--unannotated', 'absent')
    expected = {
        '0001': [('car', [SECOND, CAR]), ('pedestrian', [DOG, None])],
        'MOTS20-02': [('pedestrian', [CAR, None, DOG])],
    }
    assert_tracks(import_annotations(*args), expected)


@pytest.mark.parametrize(
    'text, expected',
    [
        ('0 1001 1 20 30 x!\n', 'a.txt: line 1: RLE with'),
        ('0 1001 1 20\n', 'of no known format'),
        (line(0, 1001, CAR) + '1 2\n', "a.txt: line 2: '1 2'; expected"),
        (line(9, 1001, CAR), 'frame 9 is annotated, but there is no picture of that number'),
        (line(0, 1001, CAR).replace(' 20 30', ' 30 20'), 'line 1: 20x30, but the frames are 30x20'),
        (line(0, 3001, CAR), 'class 3, but without labels.txt there are 2'),
    ],
)
def test_lines_that_are_wrong(tmp_path, capsys, text, expected):
    images = write_frames(tmp_path / 'images', {'a': ['0.jpg', '1.jpg']})
    (tmp_path / 'txt').mkdir()
    (tmp_path / 'txt/a.txt').write_text(text)
    with pytest.raises(SystemExit):
        run_import(tmp_path / 'txt', tmp_path / 'all.json', '--images', images)
    assert expected in capsys.readouterr().err


@pytest.fixture
def lines(tmp_path) -> tuple[Path, Path]:
    """Two frames of MOTS txt."""
    images = write_frames(tmp_path / 'images', {'v': ['000000.png', '000001.png']})
    rle = mask_api.encode(np.asfortranarray(CAR.astype(np.uint8)))['counts'].decode()
    (tmp_path / 'txt').mkdir()
    text = ''.join(f'{frame} 1001 1 {SIZE[0]} {SIZE[1]} {rle}\n' for frame in (0, 1))
    (tmp_path / 'txt/v.txt').write_text(text)
    return tmp_path / 'txt', images


@pytest.mark.parametrize('change', [(' ', '.0 '), (' ', '\t'), ('\n', '\r\n'), ('\n', '\n\n')])
@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16'])
def test_lines_as_other_programs_write_them(lines, tmp_path, change, encoding):
    source, images = lines
    text = (source / 'v.txt').read_text()
    (source / 'v.txt').write_bytes(text.replace(*change).encode(encoding))
    content = import_annotations(source, tmp_path / 'all.json', '--images', images)
    assert_tracks(content, dict(v=[('car', [CAR, CAR])]))


@pytest.mark.parametrize(
    'text, expected',
    [
        (
            '0.5 1001 1 20 30 a\n',
            'v.txt: line 3: \'0.5 1001 1 20 30 a\'; expected "frame id class height width rle"',
        ),
        ('1 1001 9 20 30 RLE\n', 'v.txt: line 3: class 9'),
    ],
)
def test_a_line_that_is_wrong_is_named(lines, tmp_path, capsys, text, expected):
    source, images = lines
    first = (source / 'v.txt').read_text().split('\n')[0]
    (source / 'v.txt').write_text(f'{first}\n\n' + text.replace('RLE', first.split()[-1]))
    with pytest.raises(SystemExit):
        run_import(source, tmp_path / 'all.json', '--images', images)
    assert expected in capsys.readouterr().err


def test_labels_of_other_systems_and_with_gaps(lines, tmp_path, capsys):
    source, images = lines
    args = (source, tmp_path / 'all.json', '--images', images, '--overwrite')
    (source / 'labels.txt').write_bytes('\ufeffbus\r\nтрам\r\n\r\n'.encode())
    assert [c['name'] for c in import_annotations(*args)['categories']] == ['bus', 'трам']
    for content, expected in ((b'bus\n\ntram\n', 'labels.txt: line 2: is empty'), (b'caf\xe9\n', 'not UTF-8')):
        (source / 'labels.txt').write_bytes(content)
        with pytest.raises(SystemExit):
            run_import(*args)
        assert expected in capsys.readouterr().err


@pytest.mark.parametrize('form', ['mots', 'mots-txt'])
def test_a_class_whose_name_is_two_lines_is_not_written(tmp_path, capsys, form):
    content = json.loads(make_set(tmp_path / 'set.json').read_text())
    content['categories'][0]['name'] = 'a\nb'
    (tmp_path / 'set.json').write_text(json.dumps(content))
    with pytest.raises(SystemExit):
        run_export(tmp_path / 'set.json', tmp_path / 'out', '--to', form)
    assert "name: 'a\\nb' is not one line" in capsys.readouterr().err
