"""Results files and submissions: complete or absent, and equal after a round trip."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from eval_cases import random_case

from maskprop.evaluation import EvalInputError, ResultsWriter, read_results, write_results, write_submission
from maskprop.utils.files import check_writable


def test_round_trip_keeps_every_bit(tmp_path):
    _, results = random_case(0)
    path = tmp_path / 'new' / 'results.json'
    write_results(path, (result for result in results))
    assert read_results(path) == results == json.loads(path.read_text())
    assert [p.name for p in path.parent.iterdir()] == ['results.json']


def test_bytes_and_numpy_numbers_are_written_plainly(tmp_path):
    record = {
        'video_id': np.int64(3),
        'score': np.float64(0.1),
        'segmentations': [{'counts': b'12', 'size': [1, 3]}],
    }
    write_results(tmp_path / 'r.json', [record])
    assert read_results(tmp_path / 'r.json') == [
        {'video_id': 3, 'score': 0.1, 'segmentations': [{'counts': '12', 'size': [1, 3]}]}
    ]


def test_empty_results_are_a_list(tmp_path):
    write_results(tmp_path / 'r.json', [])
    assert read_results(tmp_path / 'r.json') == []


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / 'r.json'
    write_results(path, [{'a': 1}])
    with pytest.raises(RuntimeError, match='stopped'), ResultsWriter(path) as writer:
        writer.add([{'a': 2}])
        raise RuntimeError('stopped')
    with pytest.raises(TypeError, match='results hold a set'):
        write_results(path, [{'a': {1}}])
    assert read_results(path) == [{'a': 1}]
    assert [p.name for p in tmp_path.iterdir()] == ['r.json']


def test_a_full_disk_names_the_submission_and_keeps_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / 'sub.zip'
    path.write_bytes(b'old')

    def fail(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(ResultsWriter, 'add', fail)
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        write_submission(path, [{'video_id': 1}])
    assert path.read_bytes() == b'old' and [p.name for p in tmp_path.iterdir()] == ['sub.zip']


def test_submission_has_results_json_at_its_root(tmp_path):
    _, results = random_case(0)
    write_results(tmp_path / 'r.json', results)
    for source in (results, tmp_path / 'r.json'):
        write_submission(tmp_path / 's.zip', source)
        with zipfile.ZipFile(tmp_path / 's.zip') as archive:
            assert archive.namelist() == ['results.json']
            assert json.loads(archive.read('results.json')) == results
        assert read_results(tmp_path / 's.zip') == results
    assert sorted(p.name for p in tmp_path.iterdir()) == ['r.json', 's.zip']


def test_zip_without_results(tmp_path):
    with zipfile.ZipFile(tmp_path / 's.zip', 'w') as archive:
        archive.writestr('folder/results.json', '[]')
    with pytest.raises(EvalInputError, match=r"holds \['folder/results.json'\], but no results.json at its root"):
        read_results(tmp_path / 's.zip')
    with zipfile.ZipFile(tmp_path / 's.zip', 'w') as archive:
        archive.writestr('results.json', '[')
    with pytest.raises(EvalInputError, match=r's.zip: results.json: not valid JSON'):
        read_results(tmp_path / 's.zip')


def test_damaged_zip(tmp_path):
    _, results = random_case(0)
    write_submission(tmp_path / 's.zip', results)
    whole = (tmp_path / 's.zip').read_bytes()
    for offset in (60, 200, len(whole) // 2):  # in the deflated data
        damaged = bytearray(whole)
        damaged[offset] ^= 0xFF
        (tmp_path / 's.zip').write_bytes(damaged)
        with pytest.raises(EvalInputError, match=r's.zip: results.json: (cannot be unpacked|not valid JSON)'):
            read_results(tmp_path / 's.zip')


def test_what_cannot_be_written_is_found_out_before(tmp_path):
    (tmp_path / 'file').write_text('kept')
    check_writable(tmp_path / 'file', '--out')
    check_writable(tmp_path / 'new/folder/r.json', '--out')
    check_writable(tmp_path / 'new/folder', '--out', folder=True)
    assert (tmp_path / 'file').read_text() == 'kept' and not list((tmp_path / 'new/folder').iterdir())
    with pytest.raises(IsADirectoryError, match='--out .*new: is a folder; give the name of a file'):
        check_writable(tmp_path / 'new', '--out')
    for path, folder, expected in (
        (tmp_path / 'file/r.json', False, 'cannot be written there'),
        (tmp_path / 'file', True, 'is a file; give the name of a folder'),
    ):
        with pytest.raises(OSError, match=f'--out {path}: {expected}'):
            check_writable(path, '--out', folder)
