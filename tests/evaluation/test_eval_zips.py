"""Submission zips that are damaged, ambiguous or too large are refused in one sentence."""

from __future__ import annotations

import json
import warnings
import zipfile

import pytest

from maskprop.evaluation import EvalInputError, read_results, results_io


def write_zip(path, *members: tuple[str, str]):
    with warnings.catch_warnings(), zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter('ignore')  # that a name is there twice
        for name, text in members:
            archive.writestr(name, text)
    return path


def test_two_results_are_ambiguous(tmp_path):
    path = write_zip(tmp_path / 'r.zip', ('results.json', '[]'), ('results.json', '[1]'))
    with pytest.raises(EvalInputError, match='r.zip: holds 2 files results.json'):
        read_results(path)


def test_more_than_the_stated_size_is_not_unpacked(tmp_path, monkeypatch):
    path = write_zip(tmp_path / 'r.zip', ('results.json', json.dumps([0] * 1000)))
    assert read_results(path) == [0] * 1000
    monkeypatch.setattr(results_io, 'MAX_UNPACKED', 2000)
    with pytest.raises(EvalInputError, match='r.zip: results.json: has .* when unpacked'):
        read_results(path)


def test_every_cut_and_every_changed_byte_is_refused_or_harmless(tmp_path):
    whole = write_zip(tmp_path / 'whole.zip', ('results.json', json.dumps([{'a': 1}] * 5))).read_bytes()
    path = tmp_path / 'r.zip'
    for place in range(len(whole)):
        for content in (whole[:place], whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]):
            path.write_bytes(content)
            try:
                assert read_results(path) == [{'a': 1}] * 5
            except EvalInputError as error:
                assert 'r.zip' in str(error)
