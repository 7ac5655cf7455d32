"""Methods side by side: one colour per object, and the strips of tools/compare_videos.py."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils

from maskprop.engine import cli
from maskprop.visualization.files import write_image
from maskprop.visualization.matched_colours import match_colours, track_ious
from maskprop.visualization.strip import draw_strip
from maskprop.visualization.tracks import Track

SIZE = (40, 60)
TOOL = vars(import_module('maskprop.commands.compare_videos'))


def rle(mask: np.ndarray) -> dict:
    encoded = mask_utils.encode(np.asfortranarray(mask, dtype=np.uint8))
    return dict(size=list(mask.shape), counts=encoded['counts'].decode())


def box(x: int, y: int = 10) -> dict:
    mask = np.zeros(SIZE, np.uint8)
    mask[y : y + 10, x : x + 10] = 1
    return rle(mask)


def track(number: int, xs: list[int | None], y: int = 10) -> Track:
    return Track(number, 'cat', [None if x is None else box(x, y) for x in xs])


def test_ious_are_those_of_dense_masks():
    rng = np.random.default_rng(0)
    dense = rng.random((2, 5, *SIZE)) < 0.4
    dense[0, 1] = dense[1, 3] = False
    tracks = [Track(1, '', [rle(m) if m.any() else None for m in masks]) for masks in dense]
    both = [0, 2, 4]
    whole, common = (
        (dense[0, t] & dense[1, t]).sum() / (dense[0, t] | dense[1, t]).sum() for t in (slice(None), both)
    )
    assert track_ious(*tracks, SIZE) == pytest.approx((whole, common), abs=1e-12)
    assert track_ious(track(1, [1, None]), track(2, [None, 1]), SIZE) == (0, 0)
    polygon = Track(1, '', [[[5, 10, 15, 10, 15, 20, 5, 20]]])
    assert track_ious(polygon, track(1, [5]), SIZE) == (1, 1)


def numbers(rows: dict) -> dict[str, list[tuple[int, list]]]:
    return {
        title: [(t.id, t.segmentations) for t in tracks] for title, tracks in match_colours(rows, SIZE).items()
    }


def test_one_object_has_one_number_in_every_row():
    late, left, right = track(70, [None, 25]), track(9, [2, 4]), track(3, [45, 43])
    found = numbers(
        {'A': [late, right, left], 'B': [track(1, [44, 44]), track(2, [3, 3]), track(3, [20, 5], y=29)]}
    )
    assert found['A'] == [(1, right.segmentations), (2, left.segmentations), (3, late.segmentations)]
    assert [n for n, _ in found['B']] == [1, 2, 4]  # the last one is no object of A
    assert found['B'][0][1] == track(1, [44, 44]).segmentations


def test_of_fragments_the_longer_one_has_the_colour():
    whole = track(1, [10] * 6)
    parts = [track(1, [10] + [None] * 5), track(2, [None] + [10] * 5)]
    found = numbers({'A': [whole], 'B': parts, 'C': [parts[0]]})
    assert {n: s for n, s in found['B']} == {1: parts[1].segmentations, 2: parts[0].segmentations}
    assert [n for n, _ in found['C']] == [2]  # like B's fragment, which it equals, not like the whole object
    assert [n for n, _ in numbers({'A': [whole], 'B': parts[:1]})['B']] == [1]  # short, but the same object
    assert [n for n, _ in numbers({'A': [whole], 'B': [track(1, [16] * 6)]})['B']] == [2]  # IoU .25
    assert numbers({'A': [], 'B': []}) == {'A': [], 'B': []}


def test_the_pairs_of_largest_sum_are_taken():
    """Greedily, 1 - a (IoU .82) would leave b without a partner."""
    first, second = track(1, [10] * 2), track(2, [14] * 2)
    a, b = track(1, [11] * 2), track(2, [7] * 2)
    found = match_colours({'A': [first, second], 'B': [a, b]}, SIZE)
    assert {t.id: t.segmentations for t in found['B']} == {2: a.segmentations, 1: b.segmentations}


@pytest.fixture
def files(tmp_path) -> list[str]:
    """Two videos of 4 frames; A and B have the same object, numbered otherwise."""
    videos = []
    for number in (3, 5):
        names = [f'v{number}/{t}.png' for t in range(4)]
        for t, name in enumerate(names):
            write_image(tmp_path / 'images' / name, np.full((*SIZE, 3), 30 * t + number, np.uint8))
        videos.append(dict(id=number, height=40, width=60, length=4, file_names=names))
    annotation = dict(id=1, video_id=5, category_id=1, iscrowd=0, segmentations=track(1, [40] * 4).segmentations)
    truth = dict(videos=videos, annotations=[annotation], categories=[dict(id=1, name='cat')])
    (tmp_path / 'ann.json').write_text(json.dumps(truth))
    for name, rows in {'A': [(4, 10), (9, 40)], 'B': [(1, 40), (2, 10)]}.items():
        records = [
            dict(video_id=5, category_id=1, score=0.9, track_id=n, segmentations=track(n, [x] * 4).segmentations)
            for n, x in rows
        ]
        (tmp_path / f'{name}.json').write_text(json.dumps(records))
    return [str(tmp_path / 'ann.json'), str(tmp_path / 'images')]


def run(files: list[str], *more: str) -> None:
    folder = Path(files[0]).parent
    args = [*files, '--results', str(folder / 'A.json'), str(folder / 'B.json'), '--out', str(folder / 'out')]
    cli.run(TOOL['draw'], TOOL['parse_args']([*args, *more]))


def tracks(*pairs: tuple[int, int]) -> list[Track]:
    return [Track(n, 'cat', track(n, [x] * 4).segmentations, 0.9) for n, x in pairs]


def test_the_tool_draws_the_same_object_in_the_same_colour(files):
    folder = Path(files[0]).parent
    paths = [folder / f'images/v5/{t}.png' for t in range(4)]
    run(files, '--names', 'first', 'second', '--videos', '5', '--columns', '3')
    assert [p.name for p in (folder / 'out').iterdir()] == ['video_5.png']
    rows = {'first': tracks((1, 10), (2, 40)), 'second': tracks((1, 10), (2, 40))}
    drawn = cv2.imread(str(folder / 'out/video_5.png'))
    np.testing.assert_array_equal(drawn, draw_strip(paths, rows, num_columns=3))
    # the ground truth's colours come first
    run(files, '--videos', '5', '--ground-truth', '--no-labels', '--cell-width', '90')
    truth = [Track(1, 'cat', track(1, [40] * 4).segmentations)]
    rows = {'ground truth': truth, 'A': tracks((1, 40), (2, 10)), 'B': tracks((1, 40), (2, 10))}
    drawn = cv2.imread(str(folder / 'out/video_5.png'))
    np.testing.assert_array_equal(drawn, draw_strip(paths, rows, cell_width=90, show_labels=False))


def test_the_tool_draws_all_videos_and_strided_results(files):
    folder = Path(files[0]).parent
    for name in 'AB':
        records = json.loads((folder / f'{name}.json').read_text())
        for record in records:
            record['segmentations'] = record['segmentations'][::2]
        (folder / f'{name}.json').write_text(json.dumps(records))
    run(files, '--frame-stride', '2', '--min-score', '0.95')
    assert sorted(p.name for p in (folder / 'out').iterdir()) == ['video_3.png', 'video_5.png']
    paths = [folder / f'images/v5/{t}.png' for t in (0, 2)]
    drawn = cv2.imread(str(folder / 'out/video_5.png'))
    np.testing.assert_array_equal(drawn, draw_strip(paths, {'A': [], 'B': []}))


def edit(files: list[str], name: str, **change) -> None:
    path = Path(files[0]).parent / name
    content = json.loads(path.read_text())
    (content[1] if isinstance(content, list) else content).update(change)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    'change, args, message',
    [
        (None, ['--videos', '4'], 'ann.json: no video with id 4; it has [3, 5]'),
        (None, ['--names', 'A'], '--names A: expected 2 different names'),
        (None, ['--names', 'A', 'A'], '--names A A: expected 2 different names'),
        (None, ['--names', 'A', 'ground truth', '--ground-truth'], '"ground truth" is the name of the row'),
        (None, ['--cell-width', '1'], '--cell-width: 1: expected a whole number of 32 or more'),
        (None, ['--columns', '0'], '--columns: 0: expected a whole number of 1 or more'),
        (None, ['--frame-range', '0.5', '0.5'], '0.5 0.5: expected the first below the second'),
        (
            None,
            ['--frame-stride', '2'],
            'A.json: results[0] (video 5): "segmentations": 4 entries, but video 5 has 2',
        ),
        (('B.json', dict(video_id=8)), [], 'B.json: results[1] (video 8): "video_id": '),
        (('B.json', dict(category_id=8)), [], 'results of categories that'),
        (None, ['--columns', '900', '--cell-width', '900'], 'would be 810000 pixels wide; expected 32768'),
        (('B.json', dict(score=None)), [], 'B.json: results[1] (video 5): "score": is null'),
        (
            ('B.json', dict(segmentations=[None, dict(size=[4, 4], counts='0')] * 2)),
            [],
            'results[1] (video 5) frame 1',
        ),
        (('ann.json', dict(annotations=None)), ['--ground-truth'], '"annotations": there are none'),
    ],
)
def test_the_tool_complains_before_it_draws(files, capsys, change, args, message):
    if change is not None:
        edit(files, change[0], **change[1])
    with pytest.raises(SystemExit):
        run(files, *args)
    assert message in capsys.readouterr().err
    assert not (Path(files[0]).parent / 'out').exists()


def test_a_file_in_the_place_of_the_folder_is_told(files, capsys):
    out = Path(files[0]).parent / 'out'
    out.write_text('a file')
    with pytest.raises(SystemExit):
        run(files)
    assert f'--out {out}: is a file' in capsys.readouterr().err


def test_missing_images_are_named(files, capsys):
    with pytest.raises(SystemExit):
        run([files[0], str(Path(files[1]).parent)])
    assert 'v3/0.png: no such image. Give the folder' in capsys.readouterr().err.replace('"', '')
