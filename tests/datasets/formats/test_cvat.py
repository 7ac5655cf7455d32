"""CVAT for video 1.1: shapes, and how they move between keyframes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from maskprop.datasets.formats.cvat_interpolation import interpolate_polygon

from .sources import assert_tracks, block, import_annotations, run_import, write_frames

META = """<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta><task><id>7</id>
<name>{name}</name><size>{size}</size><mode>interpolation</mode><start_frame>{start}</start_frame>
<stop_frame>{stop}</stop_frame><frame_filter>{filter}</frame_filter><labels>
<label><name>person</name><attributes></attributes></label><label><name>собака</name><attributes></attributes></label>
</labels><original_size><width>30</width><height>20</height></original_size></task></meta>
{tracks}</annotations>"""


def write(path: Path, tracks: str, size: int, name: str = 'a.mp4', start: int = 0, step: int = 1) -> Path:
    stop = start + (size - 1) * step
    frame_filter = f'step={step}' if step > 1 else ''
    path.parent.mkdir(parents=True, exist_ok=True)
    text = META.format(name=name, size=size, start=start, stop=stop, filter=frame_filter, tracks=tracks)
    path.write_text(text, encoding='utf-8')
    return path


def polygon(frame: int, left: float, outside: int = 0, keyframe: int = 1) -> str:
    """A square of 6 pixels' side at ``left``."""
    points = ';'.join(f'{left + x:.2f},{y:.2f}' for x, y in ((0, 4), (6, 4), (6, 10), (0, 10)))
    state = f'frame="{frame}" keyframe="{keyframe}" outside="{outside}" occluded="0"'
    return f'<polygon {state} points="{points}" z_order="0"></polygon>'


def mask(frame: int, outside: int = 0) -> str:
    """Rows 3 to 4 of columns 5 to 7, without the first pixel: runs go along the rows of the box."""
    box = 'left="5" top="3" width="3" height="2"'
    state = f'frame="{frame}" keyframe="1" outside="{outside}" occluded="0"'
    return f'<mask {state} rle="1, 5" {box} z_order="0"></mask>'


def square(left: int) -> np.ndarray:
    return block(4, 10, left, left + 6)


MASK = block(3, 5, 5, 8)
MASK[3, 5] = False


def frames(tmp_path: Path, count: int, name: str = 'a') -> Path:
    return write_frames(tmp_path / 'images', {name: [f'{n:05d}.jpg' for n in range(count)]})


def test_polygons_move_between_keyframes_stay_after_the_last_and_end_outside(tmp_path):
    tracks = (
        f'<track id="0" label="person">{polygon(1, 2)}{polygon(4, 8)}'
        f'{polygon(6, 12, outside=1)}{polygon(7, 20)}</track>'
        f'<track id="1" label="собака" group_id="0">{polygon(0, 24)}</track>'
    )
    source = write(tmp_path / 'annotations.xml', tracks, 9)
    content = import_annotations(source, tmp_path / 'all.json', '--images', frames(tmp_path, 9))
    lefts = [None, 2, 4, 6, 8, 10, None, 20, 20]
    person = [None if left is None else square(left) for left in lefts]
    assert_tracks(content, dict(a=[('person', person), ('собака', [square(24)] * 9)]))
    assert [category['name'] for category in content['categories']] == ['person', 'собака']


def test_shapes_that_are_listed_are_taken_as_they_are(tmp_path):
    """CVAT's own export lists every frame; what is not a keyframe may have been changed by hand."""
    track = f'<track id="0" label="person">{polygon(0, 2)}{polygon(1, 20, keyframe=0)}{polygon(2, 6)}</track>'
    source = write(tmp_path / 'x.xml', track, 3)
    content = import_annotations(source, tmp_path / 'all.json', '--images', frames(tmp_path, 3))
    assert_tracks(content, dict(a=[('person', [square(2), square(20), square(6)])]))


def test_masks_groups_and_frames_of_every_second(tmp_path):
    """Two tracks of a group are pieces of one object; frames are those of the video, 10, 12 and 14."""
    last = '<track id="2" label="person" group_id="5">' + polygon(10, 20) + polygon(12, 20, outside=1) + '</track>'
    tracks = (
        f'<track id="0" label="собака">{mask(10)}{mask(12)}{mask(14, outside=1)}</track>'
        f'<track id="1" label="person" group_id="5">{polygon(10, 2)}{polygon(14, 2)}</track>{last}'
    )
    source = write(tmp_path / 'x.xml', tracks, 3, start=10, step=2)
    source = shutil.make_archive(str(tmp_path / 'zipped'), 'zip', tmp_path, 'x.xml')
    images = write_frames(tmp_path / 'images', {'a': ['1.jpg', '2.jpg', '10.jpg']})
    content = import_annotations(Path(source), tmp_path / 'all.json', '--images', images)
    joined = square(2) | square(20)
    expected = [('собака', [MASK, MASK, None]), ('person', [joined, square(2), square(2)])]
    assert_tracks(content, dict(a=expected))


@pytest.mark.parametrize(
    'shapes, bare',
    [
        (mask(0) + mask(4), 3),  # masks are not moved: nobody says what frames 1 to 3 show
        (
            mask(0) + mask(4) + '</track><track id="1" label="person">' + polygon(0, 20),
            3,
        ),  # nor does another track
        (mask(1) + mask(2, outside=1), 4),  # a shape without a track, as CVAT writes it
        (polygon(1, 2) + polygon(2, 2, outside=1), 4),
        (polygon(2, 2), 2),  # stays to the end
    ],
)
def test_frames_that_no_track_speaks_of(tmp_path, capsys, shapes, bare):
    source = write(tmp_path / 'x.xml', f'<track id="0" label="person">{shapes}</track>', 5)
    args = (source, tmp_path / 'all.json', '--images', frames(tmp_path, 5))
    with pytest.raises(SystemExit):
        run_import(*args)
    assert f'a.mp4: {bare} of 5 frames have no annotation' in capsys.readouterr().err
    assert import_annotations(*args, '--unannotated', 'skip')['videos'][0]['length'] == 5 - bare


@pytest.mark.parametrize(
    'tracks, expected',
    [
        ('<track id="0" label="person"><box frame="0" outside="0" xtl="1" ytl="1" xbr="5" ybr="5"></box></track>',
         'a.mp4: track 0 (person): a box, which says nothing of the pixels; draw masks or polygons'),
        ('<track id="0" label="x"><mask frame="0" rle="1, 9" left="5" top="3" width="3" height="2"/></track>',
         'frame 0: a mask of 10 pixels in a box of 3x2'),
        ('<track id="0" label="x"><mask frame="0" rle="0, 6" left="28" top="3" width="3" height="2"/></track>',
         'in frames of 30x20'),
        ('<track id="0" label="x"><polygon frame="0" points="1,2;3"/></track>', 'a polygon that cannot be read'),
        ('<track id="0" label="x"><polygon frame="2" points="1,2;3,4;5,2"/></track>',
         'track 0 (x): a shape in frame 2, but the task has frames 0 to 1'),
        ('<track id="0" label="person">', 'not valid XML'),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path, capsys, tracks, expected):
    source = write(tmp_path / 'x.xml', tracks, 2)
    with pytest.raises(SystemExit):
        run_import(source, tmp_path / 'all.json', '--images', frames(tmp_path, 2))
    assert expected in capsys.readouterr().err


def test_frames_of_another_size_or_number(tmp_path, capsys):
    source = write(tmp_path / 'x.xml', f'<track id="0" label="person">{polygon(4, 2)}</track>', 5)
    images = write_frames(tmp_path / 'images', {'a': ['x.jpg', 'y.jpg']})
    with pytest.raises(SystemExit):
        run_import(source, tmp_path / 'all.json', '--images', images)
    assert '2 pictures, whose names have no numbers of their own, for 5 frames' in capsys.readouterr().err
    images = write_frames(tmp_path / 'large', {'a': ['0.jpg']}, (40, 60))
    with pytest.raises(SystemExit):
        run_import(source, tmp_path / 'all.json', '--images', images)
    assert 'a.mp4: 30x20, but the frames are 60x40' in capsys.readouterr().err


def test_corners_that_become_fewer_and_more():
    """Numbers of CVAT's own interpolation of these shapes."""
    square = np.array([[0, 0], [10, 0], [10, 10], [0, 10]], float)
    triangle = np.array([[2, 2], [12, 2], [2, 12]], float)
    octagon = np.array([[3, 0], [7, 0], [10, 3], [10, 7], [7, 10], [3, 10], [0, 7], [0, 3]], float)
    more = [[1.5, 0], [3.5, 0], [10, 1.5], [10, 3.5], [8.5, 10], [6.5, 10], [0, 8.5], [0, 6.5]]
    for left, right, share, expected in (
        (square, square + 4, 0.25, square + 1),
        (square, triangle, 0.5, [[1, 1], [11, 1], [11, 6], [1, 11]]),
        (triangle, square, 0.25, [[1.5, 1.5], [11.5, 1.5], [11.5, 4], [1.5, 11.5]]),
        (square, octagon, 0.5, more),
    ):
        assert np.allclose(interpolate_polygon(left, right, share), expected)


def test_the_middle_of_random_polygons_lies_in_their_hull():
    rng = np.random.default_rng(0)
    for _ in range(50):
        left, right = (rng.uniform(2, 18, (rng.integers(3, 12), 2)) for _ in range(2))
        moved = interpolate_polygon(left, right, 0.5)
        both = np.concatenate([left, right])
        assert len(moved) >= 1 and (moved >= both.min(0) - 1e-9).all() and (moved <= both.max(0) + 1e-9).all()
        assert np.allclose(interpolate_polygon(left, left, 0.3), left)
