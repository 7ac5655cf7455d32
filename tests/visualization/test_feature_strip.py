"""Activations drawn over the frames of a clip."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils

from maskprop.visualization.feature_strip import BORDER, clip_columns, draw_activation, draw_feature_strip
from maskprop.visualization.files import write_image
from maskprop.visualization.palette import track_color
from maskprop.visualization.strip import GAP, layout_margins


def colour(value: int) -> np.ndarray:
    return cv2.applyColorMap(np.array([[value]], np.uint8), cv2.COLORMAP_INFERNO)[0, 0]


@pytest.mark.parametrize(
    'length, centre, count, expected',
    [
        (13, 6, 7, [0, 2, 4, 6, 8, 10, 12]),
        (13, 5, 3, [0, 5, 12]),
        (9, 1, 3, [1, 4, 8]),
        (4, 3, 9, [0, 1, 2, 3]),
        (13, 12, 1, [12]),
    ],
)
def test_columns_have_the_centre(length, centre, count, expected):
    assert clip_columns(length, centre, count) == expected


def test_a_cell_is_drawn_where_it_lies_in_the_frame():
    """Cells of 4 pixels over 32 x 48 pixels, of which the video has 30 x 40; the picture is twice the video."""
    activation = np.zeros((8, 12), np.float32)
    activation[2, 7], activation[5, 11] = 3.0, 3.0  # the second one lies in the padding
    picture = draw_activation(activation, 6.0, (32, 48), (30, 40), (60, 80))
    assert picture.shape == (60, 80, 3)
    bright = picture.astype(int).sum(-1)
    rows, columns = np.nonzero(bright > bright.min() + 0.8 * (bright.max() - bright.min()))
    assert abs(rows.mean() + 0.5 - 2 * 10) < 0.6 and abs(columns.mean() + 0.5 - 2 * 30) < 0.6
    assert (picture[0, 0] == colour(0)).all() and bright.max() <= colour(128).astype(int).sum()  # half the peak
    assert (picture[45, 79] == colour(0)).all()
    assert (draw_activation(activation * 0, 0.0, (32, 48), (30, 40), (60, 80)) == colour(0)).all()


def test_strip(tmp_path):
    paths = [tmp_path / f'{t}.png' for t in range(3)]
    for path in paths:
        write_image(path, np.full((40, 60, 3), 90, np.uint8))
    masks = []
    for x in (5, 30):
        mask = np.zeros((40, 60), np.uint8, order='F')
        mask[10:30, x : x + 20] = 1
        masks.append(mask_utils.encode(mask))
        masks[-1]['counts'] = masks[-1]['counts'].decode()
    maps = np.zeros((3, 2, 10, 15), np.float32)
    maps[0, 0], maps[2, 0], maps[1, 1] = 1.0, 0.5, 8.0  # each row has its own peak
    strip = draw_feature_strip(paths, maps, masks, ['cat', 'dog'], 1, (40, 60), first=4, cell_width=120)
    top, left = layout_margins(['frames', '1 cat', '2 dog'])

    def cell(row: int, column: int) -> np.ndarray:
        y, x = top + GAP + row * (80 + GAP), left + GAP + column * (120 + GAP)
        return strip[y : y + 80, x : x + 120]

    assert strip.shape == (top + 3 * (80 + GAP) + GAP, left + 3 * (120 + GAP) + GAP, 3)
    assert (cell(0, 0) == 90).all() and (cell(0, 2) == 90).all()
    assert (cell(0, 1)[22:58, 12:48] != 90).all(-1).mean() > 0.95  # the first instance, in frame t only
    inside = slice(BORDER, -BORDER)
    for (row, column), value in {(1, 0): 255, (1, 1): 0, (1, 2): 127, (2, 0): 0, (2, 1): 255}.items():
        assert (cell(row, column)[inside, inside] == colour(value)).all()
        assert (cell(row, column)[0] == track_color(row)).all() and (
            cell(row, column)[:, -1] == track_color(row)
        ).all()
