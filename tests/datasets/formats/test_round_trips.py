"""A set that is exported and imported again is the same set; overlaps and results are as the page says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from maskprop.datasets.formats.finding import WRITABLE
from maskprop.datasets.formats.masks import davis_palette
from maskprop.datasets.formats.sets import frames_of_set
from maskprop.datasets.formats.tracks import encode, video_names
from maskprop.datasets.ytvis_json import AnnotationError, load_ytvis

from .sources import (
    SHARED,
    assert_tracks,
    block,
    import_annotations,
    run_export,
    tracks_of,
    write_frames,
)

FORMATS = sorted(WRITABLE)
ONE, TWO, THREE = block(2, 8, 2, 9), block(10, 15, 12, 20), block(0, 3, 20, 28) | block(17, 19, 20, 28)
VIDEOS = {
    'über/a': [f'{n:05d}.jpg' for n in (0, 5, 10, 15)],
    'b': ['00001.jpg', '00002.jpg', '00003.jpg'],
    '犬': ['00000.jpg', '00001.jpg'],
}
TRACKS = {
    'über/a': [
        ('köpek', [ONE, None, TWO, None]),
        ('dog', [THREE, THREE, None, ONE]),
        ('köpek', [None, ONE, None, None]),
    ],
    'b': [('dog', [None, TWO, None])],
    '犬': [],
}


def make_set(path: Path, tracks: dict = TRACKS, videos: dict = VIDEOS) -> Path:
    """A set with a gap, a frame and a video without objects, an object in two pieces, and a class without any."""
    categories = [dict(id=i, name=name) for i, name in ((2, 'dog'), (7, 'köpek'), (9, 'unused'))]
    ids = {category['name']: category['id'] for category in categories}
    content: dict = dict(videos=[], annotations=[], categories=categories)
    for number, (video, names) in enumerate(videos.items(), start=1):
        files = [f'{video}/{name}' for name in names]
        content['videos'].append(dict(id=number, height=20, width=30, length=len(names), file_names=files))
        for name, masks in tracks[video]:
            segmentations = [None if mask is None else encode(mask) for mask in masks]
            areas = [None if mask is None else int(mask.sum()) for mask in masks]
            head = dict(id=len(content['annotations']) + 1, video_id=number, category_id=ids[name], iscrowd=0)
            content['annotations'].append(dict(**head, segmentations=segmentations, areas=areas))
    path.write_text(json.dumps(content), encoding='utf-8')
    return path


def target(folder: Path, form: str) -> Path:
    return folder / f'out_{form}{dict(coco=".json", csv=".csv").get(form, "")}'


@pytest.mark.filterwarnings('ignore:.*no object in any frame')
@pytest.mark.parametrize('form', FORMATS)
def test_small_set(tmp_path, form):
    source = make_set(tmp_path / 'set.json')
    images = write_frames(tmp_path / 'images', VIDEOS)
    run_export(source, target(tmp_path, form), '--to', form)
    options = ['--images', images]
    if form in ('csv', 'masks'):  # they hold no class that has no object
        options += ['--categories', source]
    if form in ('cvat', 'mots-txt'):  # they hold no video without objects
        options += ['--unannotated', 'absent']
    content = import_annotations(target(tmp_path, form), tmp_path / 'again.json', *options)
    found, first = tracks_of(content), tracks_of(load_ytvis(source))
    assert sorted(found) == sorted(first)
    assert_tracks(content, {video: first[video] for video in found})
    names = {video['file_names'][0]: video['file_names'] for video in content['videos']}
    assert names == {f'{v}/{n[0]}': [f'{v}/{name}' for name in n] for v, n in VIDEOS.items()}
    assert [c['name'] for c in content['categories']] == ['dog', 'köpek', 'unused']
    if form in ('coco', 'csv', 'masks'):
        assert [c['id'] for c in content['categories']] == [2, 7, 9]


@pytest.mark.parametrize('form', FORMATS)
@pytest.mark.skipif(not (SHARED / 'davis16_vis').is_dir(), reason='needs ../shared/davis16_vis')
def test_real_set(tmp_path, form):
    """Every twentieth frame, for time; docs/formats.md has the command for the whole set."""
    gt = load_ytvis(SHARED / 'davis16_vis/annotations/all.json')
    videos = [dict(v, file_names=v['file_names'][::20], length=len(v['file_names'][::20])) for v in gt['videos']]
    lists = ('segmentations', 'bboxes', 'areas')
    annotations = [{**a, **{key: a[key][::20] for key in lists}} for a in gt['annotations']]
    source = tmp_path / 'set.json'
    source.write_text(json.dumps(dict(gt, videos=videos, annotations=annotations)))
    run_export(source, target(tmp_path, form), '--to', form)
    images = write_frames(
        tmp_path / 'images',
        {Path(v['file_names'][0]).parent.name: [Path(n).name for n in v['file_names']] for v in videos},
        (270, 480),
    )
    args = (target(tmp_path, form), tmp_path / 'again.json', '--images', images, '--categories', source)
    content = import_annotations(*args)
    again, first = load_ytvis(source), content
    for record in (again, first):
        record['annotations'].sort(key=lambda a: a['video_id'])
    assert [v['file_names'] for v in first['videos']] == [v['file_names'] for v in again['videos']]
    assert first['categories'] == [{k: c[k] for k in ('id', 'name')} for c in again['categories']]
    for key in ('video_id', 'category_id', 'iscrowd', *lists):
        assert [a[key] for a in first['annotations']] == [a[key] for a in again['annotations']], key


OVERLAPPING = {
    'b': [('dog', [block(0, 10, 0, 10), None, None]), ('köpek', [block(5, 8, 5, 8), None, None])],
    'über/a': [],
    '犬': [],
}


@pytest.mark.filterwarnings('ignore:.*no object in any frame')
@pytest.mark.parametrize('form', FORMATS)
def test_overlaps(tmp_path, form):
    """Formats with one value a pixel give it to the smaller object, and say so; others keep both."""
    source = make_set(tmp_path / 'set.json', OVERLAPPING)
    images = write_frames(tmp_path / 'images', VIDEOS)
    expected = [name for name, _ in OVERLAPPING['b']], [masks[0] for _, masks in OVERLAPPING['b']]
    if form in ('masks', 'mots'):
        with pytest.warns(UserWarning, match='objects overlap in 1 frames, .*: 9 pixels went to'):
            run_export(source, target(tmp_path, form), '--to', form)
        expected[1][0] = expected[1][0] & ~expected[1][1]
    else:
        run_export(source, target(tmp_path, form), '--to', form)
    args = (target(tmp_path, form), tmp_path / 'again.json', '--images', images, '--unannotated', 'absent')
    found = tracks_of(import_annotations(*args))['b']
    assert [name for name, _ in found] == expected[0]
    for (_, masks), want in zip(found, expected[1], strict=True):
        assert np.array_equal(masks[0], want)


def test_results_take_the_place_of_annotations(tmp_path):
    """The better one has the pixels where two overlap; scores are kept where the format has room."""
    source = make_set(tmp_path / 'set.json', OVERLAPPING)
    big, small = (encode(masks[0]) for _, masks in OVERLAPPING['b'])
    results = [
        dict(video_id=2, category_id=2, score=0.9, segmentations=[big, None, None]),
        dict(video_id=2, category_id=7, score=0.5, segmentations=[small, None, None]),
        dict(video_id=2, category_id=7, score=0.1, segmentations=[None, small, None]),
    ]
    (tmp_path / 'results.json').write_text(json.dumps(results))
    options = ['--results', tmp_path / 'results.json', '--score-thr', 0.3]
    run_export(source, tmp_path / 'coco.json', '--to', 'coco', *options)
    records = json.loads((tmp_path / 'coco.json').read_text())['annotations']
    assert [(r['score'], r['category_id'], r['instance_id']) for r in records] == [(0.9, 2, 1), (0.5, 7, 2)]
    with pytest.warns(UserWarning, match='9 pixels went to the object of the higher score'):
        run_export(source, tmp_path / 'mots', '--to', 'mots-txt', *options)
    lines = (tmp_path / 'mots/b.txt').read_text().splitlines()
    assert [line.split()[:3] for line in lines] == [['1', '1001', '1']]  # nothing is left of the other


RESULT = dict(video_id=2, category_id=2, score=0.9, segmentations=[encode(block(0, 10, 0, 10)), None, None])
OTHER_SIZE = [dict(size=[4, 4], counts='`0'), None, None]


@pytest.mark.parametrize(
    ('results', 'message'),
    [
        ([], 'the list of results is empty'),
        (dict(AP=1.0), 'Results must be a list of records'),
        (['x'], "results[0]: found 'x'"),
        ([dict(RESULT, score=float('nan'))], 'results[0] (video 2): "score": found nan'),
        ([dict(RESULT, score='high')], 'results[0] (video 2): "score": found \'high\''),
        ([dict(RESULT, score=None)], 'results[0] (video 2): "score": is null'),
        ([dict(RESULT, track_id=float('nan'))], '"track_id": found nan'),
        ([dict(RESULT, video_id=99)], 'set.json has no video 99'),
        ([dict(RESULT, video_id=[2])], 'results[0]: "video_id": found [2]'),
        ([dict(RESULT, category_id=99)], 'set.json does not list: 99 (1)'),
        ([dict(RESULT, segmentations=[None])], '1 entries, but video 2 has 3 frames'),
        ([dict(RESULT, segmentations=OTHER_SIZE)], 'frame 0: "segmentations": mask size [4, 4]'),
        ([dict(RESULT, segmentations=[[[0, 0, 9, 0, 9, 9]], None, None])], 'Results take compressed RLE only'),
    ],
)
def test_results_are_checked_as_for_an_evaluation(tmp_path, capsys, results, message):
    source = make_set(tmp_path / 'set.json', OVERLAPPING)
    (tmp_path / 'results.json').write_text(json.dumps(results))
    with pytest.raises(SystemExit):
        run_export(source, tmp_path / 'out.json', '--to', 'coco', '--results', tmp_path / 'results.json')
    error = capsys.readouterr().err
    assert f'error: {tmp_path}/results.json: ' in error and message in error
    assert not (tmp_path / 'out.json').exists()


def test_nothing_that_is_read_is_replaced(tmp_path, capsys):
    source = make_set(tmp_path / 'set.json')
    (tmp_path / 'results.json').write_text('[]')
    before = source.read_text()
    for out, options in ((source, ()), (tmp_path / 'results.json', ('--results', tmp_path / 'results.json'))):
        with pytest.raises(SystemExit):
            run_export(source, out, '--to', 'coco', '--overwrite', *options)
        assert f'OUT {out}: is read by this command' in capsys.readouterr().err
    assert source.read_text() == before and (tmp_path / 'results.json').read_text() == '[]'


def test_a_table_that_was_cut_is_refused(tmp_path, capsys):
    source, table = make_set(tmp_path / 'set.json'), tmp_path / 'table.csv'
    run_export(source, table, '--to', 'csv')
    lines = table.read_text().splitlines()
    table.write_text('\n'.join([*lines[:3], lines[3][:4]]))
    with pytest.raises(SystemExit):
        import_annotations(table, tmp_path / 'all.json')
    assert f'{table}: line 4: is cut short' in capsys.readouterr().err


def test_results_of_another_set(tmp_path):
    gt = load_ytvis(make_set(tmp_path / 'set.json'))
    for change, expected in (
        (dict(video_id=9), 'results.json: results[0]: video_id: 9 is no video of the set'),
        (dict(video_id=[2]), 'results[0]: video_id: found [2]; expected an id'),
        (dict(category_id={}), 'results[0]: category_id: found {}; expected an id'),
        (dict(score='high'), "results[0]: score: found 'high'; expected a finite number"),
        (dict(category_id=1), 'results[0]: category_id: 1 is no category'),
        (dict(segmentations=[None]), 'results[0]: segmentations: 1 entries; b has 3 frames'),
        (dict(segmentations=[dict(size=[1, 1], counts=[1]), None, None]), 'segmentations[0]: RLE of size [1, 1]'),
    ):
        result = dict(video_id=2, category_id=2, score=1, segmentations=[None] * 3) | change
        with pytest.raises(AnnotationError, match=re.escape(expected)):
            list(frames_of_set(gt, [result], 'results.json'))


def test_crowds_become_ignored_pixels_or_are_kept(tmp_path):
    source = make_set(tmp_path / 'set.json')
    content = json.loads(source.read_text())
    content['annotations'][0]['iscrowd'] = 1
    source.write_text(json.dumps(content))
    images = write_frames(tmp_path / 'images', VIDEOS)
    counts = {}
    for form in ('masks', 'coco', 'csv'):
        run_export(source, target(tmp_path, form), '--to', form)
        args = (target(tmp_path, form), tmp_path / f'{form}.json', '--images', images)
        again = import_annotations(*args)
        counts[form] = [a['iscrowd'] for a in again['annotations']]
    assert counts == dict(masks=[0, 0, 0], coco=[1, 0, 0, 0], csv=[1, 0, 0, 0])


def test_names_of_videos():
    assert video_names([['a/0.jpg', 'a/1.jpg'], ['b/c/0.jpg']], [1, 2]) == ['a', 'b/c']
    assert video_names([['a/0.jpg'], ['a/1.jpg']], [1, 2]) == ['video_1', 'video_2']  # they share a folder
    assert video_names([['0.jpg'], ['../x/0.jpg']], [1, 2]) == ['video_1', '_x']


def test_palette_of_davis():
    assert davis_palette()[:12] == [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]
    assert davis_palette()[-3:] == [224, 224, 192]


@pytest.mark.parametrize('form', [form for form in FORMATS if form != 'coco'])
def test_names_that_a_format_cannot_hold_are_refused(tmp_path, capsys, form):
    for character in ('\ud800', '\x01') if form == 'cvat' else ('\ud800',):
        content = json.loads(make_set(tmp_path / 'set.json').read_text())
        for record in content['categories']:
            record['name'] += character
        (tmp_path / 'set.json').write_text(json.dumps(content))
        with pytest.raises(SystemExit):
            for folder in ('v', f'v{character}'):  # pictures of masks have classes in JSON, which holds all
                for video in content['videos']:
                    video['file_names'] = [f'{folder}{video["id"]}/{n}.jpg' for n in range(video['length'])]
                (tmp_path / 'set.json').write_text(json.dumps(content))
                run_export(tmp_path / 'set.json', target(tmp_path, form), '--to', form, '--overwrite')
        error = capsys.readouterr().err
        assert 'rename it, or use' in error and 'unforeseen' not in error
