"""SAM 2: a folder of PNGs for each object, and SA-V's JSON."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_api

from .sources import SIZE, assert_tracks, block, import_annotations, run_import, write_frames

ONE, TWO = block(2, 10, 2, 12), block(6, 14, 8, 20)  # they overlap


def save(path: Path, mask: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask.astype(np.uint8)).save(path)


@pytest.mark.parametrize('names', [['00000.jpg', '00004.jpg'], ['00000.jpg', '00002.jpg', '00004.jpg']])
def test_folders_of_objects(tmp_path, capsys, names):
    images = write_frames(tmp_path / 'images', dict(sav_1=names, b=['00000.jpg']))
    save(tmp_path / 'masks/sav_1/000/00000.png', ONE)
    save(tmp_path / 'masks/sav_1/000/00004.png', np.zeros(SIZE))
    save(tmp_path / 'masks/sav_1/001/00004.png', TWO)
    save(tmp_path / 'masks/sav_1/001/00000.png', TWO)
    save(tmp_path / 'masks/b/000/00000.png', ONE)
    classes = tmp_path / 'classes.json'
    classes.write_text(json.dumps(dict(sav_1={'0': 'cat', '1': 'dog'}, b='dog')))
    args = (tmp_path / 'masks', tmp_path / 'all.json', '--images', images, '--classes', classes)
    if len(names) == 3:
        with pytest.raises(SystemExit):
            run_import(*args, '--from', 'sam2-folders')
        assert 'sav_1: 1 of 3 frames have no annotation (one in 2 has)' in capsys.readouterr().err
    content = import_annotations(*args, '--from', 'sam2-folders', '--unannotated', 'skip')
    assert_tracks(content, dict(b=[('dog', [ONE])], sav_1=[('cat', [ONE, None]), ('dog', [TWO, TWO])]))


def test_classes_are_found_in_a_zip_of_the_folder_and_not_outside(tmp_path):
    images = write_frames(tmp_path / 'images', dict(sav_1=['00000.jpg']))
    save(tmp_path / 'masks/sav_1/0/00000.png', ONE)
    (tmp_path / 'classes.json').write_text(json.dumps(dict(sav_1='dog')))
    run_import(tmp_path / 'masks', tmp_path / 'a.json', '--images', images, '--from', 'sam2-folders')
    (tmp_path / 'masks/classes.json').write_text(json.dumps(dict(sav_1='cat')))
    top = shutil.make_archive(str(tmp_path / 'top'), 'zip', tmp_path, 'masks')
    run_import(Path(top), tmp_path / 'b.json', '--images', images, '--from', 'sam2-folders')
    names = [json.loads((tmp_path / f'{n}.json').read_text())['categories'][0]['name'] for n in 'ab']
    assert names == ['object', 'cat']


def test_folders_of_objects_may_be_videos_too(tmp_path, capsys):
    save(tmp_path / 'masks/a/000/00000.png', ONE)
    with pytest.raises(SystemExit):
        run_import(tmp_path / 'masks', tmp_path / 'all.json')
    error = capsys.readouterr().err
    assert 'may be of 2 formats; say which: --from masks' in error and '--from sam2-folders' in error


def rle(mask: np.ndarray) -> dict:
    found = mask_api.encode(np.asfortranarray(mask, dtype=np.uint8))
    return dict(size=list(SIZE), counts=found['counts'].decode())


def masklets(video: str, frames: list, ids: list[int]) -> dict:
    size = dict(video_height=float(SIZE[0]), video_width=float(SIZE[1]), video_frame_count=9.0)
    return dict(video_id=video, masklet=[[rle(m) for m in f] for f in frames], masklet_id=ids, **size)


def test_sa_v(tmp_path):
    """Every fourth frame is annotated; manual objects come before automatic ones, whose ids begin anew."""
    empty = np.zeros(SIZE)
    (tmp_path / 'sav').mkdir()
    manual = masklets('sav_1', [[ONE, empty], [ONE, TWO], [empty, TWO]], [0, 1])
    files = dict(sav_1_auto=masklets('sav_1', [[TWO]] * 3, [0]), sav_1_manual=manual)
    files['sav_2_manual'] = masklets('sav_2', [[ONE]], [3])
    for name, content in files.items():
        (tmp_path / f'sav/{name}.json').write_text(json.dumps(content))
    images = write_frames(tmp_path / 'images', dict(sav_1=[f'{n:05d}.jpg' for n in range(9)], sav_2=['00000.jpg']))
    args = (tmp_path / 'sav', tmp_path / 'all.json', '--images', images, '--unannotated', 'skip')
    content = import_annotations(*args)
    tracks = [('object', [ONE, ONE, None]), ('object', [None, TWO, TWO]), ('object', [TWO] * 3)]
    assert_tracks(content, dict(sav_1=tracks, sav_2=[('object', [ONE])]))
    assert content['videos'][0]['file_names'] == ['sav_1/00000.jpg', 'sav_1/00004.jpg', 'sav_1/00008.jpg']


def test_sa_v_of_another_size(tmp_path, capsys):
    content = masklets('a', [[ONE]], [0])
    content['masklet'][0][0]['counts'] = 'x'
    (tmp_path / 'a.json').write_text(json.dumps(content))
    images = write_frames(tmp_path / 'images', dict(a=['0.jpg']))
    with pytest.raises(SystemExit):
        run_import(tmp_path / 'a.json', tmp_path / 'all.json', '--images', images)
    assert 'masklet[0][0]: RLE with' in capsys.readouterr().err
