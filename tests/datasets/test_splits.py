from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from maskprop.datasets import splits
from maskprop.datasets.splits import split_videos, videos_of_share, write_split
from maskprop.datasets.ytvis_json import AnnotationError, find_problems, load_ytvis

ROOT = Path(__file__).parents[2]


def many_videos(count: int = 200, categories: int = 12, seed: int = 0) -> dict:
    """Videos of one frame with 0 to 3 objects; categories are as unequal as in YouTube-VIS."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, categories + 1)
    annotations = []
    for video in range(count):
        for category in rng.choice(categories, rng.integers(0, 4), p=share / share.sum()):
            mask = dict(size=[2, 2], counts=[0, 4])
            annotations.append(
                dict(id=len(annotations) + 1, video_id=video, category_id=int(category), iscrowd=0,
                     segmentations=[mask], bboxes=[[0, 0, 2, 2]], areas=[4])
            )  # fmt: skip
    return dict(
        info=dict(year=2019),
        videos=[dict(id=v, width=2, height=2, length=1, file_names=[f'{v}.jpg']) for v in range(count)],
        categories=[dict(id=c, name=f'class {c}', supercategory='x') for c in range(categories)],
        annotations=annotations,
    )


def videos_of(gt: dict, category: int) -> set[int]:
    return {a['video_id'] for a in gt['annotations'] if a['category_id'] == category}


@pytest.mark.parametrize('seed', range(3))
def test_whole_videos_and_shares(seed):
    gt = many_videos()
    train, val = split_videos(gt, 40, seed)
    ids = [{v['id'] for v in part['videos']} for part in (train, val)]
    assert len(ids[1]) == 40 and not ids[0] & ids[1] and ids[0] | ids[1] == set(range(200))
    for part, own in zip((train, val), ids, strict=True):
        assert [a for a in gt['annotations'] if a['video_id'] in own] == part['annotations']
        assert part['categories'] == gt['categories'] and part['info'] == gt['info']
    for category in range(12):
        wanted = len(videos_of(gt, category)) * 0.2
        assert abs(len(videos_of(val, category)) - wanted) <= 1
        assert videos_of(train, category)
    empty = 200 - len({a['video_id'] for a in gt['annotations']})
    assert abs((40 - len({a['video_id'] for a in val['annotations']})) - 0.2 * empty) <= 1


def test_better_than_chance():
    gt = many_videos(seed=1)

    def imbalance(val: set[int]) -> float:
        return sum(
            (len(shown & val) - 0.2 * len(shown)) ** 2 / len(shown)
            for shown in (videos_of(gt, c) for c in range(12))
        )

    split = imbalance({v['id'] for v in split_videos(gt, 40, 0)[1]['videos']})
    rng = np.random.default_rng(0)
    assert split < 0.4 * min(imbalance(set(rng.permutation(200)[:40].tolist())) for _ in range(100))


def test_the_seed_decides():
    gt = many_videos()
    first, again, other = (split_videos(gt, 40, seed)[1]['videos'] for seed in (0, 0, 1))
    assert first == again and first != other


@pytest.mark.parametrize('count', [0, -1, 200, 201])
def test_sizes_that_leave_a_side_empty(count):
    with pytest.raises(ValueError, match=rf'val_videos: found {count}; expected 1 to 199'):
        split_videos(many_videos(), count, 0)
    with pytest.raises(ValueError, match='seed: found -1; expected 0 or more'):
        split_videos(many_videos(), 40, -1)


@pytest.mark.parametrize('share, count', [(0.2, 40), (0.001, 1), (0.999, 199), (0.1234, 25)])
def test_a_share_of_the_videos(write, share, count):
    assert videos_of_share(write(many_videos()), share) == count


@pytest.mark.parametrize('share', [0, 1, 1.5, -0.2, float('nan')])
def test_shares_that_are_none(write, share):
    with pytest.raises(ValueError, match='val_share: found .*; expected a share of the videos between 0 and 1'):
        videos_of_share(write(many_videos()), share)


def share_frames(gt: dict, *groups: tuple[int, ...]) -> None:
    """Lets each video of a group list a frame of the one before; names differ, the file does not."""
    videos = {video['id']: video for video in gt['videos']}
    for group in groups:
        for before, after in pairwise(group):
            videos[after]['file_names'].append('./' + videos[before]['file_names'][0])
            videos[after]['length'] += 1
            for annotation in (a for a in gt['annotations'] if a['video_id'] == after):
                for field in ('segmentations', 'bboxes', 'areas'):
                    annotation[field].append(None)


def val_of(gt: dict, count: int, seed: int = 0) -> set[int]:
    return {video['id'] for video in split_videos(gt, count, seed)[1]['videos']}


def test_videos_that_share_frames_stay_together(write):
    gt = many_videos()
    groups = [(0, 7, 150), (199, 3), tuple(range(20, 40))]  # 0 and 150 by 7 alone
    share_frames(gt, *groups)
    for seed in range(20):
        val = val_of(gt, 40, seed)
        assert len(val) == 40
        assert all(val.issuperset(group) or val.isdisjoint(group) for group in groups)
    *_, table = write_split(write(gt), 40, 0)
    assert table.endswith('25 videos share frames and stay together, in 3 groups')


@pytest.mark.parametrize(
    'count, groups, wanted, found',
    [
        (6, [(0, 1), (2, 3), (4, 5)], 3, {2, 4}),
        (5, [(0, 1), (2, 3, 4)], 4, {3}),
        (6, [(0, 1, 2, 3, 4)], 3, {1, 5}),
        (6, [(0, 1), (2, 3)], 3, {3}),
        (6, [(0, 1, 2, 3)], 2, {2}),
    ],
)
def test_the_nearest_number_that_shared_frames_allow(write, count, groups, wanted, found):
    gt = many_videos(count, seed=3)
    share_frames(gt, *groups)
    assert {len(val_of(gt, wanted, seed)) for seed in range(10)} <= found
    table = write_split(write(gt), wanted, 0)[2]
    assert (f' in place of {wanted}' in table) == (wanted not in found)


def test_videos_that_all_share_frames_cannot_be_split(write):
    gt = many_videos(4, seed=3)
    share_frames(gt, (2, 0, 3, 1))
    with pytest.raises(ValueError, match='videos: all 4 share frames with each other'):
        split_videos(gt, 2, 0)
    with pytest.raises(AnnotationError, match=r'json: videos: all 4 share frames with each other'):
        write_split(write(gt), 2, 0)


def test_files_are_written_whole_and_valid(write, tmp_path):
    path = write(many_videos())
    before = path.read_bytes()
    train, val, table = write_split(path, 40, 0, tmp_path / 'out')
    assert [p.name for p in sorted((tmp_path / 'out').iterdir())] == ['mini_train.json', 'mini_val.json']
    assert path.read_bytes() == before
    assert [len(load_ytvis(p)['videos']) for p in (train, val)] == [160, 40]
    assert all(p.severity == 'warning' for p in find_problems(val))
    assert json.loads(train.read_text())['categories'] == many_videos()['categories']
    lines = table.splitlines()
    assert len(lines) == 14 and lines[-1].split()[:5] == ['all', '200', '160', '40', '20.0%']


def test_a_split_does_not_replace_its_source(write):
    path = write(many_videos(), 'mini_train.json')
    with pytest.raises(ValueError, match='replaced by its own split'):
        write_split(path, 40, 0)


def test_another_split_is_not_replaced_unasked(write, tmp_path):
    path = write(many_videos())
    train, val, _ = write_split(path, 40, 0)
    before = train.read_bytes(), val.read_bytes()
    write_split(path, 40, 0)  # the same one again
    with pytest.raises(ValueError, match='mini_train.json: another split is there; pass --overwrite'):
        write_split(path, 40, 1)
    assert (train.read_bytes(), val.read_bytes()) == before
    write_split(path, 40, 1, overwrite=True)
    assert val.read_bytes() != before[1]


@pytest.mark.parametrize('fails_at', [0, 1, 'kill'])
def test_two_files_of_different_splits_are_never_left(write, monkeypatch, fails_at):
    path = write(many_videos())
    train, val, _ = write_split(path, 40, 0)
    before = train.read_bytes(), val.read_bytes()
    writes, replaces = [], []

    def write_text(self, text, **kwargs):
        writes.append(self)
        if len(writes) - 1 == fails_at:
            raise OSError(27, 'File too large')
        self.write_bytes(text.encode())

    def replace(source, target):
        replaces.append(target)
        if len(replaces) == 2:
            raise KeyboardInterrupt  # as a kill between the two
        os_replace(source, target)

    os_replace = os.replace
    monkeypatch.setattr(Path, 'write_text', write_text)
    if fails_at == 'kill':
        monkeypatch.setattr('maskprop.utils.files.os.replace', replace)
    with pytest.raises((OSError, KeyboardInterrupt)) as caught:
        write_split(path, 40, 1, overwrite=True)
    if fails_at == 'kill':
        assert train.is_file() and not val.is_file()
        return
    assert ('mini_val.json', 'mini_train.json')[fails_at] in str(caught.value)
    assert (train.read_bytes(), val.read_bytes()) == before


def test_a_file_without_annotations_cannot_be_split(write):
    data = many_videos()
    data['annotations'] = None
    with pytest.raises(AnnotationError, match='annotations: none in this file'):
        write_split(write(data), 40, 0)


def test_a_set_of_one_video_cannot_be_split(write):
    for do in (lambda path: videos_of_share(path, 0.5), lambda path: write_split(path, 1, seed=0)):
        with pytest.raises(AnnotationError, match=r'json: videos: has one, but train and val need one each'):
            do(write(many_videos(1, seed=3)))


def test_a_file_in_place_of_the_folder_is_named(write, tmp_path):
    (tmp_path / 'file').write_text('kept')
    with pytest.raises(OSError, match=r'--out-dir .*file: is a file; give the name of a folder'):
        write_split(write(many_videos(4)), 1, seed=0, out_dir=tmp_path / 'file')


def run(tool: str, *args: object) -> subprocess.CompletedProcess:
    command = [sys.executable, f'tools/{tool}.py', *map(str, args)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={'PYTHONPATH': str(ROOT)})


def test_split_tool(write, tmp_path):
    path = write(many_videos())
    done = run('split_dataset', path, '--val-videos', 40, '--seed', 3)
    assert done.returncode == 0 and 'mini_val.json' in done.stdout and 'class 11' in done.stdout
    assert len(load_ytvis(tmp_path / 'mini_val.json')['videos']) == 40
    shared = run('split_dataset', path, '--val-share', 0.2, '--seed', 3)  # the same 40 videos: nothing to replace
    assert shared.returncode == 0, shared.stderr
    failed = run('split_dataset', path, '--val-videos', 400)
    assert failed.returncode == 1 and 'error: val_videos: found 400' in failed.stderr


def test_check_tool(gt, write, tiny_set):
    good = run('check_dataset', write(gt), '--images', tiny_set / 'images')
    assert good.returncode == 0, good.stdout
    assert '4 videos, 20 frames, 3 categories' in good.stdout and '0 errors, 0 warnings' in good.stdout
    for annotation in gt['annotations'] + gt['annotations'][:2]:
        annotation['areas'] = None
    gt['annotations'][0]['segmentations'][2] = dict(size=[48, 80], counts=[1])
    gt['annotations'][1]['category_id'] = 99
    bad = run('check_dataset', write(gt))
    assert bad.returncode == 1
    assert bad.stdout.count('error [') == 2 and '2 errors, 5 warnings' in bad.stdout
    assert run('check_dataset', write('{')).returncode == 1
    empty = run('check_dataset', write(dict(gt, annotations=[])))
    assert empty.returncode == 0 and '0 instances' in empty.stdout and 'nan' not in empty.stdout


def test_videos_of_the_same_categories_are_looked_at_once(monkeypatch):
    """The table of exchanges grows with the kinds of videos, not with val times train; the split is the same."""
    gt = many_videos(400, categories=4)
    tables, real = [], splits._exchange_costs
    monkeypatch.setattr(splits, '_exchange_costs', lambda *args: tables.append(real(*args)) or tables[-1])
    fast = split_videos(gt, 80, 1)
    assert max(max(table.shape) for table in tables) <= 16
    monkeypatch.setattr(splits, '_firsts', lambda videos, kinds: videos)
    assert split_videos(gt, 80, 1) == fast and tables[-1].shape == (80, 320)
