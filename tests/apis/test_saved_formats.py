"""results.json in other formats: read back by the importer, the same objects; what can't be written is told."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_utils

from maskprop.apis import VideoError, infer_video_to_folder
from maskprop.apis.saved_formats import NAMES, check_saved, save_results
from maskprop.apis.video_arguments import plan_videos
from maskprop.datasets.formats import WRITERS, VideoInfo
from maskprop.datasets.ytvis_json import AnnotationError
from maskprop.visualization.files import write_image
from tests.apis.fake_video_model import ColourModel, make_video

INFO = VideoInfo('clip', 12, 16, [f'clip/{t}.jpg' for t in range(3)])
CLASSES = {3: 'cat', 8: 'dog'}


@pytest.fixture(scope='module', autouse=True)
def _scope():
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=True)


def _rle(mask: np.ndarray) -> dict:
    rle = mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))
    return dict(size=rle['size'], counts=rle['counts'].decode())


def _masks(seed: int) -> np.ndarray:
    """(3, 12, 16) bool: a rectangle in a half of the picture that no other seed of another parity has."""
    rng, masks = np.random.default_rng(seed), np.zeros((3, 12, 16), bool)
    for mask in masks:
        top, left = rng.integers(0, 5, 2)
        mask[top : top + 5, 8 * (seed % 2) + left % 4 : 8 * (seed % 2) + left % 4 + 4] = True
    return masks


def _record(track_id: int, category: int, score: float, masks: np.ndarray) -> dict:
    segmentations = [_rle(mask) if mask.any() else None for mask in masks]
    return dict(track_id=track_id, category_id=category, score=score, segmentations=segmentations)


def _records(first: int = 5, second: int = 9) -> list[dict]:
    masks = [_masks(0), _masks(1)]
    masks[1][0] = False
    return [
        _record(second, 8, 0.9, masks[1]),
        _record(first, 3, 0.5, masks[0]),
        _record(first, 8, 0.6, masks[0]),  # the same object as another class
        _record(11, 3, 0.2, _masks(3)),
    ]


def _save(folder, formats, records=None, **kwargs):
    return save_results(folder, formats, records or _records(), INFO, CLASSES, kwargs.get('min_score', 0.3))


def test_masks_and_mots_have_the_ids_of_the_overlay(tmp_path):
    assert _save(tmp_path, ['masks', 'mots']) == [tmp_path / 'masks', tmp_path / 'mots']
    first, second = _masks(0), _masks(1)
    second[0] = False
    for t in range(3):
        values = np.asarray(Image.open(tmp_path / f'masks/clip/{t}.png'))
        np.testing.assert_array_equal(values, 5 * first[t] + 9 * second[t])
        values = np.asarray(Image.open(tmp_path / f'mots/instances/clip/{t}.png'))
        np.testing.assert_array_equal(values, 2005 * first[t] + 2009 * second[t])  # dog is class 2
    assert json.loads((tmp_path / 'masks/classes.json').read_text()) == {'clip': {'5': 'dog', '9': 'dog'}}


def test_coco_and_csv_list_the_same_objects(tmp_path):
    _save(tmp_path, ['coco', 'csv'])
    content = json.loads((tmp_path / 'coco.json').read_text())
    assert content['categories'] == [dict(id=3, name='cat'), dict(id=8, name='dog')]
    found = [
        (a['image_id'], a['attributes']['track_id'], a['category_id'], a['score']) for a in content['annotations']
    ]
    assert sorted(found) == [(1, 5, 8, 0.6), (2, 5, 8, 0.6), (2, 9, 8, 0.9), (3, 5, 8, 0.6), (3, 9, 8, 0.9)]
    with (tmp_path / 'tracks.csv').open() as file:
        assert len(list(csv.DictReader(file))) == 5


def test_large_ids_are_numbered_anew(tmp_path):
    _save(tmp_path, ['masks', 'mots'], _records(first=7, second=300))
    assert set(np.unique(np.asarray(Image.open(tmp_path / 'masks/clip/1.png')))) == {0, 1, 2}


def test_an_earlier_folder_is_replaced_as_a_whole(tmp_path, monkeypatch):
    (tmp_path / 'masks/clip').mkdir(parents=True)
    (tmp_path / 'masks/clip/7.png').write_text('of a longer video')

    def fail(*_):
        raise OSError(28, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setitem(WRITERS, 'masks', fail)
        with pytest.raises(OSError, match='No space'):
            _save(tmp_path, ['masks', 'csv'])
    assert (tmp_path / 'masks/clip/7.png').is_file() and (tmp_path / 'tracks.csv').is_file()
    _save(tmp_path, ['masks'])
    assert sorted(p.name for p in tmp_path.iterdir()) == ['masks', 'tracks.csv']
    assert sorted(p.name for p in (tmp_path / 'masks/clip').iterdir()) == ['0.png', '1.png', '2.png']


def test_mots_of_many_classes_lists_those_that_were_found(tmp_path):
    classes = {**CLASSES, **{i: f'class {i}' for i in range(100, 200)}}
    save_results(tmp_path, ['mots'], _records(), INFO, classes, 0.3)
    assert (tmp_path / 'mots/instances/labels.txt').read_text().split('\n') == ['dog', '']


def test_nothing_found_is_written_too(tmp_path):
    _save(tmp_path, list(NAMES), min_score=0.99)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['coco.json', 'masks', 'mots', 'tracks.csv']
    assert not np.asarray(Image.open(tmp_path / 'masks/clip/1.png')).any()


def test_overlaps_are_warned_of_by_the_folder_s_name(tmp_path):
    overlapping = [_record(1, 3, 0.9, _masks(0)), _record(2, 3, 0.8, _masks(0))]
    with pytest.warns(UserWarning, match=f'{tmp_path}/masks: objects overlap in 3 frames'):
        _save(tmp_path, ['masks'], overlapping)


def test_more_objects_than_a_format_holds_cost_no_other_format(tmp_path):
    mask = np.zeros((3, 12, 16), bool)
    mask[:, 0, 0] = True
    many = [_record(i, 3, 0.9, mask) for i in range(1, 256)]
    with pytest.raises(AnnotationError, match='more than 254 objects'):
        _save(tmp_path, ['masks', 'csv'], many)
    assert [p.name for p in tmp_path.iterdir()] == ['tracks.csv']


def test_what_cannot_be_written_is_told_at_the_beginning(tmp_path):
    with pytest.raises(ValueError, match="save='mask'.*masks, mots"):
        infer_video_to_folder(ColourModel(), make_video(3), tmp_path, save=['mask'], progress=False)
    (tmp_path / 'masks').write_text('a file')
    with pytest.raises(OSError, match='--out .*masks: is a file'):
        check_saved(tmp_path, ['masks'])
    (tmp_path / 'coco.json').mkdir()
    with pytest.raises(OSError, match='--out .*coco.json: is a folder'):
        plan_videos([__file__], tmp_path, save=['coco'])


def test_a_format_that_fails_costs_no_overlay(tmp_path, monkeypatch):
    def fail(*_):
        raise AnnotationError('too many objects')

    monkeypatch.setitem(WRITERS, 'csv', fail)
    with pytest.raises(VideoError, match=f'too many objects. {tmp_path}/results.json is written'):
        infer_video_to_folder(ColourModel(), make_video(3), tmp_path, save=['csv', 'coco'], progress=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['coco.json', 'overlay.mp4', 'results.json']


def test_every_file_that_a_full_disk_costs_is_named(tmp_path, monkeypatch):
    """Files of an earlier run stay; the results are written."""
    (tmp_path / 'overlay.mp4').write_bytes(b'old')

    def fail(path, *_):
        raise OSError(28, 'No space left on device', str(path))

    for name in ('csv', 'masks'):
        monkeypatch.setitem(WRITERS, name, fail)
    monkeypatch.setattr('maskprop.visualization.video_writer._count_frames', lambda *_: 2)
    with pytest.raises(VideoError) as found:
        infer_video_to_folder(ColourModel(), make_video(3), tmp_path, save=['csv', 'masks'], progress=False)
    for name in (
        'tracks.csv',
        'masks',
        'overlay.mp4 cannot be written (only 2 of 3 frames',
        'results.json is written',
    ):
        assert f'{tmp_path}/{name}' in str(found.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['overlay.mp4', 'results.json']
    assert (tmp_path / 'overlay.mp4').read_bytes() == b'old'


def test_a_video_s_results_in_all_formats(tmp_path):
    for t, frame in enumerate(make_video(6)):
        write_image(tmp_path / f'video/shot_{t}.png', frame)
    options = dict(score_thr=0, save=list(NAMES), frame_stride=2, progress=False)
    report = infer_video_to_folder(ColourModel(), tmp_path / 'video', tmp_path / 'out', **options)
    out = tmp_path / 'out'
    assert report.files == [out / name for name in ('results.json', 'overlay.mp4', *NAMES.values())]
    assert all(path.exists() for path in report.files)
    records = json.loads((out / 'results.json').read_text())
    for t, name in enumerate(('shot_0', 'shot_2', 'shot_4')):
        values = np.asarray(Image.open(out / f'masks/video/{name}.png'))
        for record in records:
            mask = record['segmentations'][t]
            expected = np.zeros((60, 80)) if mask is None else mask_utils.decode(mask)
            overlap = (values > 0) & (values != record['track_id'])
            np.testing.assert_array_equal(
                (values == record['track_id'])[~overlap], expected.astype(bool)[~overlap]
            )
    infer_video_to_folder(ColourModel(), make_video(2), out, write_video=False, save=['csv'], progress=False)
