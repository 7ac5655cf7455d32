"""Which format a source is of, and zips."""

from __future__ import annotations

import csv
import os
import zipfile

import pytest

from maskprop.datasets.formats.finding import FORMATS, READABLE, candidates, import_hint
from maskprop.datasets.formats.source import Source
from maskprop.datasets.json_files import AnnotationError

from .sources import block, import_annotations, run_import, write_frames
from .test_round_trips import FORMATS as WRITTEN
from .test_round_trips import make_set, run_export, target


@pytest.mark.parametrize('form', WRITTEN)
def test_what_is_written_is_recognised_as_one_format(tmp_path, form):
    run_export(make_set(tmp_path / 'set.json'), target(tmp_path, form), '--to', form)
    with Source(target(tmp_path, form)) as source:
        assert [found.name for found in candidates(source)] == [form]
    hint = import_hint(target(tmp_path, form))
    assert f'maskprop import {target(tmp_path, form)} OUT.json' in hint


def test_every_format_is_read_or_says_what_to_do():
    assert len({form.name for form in FORMATS}) == len(FORMATS)
    for form in FORMATS:
        assert form.recognise and (bool(form.read) + bool(form.detect) + bool(form.instead) == 1), form.name
    assert {form.name for form in FORMATS if form.write} == set(WRITTEN) <= set(READABLE)


def test_cvat_for_images_and_youtube_vis_itself(tmp_path, capsys):
    (tmp_path / 'a.xml').write_text('<annotations><meta/><image id="0" name="a.jpg"></image></annotations>')
    source = make_set(tmp_path / 'set.json')
    for path, expected in (
        (tmp_path / 'a.xml', 'CVAT for images 1.1: it has no tracks: export the task as "CVAT for video 1.1"'),
        (source, 'is in YouTube-VIS format already'),
        (tmp_path / 'nothing', 'no such file or folder'),
        (
            write_frames(tmp_path / 'frames', dict(a=['0.jpg'])),
            'write them as PNG: these formats change the values',
        ),
    ):
        with pytest.raises(SystemExit):
            run_import(path, tmp_path / 'out.json')
        assert expected in capsys.readouterr().err


def test_formats_that_name_no_frames_ask_for_them(tmp_path, capsys):
    run_export(make_set(tmp_path / 'set.json'), tmp_path / 'mots', '--to', 'mots')
    with pytest.raises(SystemExit):
        run_import(tmp_path / 'mots', tmp_path / 'out.json')
    assert 'give their folder by --images' in capsys.readouterr().err


def test_zips_that_are_damaged_or_reach_outside(tmp_path, monkeypatch):
    for name, inside in (('outside', '../x.txt'), ('absolute', '/x.txt')):
        with zipfile.ZipFile(tmp_path / f'{name}.zip', 'w') as file:
            file.writestr(inside, 'x')
        with pytest.raises(AnnotationError, match='a path outside of itself'):
            Source(tmp_path / f'{name}.zip')
    with zipfile.ZipFile(tmp_path / 'good.zip', 'w') as file:
        file.writestr('instances/labels.txt', 'car\n' * 100)
    content = bytearray((tmp_path / 'good.zip').read_bytes())
    content[45:60] = bytes(15)
    (tmp_path / 'damaged.zip').write_bytes(content)
    with pytest.raises(AnnotationError, match='damaged.zip: cannot be unpacked'):
        Source(tmp_path / 'damaged.zip')
    monkeypatch.setattr('maskprop.datasets.formats.source.MOST_UNPACKED', 100)
    with pytest.raises(AnnotationError, match='unpack it yourself'):
        Source(tmp_path / 'good.zip')


@pytest.mark.parametrize(
    'name, content, expected',
    [
        ('a.json', b'', 'a.json is empty'),
        ('a.csv', b'', 'a.csv is empty'),
        ('a.csv', b'x;y\n1;2\n', 'a.csv: the columns of its first line are not those of this project (video'),
        ('a.json', '{"name": "Käfer"}'.encode('cp1252'), 'a.json: not valid JSON'),
        ('a.json', '{"name":\n"Käfer"}'.encode('cp1252'), 'byte 0xe4 in line 2 is of another one (Windows-1252?)'),
        ('a.xml', b'<!DOCTYPE a [<!ENTITY x "y">]><a>&z;</a>', 'a.xml: no XML that can be read (undefined entity'),
        ('a.xml', b'<a/>', 'a.xml: is XML, but not of CVAT'),
        ('a.txt', 'naïve'.encode('utf-16'), 'a.txt: its text is UTF-16: save it as UTF-8'),
        ('a.txt', b'one two\n', "a.txt: its first line, 'one two', is neither MOTS"),
        ('a.mat', b'MATLAB\0\1', 'a.mat: is no text, and no format that is read has such files'),
        ('a.zip', b'PK\x03\x04' + bytes(50), 'a.zip: is no whole zip, maybe cut short'),
        ('a.zip', b'<html>', 'a.zip: is no whole zip'),
    ],
)
def test_what_is_of_no_format_is_looked_at(tmp_path, capsys, name, content, expected):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SystemExit):
        run_import(tmp_path / name, tmp_path / 'out.json')
    said = capsys.readouterr().err.strip()
    assert expected in said and '\n' not in said
    (tmp_path / 'inside').mkdir()
    (tmp_path / 'inside' / name).write_bytes(content)
    with pytest.raises(SystemExit):
        run_import(tmp_path / 'inside', tmp_path / 'out.json')
    assert name in capsys.readouterr().err


def test_a_folder_without_files(tmp_path, capsys):
    with pytest.raises(SystemExit):
        run_import(tmp_path, tmp_path / 'out.json')
    assert f'{tmp_path}: has no files' in capsys.readouterr().err


def test_a_zip_of_zips_is_a_folder_of_them(tmp_path):
    for name in ('a', 'b'):
        with zipfile.ZipFile(tmp_path / f'{name}.zip', 'w') as file:
            file.writestr('labels.txt', name)
    with zipfile.ZipFile(tmp_path / 'all.zip', 'w') as file:
        for name in ('a.zip', 'b.zip'):
            file.write(tmp_path / name, name)
    with Source(tmp_path / 'all.zip') as source:
        assert [str(path) for path in source.files] == ['a/labels.txt', 'b/labels.txt']


@pytest.mark.parametrize(
    'delimiter, encoding', [(';', 'utf-8'), ('\t', 'utf-8'), (',', 'utf-16'), (';', 'utf-8-sig')]
)
def test_a_table_that_a_spreadsheet_saved(tmp_path, delimiter, encoding):
    run_export(make_set(tmp_path / 'set.json'), tmp_path / 'table.csv', '--to', 'csv')
    plain = import_annotations(tmp_path / 'table.csv', tmp_path / 'plain.json')
    with (tmp_path / 'table.csv').open(encoding='utf-8', newline='') as file:
        rows = list(csv.reader(file))
    with (tmp_path / 'saved.csv').open('w', encoding=encoding, newline='') as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    saved = import_annotations(tmp_path / 'saved.csv', tmp_path / 'saved.json')
    assert {**saved, 'info': None} == {**plain, 'info': None}


def test_what_was_unpacked_goes_away_and_a_folder_of_zips_is_one_of_folders(tmp_path):
    for name in ('a', 'b'):
        (tmp_path / 'zips').mkdir(exist_ok=True)
        with zipfile.ZipFile(tmp_path / f'zips/{name}.zip', 'w') as file:
            file.writestr('labels.txt', name)
    with Source(tmp_path / 'zips') as source:
        unpacked = source.path
        assert [str(path) for path in source.files] == ['a/labels.txt', 'b/labels.txt']
        assert source.name(unpacked / 'a/labels.txt') == f'{tmp_path}/zips/a/labels.txt'
    assert not unpacked.exists()


def test_links_are_followed_but_not_in_circles(tmp_path):
    (tmp_path / 'real/v').mkdir(parents=True)
    (tmp_path / 'real/v/x.png').write_bytes(b'')
    (tmp_path / 'set').mkdir()
    os.symlink(tmp_path / 'real/v', tmp_path / 'set/v')
    os.symlink(tmp_path / 'set', tmp_path / 'real/v/round')
    assert [str(path) for path in Source(tmp_path / 'set').files] == ['v/x.png']


def test_names_that_several_videos_would_share(tmp_path, capsys):
    """One folder of frames, two videos of masks."""
    from PIL import Image

    images = write_frames(tmp_path / 'images', dict(a=['0.jpg']))
    for video in ('x', 'y'):
        (tmp_path / 'masks' / video).mkdir(parents=True)
        Image.fromarray(block(0, 4, 0, 4).astype('uint8')).save(tmp_path / f'masks/{video}/0.png')
    with pytest.raises(SystemExit):
        run_import(tmp_path / 'masks', tmp_path / 'out.json', '--images', images)
    assert 'has no folder y' in capsys.readouterr().err
