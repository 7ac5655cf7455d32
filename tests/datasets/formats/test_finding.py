"""Which format a source is of, and zips."""

from __future__ import annotations

import json
import os
import re
import zipfile

import pytest

from maskprop.datasets.formats.finding import FORMATS, READABLE, candidates, import_hint
from maskprop.datasets.formats.source import Source
from maskprop.datasets.json_files import AnnotationError
from maskprop.datasets.ytvis_json import find_problems, load_ytvis
from maskprop.evaluation.ground_truth import load_frames, load_ground_truth

from .sources import block, run_import, write_frames
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
            'frames: holds 1 .jpg: frames, which go to --images',
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


def zip_of(path, **members: bytes) -> bytes:
    with zipfile.ZipFile(path, 'w') as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path.read_bytes()


def test_what_is_of_no_format_says_what_it_is(tmp_path, capsys):
    whole = zip_of(tmp_path / 'whole.zip', labels=b'car' * 100)
    files = {
        'cut.zip': (whole[:100], 'cut.zip: a zip that is cut short or damaged; download'),
        'no.zip': (b'hello', 'no.zip: named as a zip, but none'),
        'nested.zip': (zip_of(tmp_path / 'x.zip', **{'a/in.zip': whole}), 'holds zips, as a/in.zip; unpack them'),
        'both.zip': (
            zip_of(tmp_path / 'x.zip', **{'a': b'', 'a/b': b''}),
            'both.zip: holds a name that no file here',
        ),
        'long.zip': (zip_of(tmp_path / 'x.zip', **{'n' * 300: b''}), 'long.zip: holds a name that no file here'),
        'none.zip': (zip_of(tmp_path / 'x.zip'), 'holds no file'),
        'a.xml': (b'', 'a.xml: is empty (0 bytes)'),
        'a.csv': (b'a,b\n1,2\n', 'of no known format; its first line is "a,b"'),
        'det.txt': (b'1,1,100\n', 'its first line is "1,1,100"'),
        'b.xml': (b'<annotation/>', "XML that is not CVAT's"),
        'a.json': (b'{"b": 1, "a": 2}', "JSON that has the keys ['a', 'b']"),
        'b.json': (b'[1]', 'JSON that holds a list'),
        'c.json': (b'{"a": "caf\xe9"}', 'it is not UTF-8 (byte 10 is 0xe9); save it as UTF-8, as by: iconv'),
        'd.json': ('{"a": 1}'.encode('utf-16-le'), 'its text is UTF-16: save it as UTF-8'),
        'a.gz': (b'\x1f\x8b\x08', 'it is compressed by gzip'),
        'a.foo': (b'x', 'a file .foo; expected .json'),
        'doctype.xml': (b'<!DOCTYPE annotations><annotations><meta>&b;</meta>', 'not valid XML (undefined entity'),
    }
    for name, (content, expected) in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SystemExit):
            run_import(tmp_path / name, tmp_path / 'out.json')
        assert expected in capsys.readouterr().err, name
    write_frames(tmp_path / 'mixed', dict(a=['0.jpg', '0.png']))
    os.symlink('round', tmp_path / 'round')
    (tmp_path / 'bad').mkdir()
    (tmp_path / 'bad/a.json').write_bytes(b'{')
    for path, expected in (
        (tmp_path / 'mixed', 'holds 1 .jpg, 1 .png; of masks it must have PNGs'),
        (tmp_path / 'bad', 'bad/a.json: not valid JSON'),
        (tmp_path / 'round', 'round: no such file or folder'),
        ('/dev/null', 'neither a file nor a folder'),
    ):
        with pytest.raises(SystemExit):
            run_import(path, tmp_path / 'out.json')
        assert expected in capsys.readouterr().err, path


@pytest.mark.parametrize('zipped', [False, True])
def test_results_in_place_of_annotations_are_told_with_what_reads_them(tmp_path, capsys, zipped):
    """By the importer, the checker, the loader and both readers of scoring."""
    path = tmp_path / 'results.json'
    path.write_text(json.dumps([dict(video_id=1, category_id=1, score=0.5, segmentations=[None])]))
    if zipped:
        zip_of(tmp_path / 'submission.zip', **{'results.json': path.read_bytes()})
        path = tmp_path / 'submission.zip'
    use = f'a results file: .*maskprop eval ANNOTATIONS.json {path} scores it; maskprop analyze results, export'
    with pytest.raises(SystemExit):
        run_import(path, tmp_path / 'out.json')
    assert re.search(rf'{path}: {use}', said := capsys.readouterr().err) and 'unpack' not in said
    for read in (load_ytvis, load_frames, load_ground_truth):
        with pytest.raises(ValueError, match=rf'^{path}: not in YouTube-VIS format; this is {use}'):
            read(path)
    [problem] = find_problems(path)
    assert problem.rule == 'other-format' and re.search(use, str(problem))


def test_results_of_single_images_are_told(tmp_path):
    path = tmp_path / 'dets.json'
    path.write_text(json.dumps([dict(image_id=1, category_id=1, score=0.5, bbox=[1, 2, 3, 4])]))
    assert re.search(f'a results file of single images: .*model.detections.file={path}', import_hint(path))
    for other in ([], [1], [dict(video_id=1)], [[]]):
        path.write_text(json.dumps(other))
        assert import_hint(path) is None


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
