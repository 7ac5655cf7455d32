"""Which sets --data takes of a folder or file, and what it says where there are none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from maskprop.datasets.layouts import find_sets
from maskprop.datasets.ytvis_json import AnnotationError


def write(path: Path, videos: str, annotated: bool = True, classes: tuple[str, ...] = ('cat', 'dog')) -> None:
    """An annotation file; each letter of ``videos`` is one of two frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = dict(
        videos=[
            dict(id=n, width=8, height=8, file_names=[f'{v}/0.jpg', f'{v}/1.jpg']) for n, v in enumerate(videos)
        ],
        categories=[dict(id=9 - n, name=name) for n, name in enumerate(classes)],
        annotations=[dict(id=1)] if annotated else None,
    )
    path.write_text(json.dumps(data))


def frames(folder: Path, videos: str) -> None:
    for video in videos:
        (folder / video).mkdir(parents=True, exist_ok=True)
        (folder / video / '0.jpg').touch()


# name: files with their videos (upper case: without annotations), folders with theirs; what is found
LAYOUTS = {
    'split': (
        {'all.json': 'abc', 'mini_train.json': 'ab', 'mini_val.json': 'c'},
        {'images': 'abc'},
        ('mini_train.json', 'mini_val.json', 'mini_val.json'),
        ('images', 'images', 'images'),
    ),
    'youtube_vis_2019': (
        {
            f'annotations/{n}.json': v
            for n, v in dict(train='abc', valid='DE', mini_train='ab', mini_val='c').items()
        },
        {'train/JPEGImages': 'abc', 'valid/JPEGImages': 'DE'},
        ('annotations/mini_train.json', 'annotations/mini_val.json', 'annotations/valid.json'),
        ('train/JPEGImages', 'train/JPEGImages', 'valid/JPEGImages'),
    ),
    'youtube_vis_2021': (
        {'train/instances.json': 'ab', 'valid/instances.json': 'DE'},
        {'train/JPEGImages': 'ab', 'valid/JPEGImages': 'DE'},
        ('train/instances.json', None, 'valid/instances.json'),
        ('train/JPEGImages', None, 'valid/JPEGImages'),
    ),
    'ovis': (
        {'annotations_train.json': 'ab', 'annotations_valid.json': 'DE'},
        {'train': 'ab', 'valid': 'DE'},
        ('annotations_train.json', None, 'annotations_valid.json'),
        ('train', None, 'valid'),
    ),
    'synthetic': (
        {'annotations/train.json': 'ab', 'annotations/val.json': 'c'},
        {'JPEGImages': 'abc'},
        ('annotations/train.json', 'annotations/val.json', 'annotations/val.json'),
        ('JPEGImages', 'JPEGImages', 'JPEGImages'),
    ),
    'the same names in both': (
        {'train.json': 'ab', 'valid.json': 'ab', 'test.json': 'a'},
        {'train': 'ab', 'val/images': 'ab', 'test/images': 'a'},
        ('train.json', 'valid.json', 'test.json'),
        ('train', 'val/images', 'test/images'),
    ),
    'beside the file': (
        {'train.json': 'ab', 'val.json': 'c'},
        {'.': 'abc'},
        ('train.json', 'val.json', 'val.json'),
        ('.', '.', '.'),
    ),
}


def make(root: Path, files: dict[str, str], folders: dict[str, str]) -> Path:
    for name, videos in files.items():
        write(root / name, videos, annotated=not videos.isupper())
    for name, videos in folders.items():
        frames(root / name, videos)
    return root


@pytest.mark.parametrize('name', LAYOUTS)
def test_the_sets_of_a_folder(name, tmp_path):
    files, folders, expected, images = LAYOUTS[name]
    root = make(tmp_path / 'set', files, folders)
    sets = find_sets(root, 'train')
    found = sets.train, sets.val, sets.test
    expected = [root / name if name else None for name in expected]
    assert [data and data.ann_file for data in found] == expected
    assert [data and data.images for data in found] == [root / name if name else None for name in images]
    assert ('maskprop split' in sets.note) == (sets.val is None)
    assert find_sets(root, 'test') == type(sets)(test=sets.test)
    if sets.val:
        assert find_sets(root, 'val') == type(sets)(test=sets.val)


def test_what_is_counted(tmp_path):
    make(tmp_path, {'train.json': 'abc'}, {'frames': 'ab'})  # of c it is the data set that will miss the frames
    train = find_sets(tmp_path, 'train').train
    assert (train.classes, train.category_ids) == (('dog', 'cat'), (8, 9)) and train.images == tmp_path / 'frames'
    assert '(3 videos, 6 frames, 1 object, 2 classes), frames in' in str(train)


def test_a_file_is_the_training_or_the_test_set(tmp_path):
    make(tmp_path, {'annotations/all.json': 'ab'}, {'JPEGImages': 'ab'})
    file = tmp_path / 'annotations/all.json'
    sets = find_sets(file, 'train')
    assert sets.train == sets.test == find_sets(file, 'test').test and sets.val is None
    assert sets.train.images == tmp_path / 'JPEGImages'
    assert f'maskprop split {file} --val-share 0.2, then --data {tmp_path}' in sets.note


@pytest.mark.parametrize('task', ['val', 'test'])
def test_a_test_needs_no_training_set(task, tmp_path):
    root = make(tmp_path, {'annotations/val.json': 'ab'}, {'JPEGImages': 'ab'})
    assert find_sets(root, task).test.ann_file == root / 'annotations/val.json'
    with pytest.raises(AnnotationError, match='no training set there'):
        find_sets(root, 'train')


def test_a_test_set_without_frames_is_left_out_of_a_training(tmp_path):
    make(tmp_path, {'train.json': 'ab', 'val.json': 'c', 'test.json': 'D'}, {'images': 'abc'})
    sets = find_sets(tmp_path, 'train')
    assert sets.test == sets.val and 'The test set is left out' in sets.note and 'D/0.jpg' in sets.note
    with pytest.raises(AnnotationError, match='D/0.jpg'):
        find_sets(tmp_path, 'test')


@pytest.mark.parametrize(
    'files, folders, given, task, message',
    [
        ({}, {}, 'nowhere', 'train', 'nowhere: no such folder or file'),
        ({}, {'images': 'a'}, '.', 'train', 'no training set there; looked for mini_train.json, .*docs/data.md'),
        ({'all.json': 'ab'}, {'.': 'ab'}, '.', 'train', 'has all.json: make two sets .*maskprop split'),
        ({'all.json': 'ab'}, {'.': 'ab'}, '.', 'test', 'no test set .* test.json, .*--data .*all.json$'),
        ({'train.json': 'ab'}, {'.': 'ab'}, '.', 'val', 'no validation set'),
        ({'all.json': 'ab'}, {'.': 'ab'}, 'all.json', 'val', 'leave --split out'),
        ({'all.json': 'AB'}, {'.': 'AB'}, 'all.json', 'train', 'nothing to train on'),
        ({'annotations/train.json': 'ab'}, {'else': 'ab'}, '.', 'train', 'a/0.jpg is in none of .*ln -s'),
    ],
)
def test_what_is_not_there_is_said(files, folders, given, task, message, tmp_path):
    make(tmp_path, files, folders)
    with pytest.raises(AnnotationError, match=message):
        find_sets(tmp_path / given, task)


def test_other_classes_and_other_files_are_refused(tmp_path):
    make(tmp_path, {'train.json': 'ab'}, {'.': 'abc'})
    write(tmp_path / 'val.json', 'c', classes=('dog', 'cat'))
    with pytest.raises(AnnotationError, match=r"val.json: categories: found \['cat', 'dog'\].*\['dog', 'cat'\]"):
        find_sets(tmp_path, 'train')
    (tmp_path / 'coco.json').write_text(json.dumps(dict(images=[], annotations=[], categories=[])))
    with pytest.raises(AnnotationError, match='coco.json'):
        find_sets(tmp_path / 'coco.json', 'test')


def test_no_torch_is_needed():
    code = "import sys, maskprop.datasets.layouts; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0
