"""Tracks from results and annotations, and the strip of frames."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils

from maskprop.visualization import draw_strip, strip_from_files, tracks_from_annotations, tracks_from_results
from maskprop.visualization.files import write_image
from maskprop.visualization.strip import GAP, PAPER, compose, evenly_spaced, layout_margins
from maskprop.visualization.tracks import Track, tracks_from_dataset

SIZE = (54, 96)
NAMES = {1: 'cat', 4: 'dog'}


def _rle(x: int) -> dict:
    mask = np.zeros(SIZE, np.uint8, order='F')
    mask[20:40, x : x + 20] = 1
    rle = mask_utils.encode(mask)
    return dict(size=list(SIZE), counts=rle['counts'].decode())


def _result(category_id: int, score: float, segmentations: list, **more) -> dict:
    return dict(video_id=1, category_id=category_id, score=score, segmentations=segmentations, **more)


def test_evenly_spaced():
    assert evenly_spaced(11, 6) == [0, 2, 4, 6, 8, 10]
    assert evenly_spaced(3, 6) == [0, 1, 2]
    assert evenly_spaced(9, 1) == [4]
    assert evenly_spaced(1, 6) == [0]
    with pytest.raises(ValueError, match='0 frames'):
        evenly_spaced(0, 6)


def test_results_of_one_object_are_one_track():
    a, b = [_rle(0), None], [_rle(30), _rle(40)]
    results = [_result(1, 0.4, a), _result(1, 0.1, b), _result(4, 0.8, a), _result(4, 0.2, b)]
    tracks = tracks_from_results(results, NAMES)
    assert [(t.id, t.label, t.score) for t in tracks] == [(1, 'dog', 0.8)]
    both = tracks_from_results(results, NAMES, min_score=0)
    assert [(t.id, t.label, t.score) for t in both] == [(1, 'dog', 0.8), (2, 'dog', 0.2)]
    assert both[0].segmentations == a
    # Ids in the results win: here two objects of the same masks.
    named = [_result(1, 0.5, a, track_id=7), _result(4, 0.6, a, track_id=3), _result(4, 0.9, a, track_id=7)]
    assert [(t.id, t.label) for t in tracks_from_results(named, NAMES)] == [(7, 'dog'), (3, 'dog')]
    assert tracks_from_results([_result(9, 0.9, a)], NAMES)[0].label == 'category 9'


def test_annotations_keep_their_colours_in_any_order():
    annotations = [
        dict(id=8, category_id=4, segmentations=[None, _rle(3)]),
        dict(id=5, category_id=1, segmentations=[_rle(1), None]),
    ]
    tracks = tracks_from_annotations(annotations, NAMES)
    assert [(t.id, t.label, t.score) for t in tracks] == [(1, 'cat', None), (2, 'dog', None)]
    assert tracks == tracks_from_annotations(annotations[::-1], NAMES)


def test_tracks_of_a_data_set():
    images = [
        dict(instances=[dict(instance_id=9, bbox_label=1, mask=_rle(0))]),
        dict(instances=[]),
        dict(
            instances=[
                dict(instance_id=9, bbox_label=1, mask=_rle(5)),
                dict(instance_id=2, bbox_label=0, mask=_rle(9)),
            ]
        ),
    ]
    tracks = tracks_from_dataset(images, ['cat', 'dog'])
    assert tracks == [
        Track(1, 'cat', [None, None, _rle(9)]),
        Track(2, 'dog', [_rle(0), None, _rle(5)]),
    ]
    assert tracks_from_dataset([{}, {}], ['cat']) == []


def test_compose_layout():
    def picture(value):
        return np.full((30, 50, 3), value, np.uint8)

    rows = {
        'frames': [picture(10), picture(20), picture(30)],
        'ground truth': [picture(40), picture(50), picture(60)],
    }
    strip = compose(rows, ['frame 0', 'frame 5', 'frame 9'])
    top, left = layout_margins(rows)
    assert strip.shape == (top + 2 * (30 + GAP) + GAP, left + 3 * (50 + GAP) + GAP, 3)
    for row in range(2):
        for column in range(3):
            y, x = top + GAP + row * (30 + GAP), left + GAP + column * (50 + GAP)
            assert (strip[y : y + 30, x : x + 50] == 10 + 10 * (3 * row + column)).all()
            assert (strip[y : y + 30, x + 50 : x + 50 + GAP] == PAPER).all()
    assert (strip[top:, :left] != 255).any() and (strip[:top, left:] != 255).any()  # titles and headers


@pytest.fixture
def video(tmp_path):
    paths = [tmp_path / 'images' / 'v' / f'{t}.png' for t in range(5)]
    for t, path in enumerate(paths):
        write_image(path, np.full((*SIZE, 3), 40 * t, np.uint8))
    return paths


def test_strip_of_a_video(video):
    truth = [Track(1, 'cat', [_rle(5 * t) for t in range(5)])]
    strip = draw_strip(video, {'ground truth': truth, 'prediction': []}, num_columns=3, cell_width=200)
    top, left = layout_margins(['frames', 'ground truth', 'prediction'])
    height = round(SIZE[0] * 200 / SIZE[1])
    assert strip.shape == (top + 3 * (height + GAP) + GAP, left + 3 * (200 + GAP) + GAP, 3)
    for column, t in enumerate([0, 2, 4]):
        x = left + GAP + column * (200 + GAP)
        cells = [strip[top + GAP + r * (height + GAP) :][:height, x : x + 200] for r in range(3)]
        assert (cells[0] == 40 * t).all() and (cells[2] == 40 * t).all()  # the frame, and no prediction on it
        assert (cells[1] != 40 * t).any()
    plain = draw_strip(video, {'ground truth': truth}, num_columns=3, cell_width=192, show_labels=False)
    top, left = layout_margins(['frames', 'ground truth'])
    for column, t in enumerate([0, 2, 4]):  # the mask of that very frame: columns 5 t to 5 t + 20, twice as large
        x = left + GAP + column * (192 + GAP)
        changed = (plain[top + GAP + 108 + GAP :][:108, x : x + 192] != 40 * t).any(-1)
        columns = np.flatnonzero(changed.any(0))
        assert abs(columns[0] - 10 * t) <= 2 and abs(columns[-1] - (10 * t + 39)) <= 2
    with pytest.raises(ValueError, match='"prediction": 4 frames .* 5 images'):
        draw_strip(video, {'prediction': [Track(0, 'cat', [None] * 4)]})


def test_strip_from_files(video, tmp_path):
    annotations = [dict(id=1, video_id=3, category_id=1, segmentations=[_rle(t) for t in range(5)])]
    listed = [dict(id=3, height=54, width=96, length=5, file_names=[f'v/{p.name}' for p in video])]
    truth = dict(videos=listed, annotations=annotations, categories=[dict(id=1, name='cat')])
    (tmp_path / 'gt.json').write_text(json.dumps(truth))
    results = [dict(video_id=3, category_id=1, score=0.9, segmentations=[_rle(t) for t in range(5)])]
    (tmp_path / 'a.json').write_text(json.dumps(results))
    (tmp_path / 'b.json').write_text('[]')
    files = {'A': tmp_path / 'a.json', 'B': tmp_path / 'b.json'}
    out = tmp_path / 'out' / 'strip.png'
    strip_from_files(tmp_path / 'gt.json', tmp_path / 'images', 3, files, out, num_columns=2)
    tracks = tracks_from_results(results, NAMES)
    rows = {'ground truth': tracks_from_annotations(annotations, NAMES), 'A': tracks, 'B': []}
    np.testing.assert_array_equal(cv2.imread(str(out)), draw_strip(video, rows, num_columns=2))
    half = [dict(results[0], segmentations=results[0]['segmentations'][::2])]
    (tmp_path / 'half.json').write_text(json.dumps(half))
    strip_from_files(
        tmp_path / 'gt.json', tmp_path / 'images', 3, {'A': tmp_path / 'half.json'}, out, frame_stride=2
    )
    truth = [dict(annotations[0], segmentations=half[0]['segmentations'])]
    rows = {'ground truth': tracks_from_annotations(truth, NAMES), 'A': tracks_from_results(half, NAMES)}
    np.testing.assert_array_equal(cv2.imread(str(out)), draw_strip(video[::2], rows))
    with pytest.raises(ValueError, match=r'gt.json: no video with id 2; it has \[3\]'):
        strip_from_files(tmp_path / 'gt.json', tmp_path / 'images', 2, files, out)
    with pytest.raises(ValueError, match='.xyz'):
        write_image(tmp_path / 'a.xyz', np.zeros((2, 2, 3), np.uint8))
