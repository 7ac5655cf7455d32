"""The files that tools/infer_video.py writes."""

from __future__ import annotations

import errno
import json
import warnings

import cv2
import numpy as np
import pytest

from maskprop.apis import VideoError, infer_video_to_folder, inference, inference_video
from maskprop.apis.inference import draw_frame_result
from maskprop.structures import FrameResult
from maskprop.visualization import VideoWriter, track_color
from tests.apis.fake_video_model import ColourModel, make_video


@pytest.fixture(scope='module', autouse=True)
def _scope():
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=True)


@pytest.fixture
def mp4(tmp_path):
    path = tmp_path / 'mine.mp4'
    with VideoWriter(path, fps=10) as writer:
        for frame in make_video(9):
            writer.write(frame)
    return path


@pytest.mark.parametrize('stride, count', [(1, 9), (2, 5)])
def test_files(tmp_path, mp4, stride, count):
    model, out = ColourModel(), tmp_path / 'a' / 'out'
    options = dict(frame_stride=stride, score_thr=0, upscale=6, progress=False)
    report = infer_video_to_folder(model, mp4, out, **options)
    assert sorted(p.name for p in out.iterdir()) == ['overlay.mp4', 'results.json']
    results = json.loads((out / 'results.json').read_text())
    assert (report.num_frames, report.num_results, report.name) == (count, len(results), 'mine')
    assert report.objects == {'red': 1, 'blue': 1} and report.seconds > 0
    assert report.files == [out / 'results.json', out / 'overlay.mp4']
    assert [r['category_name'] for r in results] == ['red', 'blue']
    assert results == inference_video(model, mp4, frame_stride=stride)
    assert all(r['video_id'] == 1 and len(r['segmentations']) == count for r in results)
    capture = cv2.VideoCapture(str(out / 'overlay.mp4'))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10 / stride)
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    assert len(frames) == count
    # The square's middle has the blend of red and the colour of id 1.
    expected = 0.55 * np.array([20, 20, 230]) + 0.45 * np.array(track_color(1))
    for t, frame in enumerate(frames):
        x = 6 * (4 * t * stride + 10)
        np.testing.assert_allclose(frame[6 * 24 : 6 * 27, x : x + 12].mean((0, 1)), expected, atol=12)


@pytest.mark.parametrize(
    'options, size', [({}, (60, 80)), (dict(upscale=3), (180, 240)), (dict(upscale=None), (360, 480))]
)
def test_the_overlay_has_the_size_of_the_video_or_as_asked(tmp_path, mp4, options, size):
    infer_video_to_folder(ColourModel(), mp4, tmp_path / 'out', progress=False, **options)
    capture = cv2.VideoCapture(str(tmp_path / 'out/overlay.mp4'))
    assert (capture.get(cv2.CAP_PROP_FRAME_HEIGHT), capture.get(cv2.CAP_PROP_FRAME_WIDTH)) == size


def test_no_video(tmp_path, mp4):
    infer_video_to_folder(ColourModel(), mp4, tmp_path / 'out', write_video=False, progress=False)
    assert [p.name for p in (tmp_path / 'out').iterdir()] == ['results.json']


def test_failure_leaves_no_files(tmp_path):
    frames = [*make_video(4), np.zeros((10, 10, 3), np.uint8)]
    with pytest.raises(ValueError, match='frame 4'):
        infer_video_to_folder(ColourModel(), frames, tmp_path / 'out', progress=False)
    assert not list((tmp_path / 'out').iterdir())
    with pytest.raises(ValueError, match='empty'):
        infer_video_to_folder(ColourModel(), iter([]), tmp_path / 'out', progress=False)
    assert not list((tmp_path / 'out').iterdir())


@pytest.mark.parametrize('where', ['draw_instances', 'VideoWriter.write', 'VideoWriter._check_whole'])
def test_an_overlay_that_fails_costs_no_results(tmp_path, mp4, where, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(f'maskprop.apis.inference.{where}', fail)
    out = tmp_path / 'out'
    with pytest.raises((VideoError, OSError), match='No space left'), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        infer_video_to_folder(ColourModel(), mp4, out, score_thr=0, save=['csv'], progress=False)
    assert sorted(p.name for p in out.iterdir()) == ['results.json', 'tracks.csv']
    assert json.loads((out / 'results.json').read_text()) == inference_video(ColourModel(), mp4)


def test_the_overlay_makes_room_for_results(tmp_path, mp4, monkeypatch):
    """On a disk that the unfinished overlay has filled."""
    written, calls = inference.write_results, []

    def write(path, results):
        calls.append([file.name for file in path.parent.iterdir()])
        if len(calls) == 1:
            raise OSError(errno.ENOSPC, 'No space left on device', str(path))
        return written(path, results)

    monkeypatch.setattr(inference, 'write_results', write)
    with pytest.raises(
        VideoError, match=r'overlay.mp4 cannot be written .*No space left.*results.json is written'
    ):
        infer_video_to_folder(ColourModel(), mp4, tmp_path / 'out', score_thr=0, progress=False)
    assert calls[1] == [] and [file.name for file in (tmp_path / 'out').iterdir()] == ['results.json']
    assert json.loads((tmp_path / 'out/results.json').read_text()) == inference_video(ColourModel(), mp4)


def test_score_threshold_of_the_overlay():
    frame, mask = np.zeros((400, 400, 3), np.uint8), np.ones((400, 400), bool)
    result = FrameResult(0, ids=[4, 5], labels=[0, 1], scores=[0.29, 0.3], masks=[mask, mask], filled=[False] * 2)
    result.class_names = ['cat', 'dog']
    drawn = draw_frame_result(frame, result, 0.3)
    np.testing.assert_array_equal(drawn[399, 399], np.rint(np.float32(0.45) * np.array(track_color(5))))
    assert (draw_frame_result(frame, result, 0.31) == 0).all()


def test_progress_has_the_total(tmp_path, mp4, capfd):
    infer_video_to_folder(ColourModel(), mp4, tmp_path / 'out', write_video=False)
    assert '9/9' in capfd.readouterr().err


@pytest.mark.parametrize('name', ['results.json', 'overlay.mp4', ''])
def test_outputs_that_cannot_be_written_are_refused_before_the_first_frame(tmp_path, mp4, name, monkeypatch):
    monkeypatch.setattr('maskprop.apis.inference.VideoSession', lambda model: pytest.fail('began'))
    out = tmp_path / 'out'
    if name:
        (out / name).mkdir(parents=True)
    else:
        out.write_text('a file')
    with pytest.raises(OSError, match=f'out_dir .*{name}'):
        infer_video_to_folder(ColourModel(), mp4, out, progress=False)


def test_a_name_that_is_not_written_is_not_in_the_way(tmp_path, mp4):
    (tmp_path / 'out/overlay.mp4').mkdir(parents=True)
    infer_video_to_folder(ColourModel(), mp4, tmp_path / 'out', write_video=False, progress=False)
    assert (tmp_path / 'out/results.json').is_file()
