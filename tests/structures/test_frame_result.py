"""One frame's instances as supervision's Detections; the tests need that library."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from maskprop.structures import FrameResult


def _result(masks: np.ndarray) -> FrameResult:
    result = FrameResult(4)
    for i, mask in enumerate(masks):
        rle = mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))
        rle['counts'] = rle['counts'].decode()
        result.add(7 - 3 * i, 2 * i, 0.9 - 0.25 * i, rle, filled=i == 1)
    result.class_names = ['person', '狗', 'cat'][: len(masks)]
    return result


def test_detections_have_ids_classes_scores_and_masks():
    sv = pytest.importorskip('supervision', reason='supervision is not installed')
    masks = np.random.default_rng(0).random((3, 20, 30)) > 0.5
    masks[0] = False
    masks[0, 3:9, 5:30] = True
    masks[2] = False
    found = _result(masks).to_supervision()
    assert isinstance(found, sv.Detections) and len(found) == 3
    np.testing.assert_array_equal(found.mask, masks)
    np.testing.assert_array_equal(
        found.xyxy[:2], sv.mask_to_xyxy(masks)[:2] + [0, 0, 1, 1]
    )  # supervision's: inclusive
    assert found.xyxy.tolist()[::2] == [[5, 3, 30, 9], [0, 0, 0, 0]]
    assert found.tracker_id.tolist() == [7, 4, 1] and found.class_id.tolist() == [0, 2, 4]
    np.testing.assert_allclose(found.confidence, [0.9, 0.65, 0.4])
    assert found.data['class_name'].tolist() == ['person', '狗', 'cat']
    assert found.data['filled'].tolist() == [False, True, False]
    assert found[found.data['class_name'] == '狗'].tracker_id.tolist() == [4]  # supervision filters it


def test_supervision_draws_them():
    sv = pytest.importorskip('supervision', reason='supervision is not installed')
    masks = np.zeros((1, 40, 60), bool)
    masks[0, 10:30, 20:40] = True
    picture = sv.MaskAnnotator(opacity=1.0).annotate(
        np.zeros((40, 60, 3), np.uint8), _result(masks).to_supervision()
    )
    np.testing.assert_array_equal(picture.any(-1), masks[0])


def test_a_frame_without_instances():
    sv = pytest.importorskip('supervision', reason='supervision is not installed')
    found = FrameResult(0).to_supervision()
    assert (
        len(found) == 0 and found.tracker_id.shape == found.class_id.shape == (0,) and found.xyxy.shape == (0, 4)
    )
    some = _result(np.ones((2, 8, 8), bool)).to_supervision()
    assert len(sv.Detections.merge([some, found])) == 2


def test_a_stream_that_knows_no_names():
    pytest.importorskip('supervision', reason='supervision is not installed')
    result = _result(np.ones((2, 8, 8), bool))
    result.class_names = []
    assert set(result.to_supervision().data) == {'filled'}


def test_without_supervision_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'supervision', None)
    with pytest.raises(ImportError, match=r'pip install "maskprop\[supervision\]"'):
        FrameResult(0).to_supervision()
