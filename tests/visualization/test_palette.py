"""Colours of tracks: measured by another library's CIEDE2000."""

from __future__ import annotations

import numpy as np
import pytest

from maskprop.visualization.palette import PALETTE, track_color

color = pytest.importorskip('skimage.color', reason='scikit-image measures the colours')


def _differences(bgr: np.ndarray) -> np.ndarray:
    """(n, n) CIEDE2000 differences of (n, 3) BGR colours; the diagonal is infinite."""
    lab = color.rgb2lab(np.asarray(bgr)[None, :, ::-1] / 255)[0]
    differences = color.deltaE_ciede2000(lab[:, None], lab[None])
    np.fill_diagonal(differences, np.inf)
    return differences


@pytest.mark.parametrize('count, least', [(10, 26), (20, 17.5), (30, 14.5), (64, 9.9)])
def test_any_two_of_the_first_ids_are_told_apart(count, least):
    assert _differences([track_color(i) for i in range(1, count + 1)]).min() > least


def test_colours_are_fixed_and_repeat():
    assert [track_color(i) for i in range(3)] == [(0, 128, 255), (255, 64, 42), (85, 255, 0)]
    assert track_color(len(PALETTE) + 5) == track_color(5)


def test_the_table_is_made_as_it_says():
    levels = np.linspace(0, 1, 13)
    rgb = np.stack(np.meshgrid(levels, levels, levels, indexing='ij'), axis=-1).reshape(-1, 3)
    lab = color.rgb2lab(rgb[None])[0]
    vivid = (lab[:, 0] >= 40) & (lab[:, 0] <= 94) & (np.hypot(lab[:, 1], lab[:, 2]) >= 35)
    rgb, lab = rgb[vivid], lab[vivid]
    chosen = [int(np.linalg.norm(rgb - (1, 0.5, 0), axis=1).argmin())]  # begins with orange
    distance = np.full(len(rgb), np.inf)
    while len(chosen) < len(PALETTE):
        distance = np.minimum(distance, color.deltaE_ciede2000(lab, lab[None, chosen[-1]]))
        chosen.append(int(distance.argmax()))
    assert [tuple(c) for c in np.rint(rgb[chosen][:, ::-1] * 255).astype(int)] == list(PALETTE)
