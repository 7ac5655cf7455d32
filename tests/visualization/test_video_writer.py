"""The mp4 writer: read back, atomic, clear errors."""

from __future__ import annotations

import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from maskprop.visualization import VideoWriter
from maskprop.visualization.h264 import has_h264
from maskprop.visualization.video_writer import CodecError

NEEDS_H264 = pytest.mark.skipif(not has_h264(), reason='PyAV with libx264 is not installed')
CODECS = pytest.mark.parametrize('codec', ['mp4v', pytest.param('h264', marks=NEEDS_H264)])


def _read(path) -> tuple[list[np.ndarray], float]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        read, frame = capture.read()
        if not read:
            return frames, capture.get(cv2.CAP_PROP_FPS)
        frames.append(frame)


@CODECS
@pytest.mark.parametrize('size, even', [((96, 160), (96, 160)), ((97, 161), (98, 162))])
def test_reads_back(tmp_path, size, even, codec):
    path = tmp_path / 'new' / 'a.mp4'
    with VideoWriter(path, fps=7, codec=codec) as writer:
        for t in range(9):
            writer.write(np.full((*size, 3), 25 * t, np.uint8))
        assert not path.exists()  # not before it is whole
    frames, fps = _read(path)
    assert len(frames) == 9 and fps == pytest.approx(7)
    assert all(frame.shape == (*even, 3) for frame in frames)
    np.testing.assert_allclose([frame.mean() for frame in frames], 25 * np.arange(9), atol=4)
    assert [p.name for p in path.parent.iterdir()] == ['a.mp4']


@CODECS
def test_error_leaves_the_old_file_and_no_other(tmp_path, codec):
    path = tmp_path / 'a.mp4'
    path.write_bytes(b'old')
    with pytest.raises(KeyError), VideoWriter(path, fps=7, codec=codec) as writer:
        writer.write(np.zeros((32, 32, 3), np.uint8))
        raise KeyError
    assert path.read_bytes() == b'old' and len(list(tmp_path.iterdir())) == 1


@CODECS
@pytest.mark.parametrize(
    'fps', [66.667, 211.222, 196.263, 239.7625, 120, 119.88, 239.76, 30000 / 1001, 0.0005, 0.003, 1e5, 65535]
)
def test_any_rate_is_written_at_the_nearest_one(tmp_path, fps, codec):
    path = tmp_path / 'a.mp4'
    with VideoWriter(path, fps, codec) as writer:
        for _ in range(3):
            writer.write(np.zeros((32, 32, 3), np.uint8))
    frames, written = _read(path)
    assert len(frames) == 3
    assert written == pytest.approx(min(max(fps, 0.002), 65535), rel=5e-3 if fps < 1 else 1e-4)


FULL_DISK = """
import resource, sys, numpy as np
from maskprop.visualization import VideoWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
noise = np.random.default_rng(0)
with VideoWriter(sys.argv[1], 6, sys.argv[2]) as writer:
    for _ in range(20):
        writer.write(noise.integers(0, 255, (120, 160, 3)).astype(np.uint8))
"""


@CODECS
@pytest.mark.parametrize('room', [60_000, 300, 0])  # bytes: for some frames, for less than a header, for none
@pytest.mark.slow
def test_a_full_disk_is_an_error_that_keeps_the_old_file(tmp_path, codec, room):
    path = tmp_path / 'a.mp4'
    path.write_bytes(b'old')
    words = [sys.executable, '-c', FULL_DISK, str(path), codec, str(room)]
    done = subprocess.run(words, capture_output=True, text=True)
    found = (
        r'only \d+ of 20 frames could be written; '
        if room and codec != 'h264'
        else 'could not be written to its end .*; '
    )
    assert re.search(f'OSError: {path}: {found}is the disk full', done.stderr), done.stderr
    assert path.read_bytes() == b'old' and [p.name for p in tmp_path.iterdir()] == ['a.mp4']


def test_a_disk_without_room_for_the_first_byte_is_no_fault_of_the_codec(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, 'No space left on device')

    closed = SimpleNamespace(isOpened=lambda: False)
    monkeypatch.setattr('maskprop.visualization.video_writer.cv2.VideoWriter', lambda *_: closed)
    monkeypatch.setattr('maskprop.visualization.video_writer.cv2.VideoWriter_fourcc', lambda *_: 0)
    for error, name in ((CodecError, 'write_text'), (OSError, 'write_bytes')):
        monkeypatch.setattr(Path, name, fail)
        with pytest.raises(error, match='No space left on device' if error is OSError else 'codec "mp4v"'):
            VideoWriter(tmp_path / 'a.mp4', 7, 'mp4v').write(np.zeros((32, 32, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def test_frames_of_another_size_are_refused(tmp_path):
    with (
        pytest.raises(ValueError, match=r'frame 1 .*\(32, 64\).*\(32, 32\)'),
        VideoWriter(tmp_path / 'a.mp4', 7) as w,
    ):
        w.write(np.zeros((32, 32, 3), np.uint8))
        w.write(np.zeros((32, 64, 3), np.uint8))
    assert not list(tmp_path.iterdir())


@CODECS
def test_frames_are_those_of_the_pictures(tmp_path, codec):
    path = tmp_path / 'a.mp4'
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:32, :48], picture[:32, 48:], picture[32:, :48] = (20, 20, 230), (230, 120, 20), (30, 200, 60)
    with VideoWriter(path, 12.5, codec) as writer:
        for _ in range(30):
            writer.write(picture)
    frames, _ = _read(path)
    for y, x in ((16, 24), (16, 72), (48, 24), (48, 72)):
        np.testing.assert_allclose(frames[-1][y, x], picture[y, x], atol=8)


def test_h264_is_the_default_where_it_can_be_written(tmp_path, monkeypatch):
    for found, codecs in ((True, ['h264', 'h264', 'mp4v']), (False, ['mp4v'] * 3)):
        monkeypatch.setattr('maskprop.visualization.video_writer.has_h264', lambda found=found: found)
        assert [VideoWriter(tmp_path / f'a{suffix}', 7).codec for suffix in ('.mp4', '.MKV', '.avi')] == codecs
    with (
        pytest.raises(RuntimeError, match=r'PyAV.*maskprop\[video\]'),
        VideoWriter(tmp_path / 'a.mp4', 7, 'h264') as w,
    ):
        w.write(np.zeros((32, 32, 3), np.uint8))


@NEEDS_H264
def test_browsers_can_play_it(tmp_path):
    """H.264 in 4:2:0, with the index before the pictures."""
    import av

    with VideoWriter(tmp_path / 'a.mp4', 29.97) as writer:
        for _ in range(5):
            writer.write(np.zeros((33, 32, 3), np.uint8))
    with av.open(str(tmp_path / 'a.mp4')) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ('h264', 'yuv420p')
        assert (stream.average_rate, stream.frames) == (Fraction('29.97'), 5)
    data = (tmp_path / 'a.mp4').read_bytes()
    assert data.index(b'moov') < data.index(b'mdat')


def test_other_errors(tmp_path):
    with pytest.raises(ValueError, match='uint8'), VideoWriter(tmp_path / 'a.mp4', 7) as writer:
        writer.write(np.zeros((32, 32, 3)))
    with pytest.raises(ValueError, match='no frame'), VideoWriter(tmp_path / 'a.mp4', 7):
        pass
    with pytest.raises(ValueError, match='fps'):
        VideoWriter(tmp_path / 'a.mp4', 0)
    with pytest.raises(ValueError, match='four characters'):
        VideoWriter(tmp_path / 'a.mp4', 7, 'mpeg4')
    with (
        pytest.raises(RuntimeError, match='codec "zzzz".*mp4v'),
        VideoWriter(tmp_path / 'a.mp4', 7, 'zzzz') as writer,
    ):
        writer.write(np.zeros((32, 32, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_taken_leaves_no_temporary_file(tmp_path):
    (tmp_path / 'a.mp4').mkdir()
    writer = VideoWriter(tmp_path / 'a.mp4', fps=7)
    writer.write(np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(OSError):
        writer.close()
    assert [p.name for p in tmp_path.iterdir()] == ['a.mp4']
