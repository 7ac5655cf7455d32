"""Overlays: palette, masks in all their forms, and what a drawing may touch."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from maskprop.visualization.overlay import default_font_size, display_scale, draw_instances, enlarge, label_text
from maskprop.visualization.palette import PALETTE, track_color
from maskprop.visualization.text import contrasting, text_alpha


def _frame(height: int = 96, width: int = 160) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def _disc(height: int, width: int, y: int, x: int, radius: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def test_text_contrasts_with_every_colour():
    for color in PALETTE:
        luminance = np.dot(color, [0.114, 0.587, 0.299])
        assert abs(np.dot(contrasting(color), [0.114, 0.587, 0.299]) - luminance) >= 100


def test_all_forms_of_a_mask_are_equal():
    frame, mask = np.zeros((20, 30, 3), np.uint8), np.zeros((20, 30), np.uint8)
    mask[5:15, 10:20] = 1
    rle = mask_utils.encode(np.asfortranarray(mask))
    uncompressed = dict(size=[20, 30], counts=[205, *[10, 10] * 9, 10, 600 - 205 - 190])
    polygon = [[10, 5, 20, 5, 20, 15, 10, 15]]
    text = dict(size=rle['size'], counts=rle['counts'].decode())
    for form in (mask, mask.astype(bool), rle, text, uncompressed, polygon):
        drawn = draw_instances(frame, [form], [0], alpha=1.0, upscale=1)
        np.testing.assert_array_equal((drawn == track_color(0)).all(-1), mask.astype(bool))


@pytest.mark.parametrize('size, upscale', [((270, 480), None), ((96, 160), None), ((97, 161), 1)])
def test_only_masks_change_without_text(size, upscale):
    frame = _frame(*size)
    masks = [_disc(*size, 40, 40, 20), _disc(*size, 60, 100, 25), np.zeros(size, bool)]
    drawn = draw_instances(frame, masks, [1, 2, 3], upscale=upscale)
    scale = display_scale(*size) if upscale is None else upscale
    assert drawn.shape == (size[0] * scale, size[1] * scale, 3)
    changed = (drawn != enlarge(frame, scale)).any(-1)
    inside = np.kron(masks[0] | masks[1], np.ones((scale, scale), bool))
    # Enlarged masks are smooth: they may differ by half a frame pixel from blocks.
    margin = np.kron(_grow(masks[0] | masks[1]), np.ones((scale, scale), bool)) if scale > 1 else inside
    assert not changed[~margin].any()
    assert changed[inside].mean() > 0.95


def _grow(mask: np.ndarray) -> np.ndarray:
    padded = np.pad(mask, 1)
    height, width = mask.shape
    return np.any([padded[y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0)


def test_text_changes_only_its_box_in_the_track_colour():
    frame = _frame(270, 480)
    mask = _disc(270, 480, 150, 200, 40)
    without = draw_instances(frame, [mask], [4], upscale=2)
    drawn = draw_instances(frame, [mask], [4], ['person'], [0.876], upscale=2)
    changed = (drawn != without).any(-1)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    box = drawn[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    text = text_alpha('#4 person .88', default_font_size(540, 960))
    assert 0 < box.shape[0] - text.shape[0] <= 10 and 0 < box.shape[1] - text.shape[1] <= 20
    background = (box == track_color(4)).all(-1)
    assert background.mean() > 0.5  # readable: a plain box behind the letters
    assert (box == contrasting(track_color(4))).all(-1).sum() > 50  # and letters in full black or white


def test_fill_is_the_blend_and_ids_decide_the_colour():
    frame = _frame()
    mask = _disc(96, 160, 48, 80, 30)
    drawn = draw_instances(frame, [mask], [7], alpha=0.25, upscale=1)
    expected = np.rint(frame[48, 80] * np.float32(0.75) + np.array(track_color(7)) * np.float32(0.25))
    np.testing.assert_array_equal(drawn[48, 80], expected)
    assert tuple(drawn[48, 50]) == track_color(7)  # the contour, just inside the mask
    pair = draw_instances(frame, [mask, mask], [9, 7], upscale=1)
    swapped = draw_instances(frame, [mask, mask], [7, 9], upscale=1)
    assert (pair != swapped).any()


def test_labels_do_not_overlap_and_stay_inside():
    frame = np.zeros((96, 160, 3), np.uint8)
    masks = [_disc(96, 160, 10, 150, 9)] * 4
    drawn = draw_instances(frame, masks, [0, 1, 2, 3], ['a long class name'] * 4, [0.5] * 4)
    for track_id in range(4):  # each label's background shows whole lines of its colour
        assert (drawn == track_color(track_id)).all(-1).sum() > 800


def test_largest_first_so_small_ones_show():
    frame = np.zeros((96, 160, 3), np.uint8)
    large, small = _disc(96, 160, 48, 80, 40), _disc(96, 160, 48, 80, 5)
    for order in ([0, 1], [1, 0]):
        masks = [(large, small)[i] for i in order]
        drawn = draw_instances(frame, masks, order, alpha=1.0, upscale=1)
        assert tuple(drawn[48, 80]) == track_color(1)


def test_the_frame_is_left_alone():
    frame = _frame(400, 500)
    before = frame.copy()
    draw_instances(frame, [np.ones((400, 500), bool)], [0], ['x'])
    np.testing.assert_array_equal(frame, before)


def test_no_instances_give_the_frame():
    frame = _frame(400, 500)
    np.testing.assert_array_equal(draw_instances(frame, [], []), frame)
    np.testing.assert_array_equal(draw_instances(frame, [None], [3], ['x'], [0.5]), frame)


@pytest.mark.parametrize('size, scale', [((96, 160), 4), ((270, 480), 2), ((360, 640), 1), ((720, 1280), 1)])
def test_display_scale(size, scale):
    assert display_scale(*size) == scale


def test_bad_inputs():
    frame, mask = _frame(), np.ones((96, 160), bool)
    with pytest.raises(TypeError, match='uint8'):
        draw_instances(frame.astype(np.float32), [mask], [0])
    with pytest.raises(ValueError, match=r'\(96, 160\)'):
        draw_instances(frame[..., 0], [mask], [0])
    with pytest.raises(ValueError, match='scores.* 2 for 1'):
        draw_instances(frame, [mask], [0], scores=[0.5, 0.5])
    with pytest.raises(ValueError, match=r'\(48, 80\) .* \(96, 160\)'):
        draw_instances(frame, [mask[::2, ::2]], [0])


@pytest.mark.parametrize(
    'parts, text',
    [
        ((3, 'person', 0.924), '#3 person .92'),
        ((3, 'person', 0.999), '#3 person 1.00'),
        ((3, 'person', None), '#3 person'),
        ((None, 'person', 0.004), 'person .00'),
        ((12, None, 0.5), '#12 .50'),
    ],
    ids=str,
)
def test_label_text(parts, text):
    assert label_text(*parts) == text


def test_the_label_has_the_id_unless_told_otherwise(monkeypatch):
    written = []
    monkeypatch.setattr('maskprop.visualization.overlay.paste_text', lambda image, text, *_: written.append(text))
    frame, mask = _frame(270, 480), _disc(270, 480, 150, 200, 40)
    draw_instances(frame, [mask, mask], [4, 17], ['person', 'dog'], [0.5, None])
    draw_instances(frame, [mask], [4], ['person'], [0.5], show_ids=False)
    draw_instances(frame, [mask], [4])
    assert written == ['#4 person .50', '#17 dog', 'person .50']


def test_a_long_name_is_cut_and_id_and_score_stay(monkeypatch):
    written = []
    monkeypatch.setattr('maskprop.visualization.overlay.paste_text', lambda image, text, *_: written.append(text))
    draw_instances(_frame(270, 480), [_disc(270, 480, 150, 200, 40)], [4], ['giant armadillo ' * 20], [0.5])
    (text,) = written
    assert text.startswith('#4 giant arm') and text.endswith('… .50')
    assert text_alpha(text, default_font_size(270, 480)).shape[1] < 0.6 * 480


def test_a_picture_has_the_size_of_the_frame_or_a_multiple():
    frame, mask = _frame(), _disc(96, 160, 48, 80, 30)
    assert draw_instances(frame, [mask], [1], ['x']).shape == (96, 160, 3)
    assert draw_instances(frame, [mask], [1], ['x'], upscale=3).shape == (288, 480, 3)
    assert draw_instances(frame, [mask], [1], ['x'], upscale=None).shape == (384, 640, 3)
