"""tools/extract_frames.py: the right frames, upright, under the names that annotations use."""

from __future__ import annotations

import re
import runpy
import struct
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from maskprop.apis.frame_extraction import extract_frames
from maskprop.apis.frames import VideoError
from maskprop.visualization.video_writer import VideoWriter

ROOT = Path(__file__).parents[2]
SIZE = (48, 64)


def write_video(path: Path, count: int) -> Path:
    """Frame n is grey of 20 + 20 n, with a white block in the upper left corner."""
    with VideoWriter(path, fps=10) as writer:
        for number in range(count):
            frame = np.full((*SIZE, 3), 20 + 20 * number, np.uint8)
            frame[:16, :16] = 255
            writer.write(frame)
    return path


def turn(path: Path) -> None:
    """Says in the mp4's track header that it is to be shown turned by 90 degrees clockwise, as phones do."""
    content = bytearray(path.read_bytes())
    header = content.index(b'tkhd') + 4
    content[header + 40 : header + 76] = struct.pack(
        '>9i', 0, 1 << 16, 0, -(1 << 16), 0, 0, SIZE[0] << 16, 0, 1 << 30
    )
    path.write_bytes(content)


def numbers(folder: Path) -> dict[str, int]:
    """Which frame of the video each file is, by its grey."""
    return {
        path.name: round((cv2.imread(str(path))[-8:, -8:].mean() - 20) / 20) for path in sorted(folder.iterdir())
    }


@pytest.mark.parametrize(
    'options, expected',
    [
        (dict(), range(10)),
        (dict(stride=3), (0, 3, 6, 9)),
        (dict(frame_range=(4, 7)), (4, 5, 6)),
        (dict(stride=4, frame_range=(3, None)), (4, 8)),
    ],
)
def test_names_are_numbers_of_the_video(tmp_path, options, expected):
    counts = extract_frames(write_video(tmp_path / 'clip é.mp4', 10), tmp_path / 'out', **options)
    assert counts == {'clip é': len(expected)}
    assert numbers(tmp_path / 'out/clip é') == {f'{n:05d}.jpg': n for n in expected}
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['clip é']


def test_rotation_by_metadata_is_applied(tmp_path):
    video = write_video(tmp_path / 'a.mp4', 2)
    turn(video)
    extract_frames(video, tmp_path / 'out', suffix='.png')
    frame = cv2.imread(str(tmp_path / 'out/a/00000.png'))
    assert frame.shape == (SIZE[1], SIZE[0], 3)
    assert frame[4:12, -12:-4].mean() > 240 and frame[4:12, 4:12].mean() < 60  # the block is at the upper right


def test_pictures_are_written_upright_and_in_natural_order(tmp_path):
    folder = tmp_path / 'shots'
    folder.mkdir()
    for name, grey in (('10', 60), ('9', 40)):
        Image.new('RGB', SIZE[::-1], (grey,) * 3).save(folder / f'{name}.png')
    exif = Image.Exif()
    exif[0x0112] = 6
    for path in list(folder.iterdir()):
        Image.open(path).save(path.with_suffix('.jpg'), exif=exif)
        path.unlink()
    extract_frames(folder, tmp_path / 'out')
    assert numbers(tmp_path / 'out/shots') == {'00000.jpg': 1, '00001.jpg': 2}
    assert Image.open(tmp_path / 'out/shots/00000.jpg').size == SIZE  # turned: height before width


def test_a_folder_of_videos_and_what_is_wrong(tmp_path):
    for name in ('b', 'a'):
        write_video(tmp_path / f'in/{name}.mp4', 2)
    (tmp_path / 'in/notes.txt').write_text('x')
    assert extract_frames(tmp_path / 'in', tmp_path / 'out') == dict(a=2, b=2)
    with pytest.raises(FileExistsError, match='a exists: pass --overwrite'):
        extract_frames(tmp_path / 'in', tmp_path / 'out')
    with pytest.raises(VideoError, match='no frame in the range'):
        extract_frames(tmp_path / 'in', tmp_path / 'out', frame_range=(5, 9), overwrite=True)
    assert numbers(tmp_path / 'out/a') == {'00000.jpg': 0, '00001.jpg': 1}  # as it was
    with pytest.raises(VideoError, match='0 <= start < stop'):
        extract_frames(tmp_path / 'in', tmp_path / 'out', frame_range=(5, 5))
    (tmp_path / 'in/c.mp4').write_bytes(b'no video')
    with pytest.raises(VideoError, match='c.mp4'):
        extract_frames(tmp_path / 'in', tmp_path / 'other')
    assert not (tmp_path / 'other').exists()


def test_tool(tmp_path, capsys, monkeypatch):
    def run(*arguments: object) -> None:
        monkeypatch.setattr(sys, 'argv', ['extract_frames.py', *map(str, arguments)])
        runpy.run_path(str(ROOT / 'tools/extract_frames.py'), run_name='__main__')

    run(write_video(tmp_path / 'a.mp4', 4), tmp_path / 'out', '--stride', 2, '--png')
    assert f'{tmp_path}/out/a: 2 frames' in capsys.readouterr().out
    with pytest.raises(SystemExit, match='1'):
        run(tmp_path / 'b.mp4', tmp_path / 'out')
    assert re.search('extract_frames.py: error: .*no such video file', capsys.readouterr().err)
