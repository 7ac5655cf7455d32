"""Cameras, streams and files of the network: a stub in OpenCV's place, and a server on the loopback address."""

from __future__ import annotations

import functools
import http.server
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest

from maskprop.apis import VideoError, VideoSession, infer_video_to_folder, inference_video
from maskprop.apis.captures import Capture, camera_index, is_address
from maskprop.apis.frames import DEFAULT_FPS, open_frames
from maskprop.apis.interruption import StopOnInterrupt
from maskprop.apis.newest_frames import NewestFrames
from maskprop.visualization import VideoWriter
from tests.apis.fake_video_model import ColourModel, make_video


@pytest.fixture(scope='module', autouse=True)
def _scope():
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=True)


VideoCapture = cv2.VideoCapture


class Camera:
    """In place of cv2.VideoCapture: a camera or stream that sends frames, and calls ``on_grab`` before each."""

    opened: list[tuple] = []

    def __init__(self, frames: list[np.ndarray], fps: float = 30.0, count: float = -1.0, on_grab=lambda t: None):
        self.frames, self.properties, self.on_grab = frames, (fps, count), on_grab
        self.next = 0

    def __call__(self, *args) -> Camera | cv2.VideoCapture:
        if str(args[0]).endswith('.mp4'):  # the overlay, which is read back
            return VideoCapture(*args)
        Camera.opened.append(args)
        return Camera(self.frames, *self.properties, self.on_grab)

    def isOpened(self) -> bool:
        return True

    def get(self, name: int) -> float:
        return dict(zip((cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_COUNT), self.properties, strict=True)).get(name, 0.0)

    def grab(self) -> bool:
        self.on_grab(self.next)
        self.next += 1
        return self.next <= len(self.frames)

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        frame = self.frames[self.next - 1]
        return frame is not None, frame

    def release(self) -> None:
        pass


def _stub(monkeypatch, *args, **kwargs) -> None:
    Camera.opened = []
    monkeypatch.setattr(cv2, 'VideoCapture', Camera(*args, **kwargs))


def test_what_is_a_camera_and_what_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [camera_index(s) for s in (0, '2', np.int64(1), True, '1.mp4', '-1', '²', 'a')] == [0, 2, 1] + [
        None
    ] * 5
    (tmp_path / '2').mkdir()  # a folder of that name goes before
    assert camera_index('2') is None
    yes = ['rtsp://host/a', 'HTTP://host/a.mp4', 'udp://@:1234']
    assert [is_address(s) for s in (*yes, 'a/b.mp4', 'C:/a.mp4', 0)] == [True] * 3 + [False] * 3


@pytest.mark.parametrize('source', [0, '0'])
def test_a_camera(monkeypatch, source):
    frames = make_video(7)
    _stub(monkeypatch, frames)
    opened = open_frames(source, 2)
    assert (opened.name, opened.fps, opened.num_frames, opened.live) == ('camera0', 15, None, True)
    assert Camera.opened == [(0,)]
    np.testing.assert_array_equal(list(opened), frames[::2])
    found = inference_video(ColourModel(), source, frame_stride=2, every_frame=True)
    assert found == inference_video(ColourModel(), frames[::2])


def test_a_camera_that_says_no_rate_or_a_count(monkeypatch):
    _stub(monkeypatch, make_video(3), fps=0.0, count=100.0)
    opened = open_frames(1)
    assert (opened.fps, opened.num_frames, opened.live) == (DEFAULT_FPS, None, True)


def test_a_stream_is_opened_with_time_limits_and_its_password_is_not_shown(monkeypatch):
    _stub(monkeypatch, make_video(3))
    opened = open_frames('rtsp://me:secret@10.0.0.7:554/yard/main?x=1')
    assert opened.live and opened.name == 'main'
    (((source, backend, options),),) = [Camera.opened]
    assert source == 'rtsp://me:secret@10.0.0.7:554/yard/main?x=1' and backend == cv2.CAP_FFMPEG
    assert dict(zip(options[::2], options[1::2], strict=True)) == {
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: 10_000,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC: 10_000,
    }
    _stub(monkeypatch, [])
    with pytest.raises(VideoError, match=r'rtsp://\*\*\*@10\.0\.0\.7:554/yard/main.*ffplay') as caught:
        open_frames('rtsp://me:secret@10.0.0.7:554/yard/main')
    assert 'secret' not in str(caught.value)
    with pytest.raises(VideoError, match=r'camera 5: OpenCV gets no picture.*connected'):
        open_frames(5)


@pytest.mark.parametrize('broken', [None, np.zeros((30, 40, 3), np.uint8)], ids=['no picture', 'another size'])
def test_a_stream_that_breaks_keeps_what_came(tmp_path, monkeypatch, broken, recwarn):
    frames = make_video(9)
    _stub(monkeypatch, [*frames[:6], broken, *frames[6:]])
    options = dict(every_frame=True, progress=False)
    report = infer_video_to_folder(ColourModel(), 'rtsp://host/a', tmp_path, **options)
    assert report.num_frames == 6
    assert json.loads((tmp_path / 'results.json').read_text()) == inference_video(ColourModel(), frames[:6])
    if broken is not None:
        assert any('frame 6: 30x40 after frames of 60x80' in str(w.message) for w in recwarn)


@pytest.fixture
def unhandled() -> Iterator[Callable]:
    """A signal that the code does not take is an error of the test, not the end of all tests."""

    def handler(*_) -> None:
        raise AssertionError('the signal came through')

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    yield handler
    for number, was in before.items():
        signal.signal(number, was)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_a_live_video_with_whole_files(tmp_path, monkeypatch, number, unhandled):
    frames = make_video(12)
    # so slow that no frame is left out on a busy machine
    _stub(monkeypatch, frames, fps=0.01, on_grab=lambda t: t == 8 and os.kill(os.getpid(), number))
    options = dict(score_thr=0, progress=False, every_frame=True)
    report = infer_video_to_folder(ColourModel(), 0, tmp_path, **options)
    assert report.num_frames == 8 and report.objects == {'red': 1, 'blue': 1}
    assert json.loads((tmp_path / 'results.json').read_text()) == inference_video(ColourModel(), frames[:8])
    assert cv2.VideoCapture(str(tmp_path / 'overlay.mp4')).get(cv2.CAP_PROP_FRAME_COUNT) == 8
    assert signal.getsignal(number) is unhandled
    few = inference_video(ColourModel(), 0)  # read ahead by a frame or two
    assert few in [inference_video(ColourModel(), frames[:number]) for number in (6, 7, 8)]


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """As in a shell: tests that run in the background are started with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures('ctrl_c')
def test_a_second_ctrl_c_is_an_interrupt():
    with pytest.raises(KeyboardInterrupt), StopOnInterrupt() as interrupt:
        for _ in interrupt.until_stopped(range(5)):
            os.kill(os.getpid(), signal.SIGINT)
            assert interrupt.stopped
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures('ctrl_c')
def test_in_another_thread_it_changes_nothing():
    found = []

    def run():
        with StopOnInterrupt() as interrupt:
            found.append((list(interrupt.until_stopped(range(3))), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [([0, 1, 2], signal.default_int_handler)]


@pytest.mark.usefixtures('ctrl_c')
def test_ctrl_c_in_a_file_is_an_interrupt_that_keeps_the_old_files(tmp_path, monkeypatch):
    (tmp_path / 'results.json').write_text('[]')
    frames = make_video(6)

    def interrupted() -> Iterator[np.ndarray]:
        yield from frames[:4]
        os.kill(os.getpid(), signal.SIGINT)
        yield from frames[4:]

    with pytest.raises(KeyboardInterrupt):
        infer_video_to_folder(ColourModel(), interrupted(), tmp_path, progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ['results.json']
    assert (tmp_path / 'results.json').read_text() == '[]'


def test_a_slow_model_gets_the_newest_frame(tmp_path, monkeypatch):
    frames, began, all_came = make_video(12), threading.Event(), threading.Event()
    step = VideoSession.step

    def grab(t: int) -> None:
        if t == 1:  # the second frame comes when the first one is being looked at
            began.wait(60)
        if t == 12:  # the end, when the last frame waits
            all_came.set()

    def wait(*args):
        began.set()
        all_came.wait(60)
        return step(*args)

    _stub(monkeypatch, frames, fps=900.0, on_grab=grab)
    monkeypatch.setattr(VideoSession, 'step', wait)
    report = infer_video_to_folder(ColourModel(), 0, tmp_path, score_thr=0, progress=False)
    assert json.loads((tmp_path / 'results.json').read_text()) == inference_video(ColourModel(), frames[::11])
    assert report.num_frames == 2
    assert any('10 of 12 frames were left out (the source sends 900' in note for note in report.notes)
    assert VideoCapture(str(tmp_path / 'overlay.mp4')).get(cv2.CAP_PROP_FRAME_COUNT) == 12  # as fast as the source
    report = infer_video_to_folder(ColourModel(), 0, tmp_path, every_frame=True, progress=False)
    assert report.num_frames == 12 and json.loads((tmp_path / 'results.json').read_text()) == inference_video(
        ColourModel(), frames
    )


def test_every_frame_of_a_fast_source_comes_late(tmp_path, monkeypatch):
    _stub(monkeypatch, make_video(5), fps=900.0)
    monkeypatch.setattr(VideoSession, 'step', _slowly(VideoSession.step))
    report = infer_video_to_folder(ColourModel(), 0, tmp_path, every_frame=True, write_video=False, progress=False)
    assert any('sends 900 frames/s' in note and 'came late' in note for note in report.notes)


def test_a_source_that_is_ahead_of_its_rate_waits():
    slow = threading.Event()
    found = []
    for frame in NewestFrames(range(6), fps=0.01):  # the second frame is due in 100 s
        slow.wait(0.01)
        found.append(frame)
    assert found == [0, 1, 2, 3, 4, 5]


def test_a_source_s_error_comes_after_its_frames_and_who_stops_early_is_not_waited_for():
    def frames():
        yield 1
        raise VideoError('broken')

    taken = iter(NewestFrames(frames(), fps=0.01))
    assert next(taken) == 1
    with pytest.raises(VideoError, match='broken'):
        next(taken)
    before = threading.active_count()
    taken = iter(NewestFrames(iter(int, 1), fps=0.01))
    next(taken)
    assert threading.active_count() == before + 1
    taken.close()
    assert threading.active_count() == before


def _slowly(step):
    def slow(*args):
        threading.Event().wait(0.01)
        return step(*args)

    return slow


@pytest.fixture
def server(tmp_path) -> Iterator[str]:
    with VideoWriter(tmp_path / 'clip.mp4', fps=10, codec='mp4v') as writer:
        for frame in make_video(9):
            writer.write(frame)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args) -> None:
            pass

    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=tmp_path)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()
        thread.join()


def test_a_file_of_a_server_is_as_the_file_itself(server, tmp_path):
    if not any(cv2.videoio_registry.getBackendName(b) == 'FFMPEG' for b in cv2.videoio_registry.getBackends()):
        pytest.skip('this OpenCV has no FFmpeg')
    opened = open_frames(f'{server}/clip.mp4', 2)
    assert (opened.name, opened.fps, opened.num_frames, opened.live) == ('clip', 5, 5, False)
    expected = inference_video(ColourModel(), tmp_path / 'clip.mp4')
    assert inference_video(ColourModel(), f'{server}/clip.mp4') == expected
    with pytest.raises(VideoError, match=rf'{server}/none.mp4: OpenCV gets no picture'):
        Capture(f'{server}/none.mp4')
