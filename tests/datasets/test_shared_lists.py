"""One list in memory for all data sets of a file: of a process, and of several."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest

import maskprop

maskprop.register_all()

from maskprop.datasets import shared_lists, ytvis_dataset  # noqa: E402
from tests.datasets.test_ytvis_dataset import build  # noqa: E402
from tests.engine.ranks import run_ranks  # noqa: E402


@pytest.fixture
def loads(monkeypatch) -> list[str]:
    """Grows with each file that is read."""
    real, found = ytvis_dataset.load_ytvis, []
    monkeypatch.setattr(
        ytvis_dataset, 'load_ytvis', lambda path, **kwargs: (found.append(path), real(path, **kwargs))[1]
    )
    return found


def content(dataset) -> list[dict]:
    return [dataset.get_data_info(i) for i in range(len(dataset))]


def test_a_second_data_set_takes_the_list_of_the_first(tiny_set, loads):
    first, second = build(tiny_set), build(tiny_set)
    assert len(loads) == 1 and second.data_bytes is first.data_bytes
    assert content(first) == content(second) and len(first) == len(second) == 3
    assert first.metainfo == second.metainfo and second.cat2label == {2: 0, 3: 1, 7: 2}
    second.metainfo['classes'], second._metainfo['x'] = (), 1
    assert 'x' not in build(tiny_set).metainfo


def test_other_options_or_another_file_are_loaded(tiny_set, loads, gt, write):
    kept = [build(tiny_set, 'gt.json', **options) for options in ({}, dict(test_mode=True), dict(frame_stride=2))]
    assert len(loads) == 3 and len({id(dataset.data_bytes) for dataset in kept}) == 3
    gt['annotations'][0]['iscrowd'] = 1
    path = write(gt)
    kept.append(build(tiny_set, path))
    gt['annotations'][1]['iscrowd'] = 1
    assert write(gt) == path
    os.utime(path, ns=(1, 1))  # a clock may be coarse
    kept.append(build(tiny_set, path))
    assert len(loads) == 5 and content(kept[3]) != content(kept[4])


def test_a_list_goes_with_its_last_data_set(tiny_set, loads):
    build(tiny_set)
    build(tiny_set)
    assert len(loads) == 2


def load_in_a_rank(root: Path, folder: Path, ann_file: str = 'gt.json') -> None:
    """Leaves a report; lives until both ranks have loaded."""
    rank, real, read = os.environ['RANK'], ytvis_dataset.load_ytvis, []
    ytvis_dataset.load_ytvis = lambda path, **kwargs: (read.append(1), real(path, **kwargs))[1]
    dataset = build(root, ann_file)
    videos = content(dataset)  # a page that nobody else has touched counts as private
    (folder / f'loaded_{rank}').touch()
    deadline = time.monotonic() + 60
    while len(list(folder.glob('loaded_?'))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    maps = Path('/proc/self/smaps').read_text()
    mapping = re.search(r'^\S+ (\S+) \S+ \S+ (\d+) +/memfd:maskprop.*\n(?:\w+:.*\n)+', maps, re.MULTILINE)
    found = dict(reads=len(read), content=videos, writeable=dataset.data_bytes.flags.writeable)
    if mapping:
        private = re.findall(r'Private_Dirty: +(\d+) kB', mapping[0])
        found.update(rights=mapping[1], inode=mapping[2], private=[int(size) for size in private])
    (folder / f'report_{rank}').write_text(json.dumps(found))
    (folder / f'done_{rank}').touch()
    while len(list(folder.glob('done_?'))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    dataset = None  # as at the end of a process, which os._exit leaves out


@pytest.fixture
def private(tmp_path, monkeypatch) -> Path:
    """The folder of this user's notes."""
    monkeypatch.setattr(shared_lists.tempfile, 'gettempdir', lambda: str(tmp_path))
    return tmp_path / f'maskprop-{os.getuid()}'


def reports(root: Path, folder: Path, *args: str) -> list[dict]:
    run_ranks(load_in_a_rank, root, folder, *args, folder=folder)
    return [json.loads((folder / f'report_{rank}').read_text()) for rank in range(2)]


@pytest.mark.skipif(not hasattr(os, 'memfd_create'), reason='needs Linux')
@pytest.mark.xdist_group('processes')
def test_two_ranks_have_the_bytes_once(tiny_set, tmp_path, private, loads):
    found = reports(tiny_set, tmp_path)
    assert sorted(report['reads'] for report in found) == [0, 1]
    assert found[0]['inode'] == found[1]['inode'] and found[0]['rights'] == found[1]['rights'] == 'r--s'
    assert not any(sum(report['private']) or report['writeable'] for report in found)
    expected = json.loads(json.dumps(content(build(tiny_set))))
    assert found[0]['content'] == found[1]['content'] == expected
    assert list(private.iterdir()) == []  # and the memory has no name


@pytest.mark.xdist_group('processes')
@pytest.mark.parametrize(
    'hindered', ['no memory of this kind', "somebody else's folder", 'a note of a dead process']
)
def test_ranks_that_cannot_share_load_their_own(tiny_set, tmp_path, private, monkeypatch, hindered):
    if hindered == 'no memory of this kind':
        monkeypatch.delattr(os, 'memfd_create', raising=False)
    elif hindered == "somebody else's folder":
        private.mkdir()
        private.chmod(0o777)
    else:
        monkeypatch.setattr(
            shared_lists, '_publish', lambda dataset, note: note.write_text('{"pid": 1, "descriptor":')
        )
    found = reports(tiny_set, tmp_path)
    assert [report['reads'] for report in found] == [1, 1] and found[0]['content'] == found[1]['content']


@pytest.mark.xdist_group('processes')
def test_both_ranks_say_what_is_wrong_with_a_file(tiny_set, tmp_path, private, gt, write):
    gt['annotations'][0]['category_id'] = 99
    path = str(write(gt))
    with pytest.raises(AssertionError) as error:
        reports(tiny_set, tmp_path, path)
    assert str(error.value).count('gt.json: annotation 1, category_id: 99;') == 2


def test_what_a_note_tells_of_is_looked_at(tiny_set, private, monkeypatch):
    """Another process may have got the number, or the descriptor another file."""
    dataset = build(tiny_set)
    private.mkdir()
    note = private / 'note.json'
    shared_lists._publish(dataset, note)
    other = build(tiny_set, lazy_init=True)
    assert shared_lists._map(other, note) and content(other) == content(dataset)
    place = json.loads(note.read_text())
    for change in (dict(inode=place['inode'] + 1), dict(descriptor=10**6), dict(pid=2**22 + 1), dict(pid='x')):
        note.write_text(json.dumps({**place, **change}))
        assert not shared_lists._map(build(tiny_set, lazy_init=True), note)
    assert np.array_equal(other.data_bytes, dataset.data_bytes)
