"""Frames from files, folders and arrays, and their errors."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from maskprop.apis.frames import DEFAULT_FPS, VideoError, open_frames
from maskprop.datasets.image_folders import natural_key
from maskprop.visualization import VideoWriter
from maskprop.visualization.files import write_image


def _values(source) -> list[int]:
    return [round(float(frame.mean()) / 20) for frame in source]


def _frame(t: int, size=(32, 48)) -> np.ndarray:
    return np.full((*size, 3), 20 * t, np.uint8)


@pytest.fixture
def mp4(tmp_path):
    with VideoWriter(tmp_path / 'clip.mp4', fps=12, codec='mp4v') as writer:
        for t in range(7):
            writer.write(_frame(t))
    return tmp_path / 'clip.mp4'


@pytest.mark.parametrize('stride, expected', [(1, [0, 1, 2, 3, 4, 5, 6]), (3, [0, 3, 6]), (9, [0])])
def test_video_file(mp4, stride, expected):
    source = open_frames(mp4, stride)
    assert (source.name, source.fps, source.num_frames) == ('clip', pytest.approx(12 / stride), len(expected))
    assert _values(source) == expected
    assert _values(source) == expected  # it can be read again


@pytest.mark.parametrize('stride, expected', [(1, [1, 2, 9, 10, 11]), (2, [1, 9, 11])])
def test_folder_in_natural_order(tmp_path, stride, expected):
    for t in (10, 9, 1, 2, 11):
        write_image(tmp_path / f'{t}.png', _frame(t))
    (tmp_path / 'notes.txt').write_text('no image')
    (tmp_path / '.3.png').write_text('no image')
    source = open_frames(tmp_path, stride)
    assert (source.name, source.fps, source.num_frames) == (tmp_path.name, DEFAULT_FPS, len(expected))
    assert _values(source) == expected


def test_natural_key(tmp_path):
    names = ['a.png', 'frame1.png', 'frame2b.png', 'frame10.png', 'x007.png', 'x08.png']
    assert [p.name for p in sorted((tmp_path / n for n in reversed(names)), key=natural_key)] == names


def test_arrays(tmp_path):
    frames = [_frame(t) for t in range(5)]
    for source in (frames, np.stack(frames)):
        opened = open_frames(source, 2)
        assert opened.num_frames == 3 and _values(opened) == [0, 2, 4]
    generated = open_frames((f for f in frames), 2)
    assert generated.num_frames is None and _values(generated) == [0, 2, 4]


def test_reading_is_lazy(tmp_path):
    taken = []

    def endless():
        while True:
            taken.append(len(taken))
            yield _frame(0)

    iterator = iter(open_frames(endless(), 2))
    next(iterator)
    next(iterator)
    assert taken == [0, 1, 2]


def test_missing_and_empty(tmp_path):
    with pytest.raises(FileNotFoundError, match='nothing.mp4: no such video'):
        open_frames(tmp_path / 'nothing.mp4')
    with pytest.raises(ValueError, match='the folder has no images'):
        open_frames(tmp_path)
    with pytest.raises(ValueError, match='no frames'):
        open_frames([])
    with pytest.raises(ValueError, match=r'\(32, 48, 3\)'):
        open_frames(_frame(0))
    for stride in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match='frame_stride'):
            open_frames([_frame(0)], stride)


def test_unreadable_video_names_file_and_codec(tmp_path, mp4):
    bad = tmp_path / 'bad.mp4'
    bad.write_bytes(b'no video at all')
    with pytest.raises(ValueError, match=r'bad\.mp4.*no codec was recognised.*H\.264.*ffmpeg'):
        open_frames(bad)
    data = mp4.read_bytes()
    # The container stays whole, the pictures become zeros.
    start, size = data.index(b'mdat'), int.from_bytes(data[data.index(b'mdat') - 4 : data.index(b'mdat')], 'big')
    bad.write_bytes(data[: start + 4] + bytes(size - 8) + data[start + size - 4 :])
    with pytest.raises(ValueError, match=r'bad\.mp4.*its codec is "(FMP4|mp4v)"'):
        list(open_frames(bad))


def test_bad_images_are_named(tmp_path):
    for t in range(3):
        write_image(tmp_path / f'{t}.png', _frame(t))
    write_image(tmp_path / '2.png', _frame(2, size=(32, 50)))
    with pytest.raises(ValueError, match=r'2\.png: 32x50 after frames of 32x48'):
        list(open_frames(tmp_path))
    (tmp_path / '1.png').write_bytes(b'damaged')
    with pytest.raises(ValueError, match=r'1\.png: not an image'):
        list(open_frames(tmp_path))


def test_folder_images_are_read_as_opencv_reads_them(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3)).astype(np.uint8)
    write_image(tmp_path / 'a.jpg', image)
    np.testing.assert_array_equal(next(iter(open_frames(tmp_path))), cv2.imread(str(tmp_path / 'a.jpg')))


def test_a_folder_with_pictures_of_two_sizes_or_a_damaged_one_is_refused_when_opened(tmp_path):
    for t in range(3):
        write_image(tmp_path / f'{t}.png', _frame(t))
    write_image(tmp_path / '3.png', _frame(3, (48, 32)))
    with pytest.raises(VideoError, match=r'3.png: 48x32 after frames of 32x48 \(height x width\)'):
        open_frames(tmp_path)
    assert open_frames(tmp_path, 2).num_frames == 2  # it is not read
    (tmp_path / '2.png').write_bytes(b'no picture')
    with pytest.raises(VideoError, match='2.png: not an image that can be read: damaged, or of more than'):
        open_frames(tmp_path)
