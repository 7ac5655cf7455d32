"""The mp4 writer: read back, atomic, clear errors."""

from __future__ import annotations

import re
import subprocess
import sys

import cv2
import numpy as np
import pytest

from maskprop.visualization import VideoWriter


def _read(path) -> tuple[list[np.ndarray], float]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        read, frame = capture.read()
        if not read:
            return frames, capture.get(cv2.CAP_PROP_FPS)
        frames.append(frame)


@pytest.mark.parametrize('size, even', [((96, 160), (96, 160)), ((97, 161), (98, 162))])
def test_reads_back(tmp_path, size, even):
    path = tmp_path / 'new' / 'a.mp4'
    with VideoWriter(path, fps=7) as writer:
        for t in range(9):
            writer.write(np.full((*size, 3), 25 * t, np.uint8))
        assert not path.exists()  # not before it is whole
    frames, fps = _read(path)
    assert len(frames) == 9 and fps == pytest.approx(7)
    assert all(frame.shape == (*even, 3) for frame in frames)
    np.testing.assert_allclose([frame.mean() for frame in frames], 25 * np.arange(9), atol=4)
    assert [p.name for p in path.parent.iterdir()] == ['a.mp4']


def test_error_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / 'a.mp4'
    path.write_bytes(b'old')
    with pytest.raises(KeyError), VideoWriter(path, fps=7) as writer:
        writer.write(np.zeros((32, 32, 3), np.uint8))
        raise KeyError
    assert path.read_bytes() == b'old' and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    'fps', [66.667, 211.222, 196.263, 239.7625, 120, 119.88, 239.76, 30000 / 1001, 0.0005, 0.003, 1e5, 65535]
)
def test_any_rate_is_written_at_the_nearest_one(tmp_path, fps):
    path = tmp_path / 'a.mp4'
    with VideoWriter(path, fps) as writer:
        for _ in range(3):
            writer.write(np.zeros((32, 32, 3), np.uint8))
    frames, written = _read(path)
    assert len(frames) == 3
    assert written == pytest.approx(min(max(fps, 0.002), 65535), rel=5e-3 if fps < 1 else 1e-4)


FULL_DISK = """
import resource, sys, numpy as np
from maskprop.visualization import VideoWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
noise = np.random.default_rng(0)
with VideoWriter(sys.argv[1], 6) as writer:
    for _ in range(20):
        writer.write(noise.integers(0, 255, (120, 160, 3)).astype(np.uint8))
"""


def test_a_full_disk_is_an_error_that_keeps_the_old_file(tmp_path):
    path = tmp_path / 'a.mp4'
    path.write_bytes(b'old')
    done = subprocess.run([sys.executable, '-c', FULL_DISK, str(path)], capture_output=True, text=True)
    assert re.search(rf'OSError: {path}: only \d+ of 20 frames could be written', done.stderr), done.stderr
    assert path.read_bytes() == b'old' and [p.name for p in tmp_path.iterdir()] == ['a.mp4']


def test_frames_of_another_size_are_refused(tmp_path):
    with (
        pytest.raises(ValueError, match=r'frame 1 .*\(32, 64\).*\(32, 32\)'),
        VideoWriter(tmp_path / 'a.mp4', 7) as w,
    ):
        w.write(np.zeros((32, 32, 3), np.uint8))
        w.write(np.zeros((32, 64, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def test_other_errors(tmp_path):
    with pytest.raises(ValueError, match='uint8'), VideoWriter(tmp_path / 'a.mp4', 7) as writer:
        writer.write(np.zeros((32, 32, 3)))
    with pytest.raises(ValueError, match='no frame'), VideoWriter(tmp_path / 'a.mp4', 7):
        pass
    with pytest.raises(ValueError, match='fps'):
        VideoWriter(tmp_path / 'a.mp4', 0)
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
