"""Results of Ultralytics and supervision as results of a set."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from maskprop.datasets.formats.listed import ListedSet
from maskprop.datasets.formats.ultralytics import detections_of_supervision
from maskprop.datasets.json_files import AnnotationError
from maskprop.datasets.rle import decode_mask
from maskprop.datasets.ytvis_json import load_ytvis
from maskprop.evaluation import load_ground_truth, read_results, score_results
from maskprop.tracking.file_detections import FileDetections

from .sources import block, run_import
from .test_round_trips import make_set

VIDEOS = dict(a=['00000.jpg', '00001.jpg', '00002.jpg'], b=['x7.jpg'])
TRACKS = dict(a=[('dog', [block(4, 10, 3, 9), None, block(4, 10, 6, 12)])], b=[('köpek', [block(4, 10, 3, 9)])])


@pytest.fixture
def gt(tmp_path) -> Path:
    return make_set(tmp_path / 'set.json', TRACKS, VIDEOS)


def line(number: int, left: int, *more: object) -> str:
    """A square of 6 pixels' side, as shares of a frame of 30 x 20."""
    corners = [(left, 4), (left + 6, 4), (left + 6, 10), (left, 10)]
    values = [number, *(v for x, y in corners for v in (x / 30, y / 20)), *more]
    return ' '.join(f'{value:g}' for value in values) + '\n'


def labels(tmp_path: Path, **texts: str) -> Path:
    folder = tmp_path / 'labels'
    folder.mkdir()
    for name, text in texts.items():
        (folder / f'{name}.txt').write_text(text)
    (tmp_path / 'names.json').write_text(json.dumps(['köpek', None, 'dog']))
    return folder


def test_tracks_of_a_video_file(gt, tmp_path):
    """VIDEO_1.txt is its first frame; confidence and id come last; class 1 is left out."""
    source = labels(
        tmp_path,
        a_1=line(2, 3, 0.8, 5) + line(1, 20, 0.9, 6),
        a_3=line(2, 6, 0.6, 5),
        b_1=line(0, 3, 0.5, 5),
    )
    run_import(source, tmp_path / 'out.json', '--set', gt, '--classes', tmp_path / 'names.json')
    results = read_results(tmp_path / 'out.json')
    assert [(r['video_id'], r['category_id'], round(r['score'], 6)) for r in results] == [(1, 2, 0.7), (2, 7, 0.5)]
    masks = [None if m is None else decode_mask(m, 20, 30) for m in results[0]['segmentations']]
    assert masks[1] is None and np.array_equal(masks[2], block(4, 10, 6, 12))
    assert score_results(load_ground_truth(gt), results).video_ap.metrics['AP'] == pytest.approx(1)


def test_a_class_without_a_name_is_refused(gt, tmp_path, capsys):
    source = labels(tmp_path, a_1=line(2, 3, 0.8, 5) + line(7, 20, 0.9, 6))
    with pytest.raises(SystemExit):
        run_import(source, tmp_path / 'out.json', '--set', gt, '--classes', tmp_path / 'names.json')
    assert 'a_1.txt: class 7; --classes lists 3, the first is class 0' in capsys.readouterr().err


@pytest.mark.parametrize('more, score', [((), 1.0), ((0.25,), 0.25)])
def test_detections_of_frames(gt, tmp_path, more, score):
    source = labels(tmp_path, x7=line(0, 3, *more), **{'00002': line(2, 6, *more)})
    run_import(source, tmp_path / 'out.json', '--set', gt, '--classes', tmp_path / 'names.json')
    results = read_results(tmp_path / 'out.json')
    assert [(r['image_id'], r['category_id'], r['score']) for r in results] == [(3, 2, score), (4, 7, score)]
    given = FileDetections(tmp_path / 'out.json', 'coco', gt)
    meta = dict(video_id=2, img_path='b/x7.jpg', ori_shape=(20, 30))
    assert [found['bbox'] for found in given.instances(meta)] == [[3, 4, 9, 10]]


def row(name: str, left: int, track: int | None = None) -> dict:
    segments = dict(x=[left, left + 6, left + 6, left], y=[4, 4, 10, 10])
    box = dict(x1=left, y1=4, x2=left + 6, y2=10)
    record = {'name': name, 'class': 3, 'confidence': 0.5, 'box': box, 'segments': segments}
    return record if track is None else {**record, 'track_id': track}


def test_json_of_every_frame(gt, tmp_path, capsys):
    (tmp_path / 'a.json').write_text(json.dumps([[row('dog', 3, 1)], [], [row('dog', 6, 1)]]))
    run_import(tmp_path / 'a.json', tmp_path / 'out.json', '--set', gt)
    (result,) = read_results(tmp_path / 'out.json')
    assert [m is not None for m in result['segmentations']] == [True, False, True] and result['score'] == 0.5
    (tmp_path / 'a.json').write_text(json.dumps([[row('cat', 3, 1)], [], []]))
    with pytest.raises(SystemExit):
        run_import(tmp_path / 'a.json', tmp_path / 'out.json', '--set', gt, '--overwrite')
    assert "the class 'cat' is not in" in capsys.readouterr().err


def test_a_set_is_asked_for_and_boxes_are_refused(gt, tmp_path, capsys):
    (tmp_path / 'a.json').write_text(json.dumps([[row('dog', 3, 1)], [], []]))
    boxes = tmp_path / 'boxes.csv'
    boxes.write_text('x_min,y_min,x_max,y_max,class_id,confidence,tracker_id\n1,1,5,5,0,0.5,1\n')
    for source, expected in ((tmp_path / 'a.json', 'the videos by --set'), (boxes, 'it has boxes without masks')):
        with pytest.raises(SystemExit):
            run_import(source, tmp_path / 'out.json')
        assert expected in capsys.readouterr().err


def test_supervision(gt):
    supervision = pytest.importorskip('supervision')

    def frame(*tracks: tuple[int, np.ndarray, float]) -> object:
        masks = np.array([mask for _, mask, _ in tracks])
        return supervision.Detections(
            xyxy=supervision.mask_to_xyxy(masks).astype(float),
            mask=masks,
            confidence=np.array([score for *_, score in tracks]),
            class_id=np.zeros(len(tracks), int),
            tracker_id=np.array([track for track, *_ in tracks]),
            data=dict(class_name=np.array(['dog'] * len(tracks))),
        )

    listed = ListedSet(load_ytvis(gt), gt)
    first, _, last = TRACKS['a'][0][1]
    frames = [frame((3, first, 0.5)), supervision.Detections.empty(), frame((3, last, 1.0))]
    (result,) = listed.records(detections_of_supervision(frames, listed, 'a'))
    assert result['video_id'] == 1 and result['score'] == 0.75 and result['category_id'] == 2
    assert np.array_equal(decode_mask(result['segmentations'][2], 20, 30), last)
    frames[0].mask = None
    with pytest.raises(AnnotationError, match='a: frame 0: Detections without masks'):
        list(detections_of_supervision(frames, listed, 'a'))
