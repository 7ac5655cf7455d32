"""Video AP equals slow literal loops to the last bit, in both forms."""

from __future__ import annotations

import copy
import subprocess
import sys

import numpy as np
import pytest
from eval_cases import area_of, encode, random_case
from literal_ap import literal_video_ap, video_iou
from pycocotools import mask as mask_api

from maskprop.evaluation import GroundTruth, evaluate_video_ap
from maskprop.evaluation.detections import read_detections
from maskprop.evaluation.matching import video_ious

SEEDS = [seed for seed in range(30) if all(random_case(seed)[i] for i in (0, 1))]


def small_case(num_dets: int = 2) -> tuple[dict, list[dict]]:
    """One video of two 4 x 6 frames, one track, found exactly."""
    mask = np.zeros((4, 6), dtype=bool)
    mask[1:3, 1:4] = True
    track = [encode(mask), encode(mask)]
    gt = {
        'videos': [{'id': 1, 'height': 4, 'width': 6, 'length': 2}],
        'categories': [{'id': 1, 'name': 'a'}],
        'annotations': [
            {'id': 1, 'video_id': 1, 'category_id': 1, 'iscrowd': 0, 'segmentations': track, 'areas': [6, 6]}
        ],
    }
    result = {'video_id': 1, 'category_id': 1, 'score': 0.5, 'segmentations': track}
    return gt, [dict(result) for _ in range(num_dets)]


def test_a_row_of_the_table_is_one_line():
    gt, results = small_case()
    gt['categories'][0]['name'] = 'a\nb'
    assert evaluate_video_ap(gt, results, backend='numpy').table().endswith('\n     1  a b        100.0')


@pytest.mark.slow
@pytest.mark.parametrize('backend', ['numba', 'numpy'])
@pytest.mark.parametrize('class_agnostic', [False, True])
def test_equals_literal_loops_bitwise(backend, class_agnostic):
    checked = 0
    for seed in SEEDS:
        gt, results = random_case(seed, large=seed % 10 == 0)
        if not (gt['annotations'] and results):
            continue
        metrics, per_category = literal_video_ap(gt, results, class_agnostic)
        result = evaluate_video_ap(gt, results, class_agnostic=class_agnostic, backend=backend)
        assert result.metrics == metrics, seed
        assert result.per_category == ({} if class_agnostic else per_category), seed
        checked += 0 < metrics['AP'] < 1
    assert checked > 20  # the cases are neither empty nor perfect


@pytest.mark.parametrize('backend', ['numba', 'numpy'])
def test_ious_equal_dense_masks_bitwise(backend):
    positive = 0
    for seed in range(20):
        gt, results = random_case(seed, num_videos=1)
        if not (gt['annotations'] and results):
            continue
        truth = GroundTruth.from_dict(gt, backend=backend)
        detections = read_detections(truth, results, class_agnostic=True)[0]
        found = video_ious(truth.videos[0], detections, np.arange(len(results)), np.arange(len(gt['annotations'])))
        for i, det in enumerate(results):
            for j, annotation in enumerate(gt['annotations']):
                expected = video_iou(det['segmentations'], annotation['segmentations'])
                assert found[i, j] == expected
                positive += 0 < expected < 1
    assert positive > 50


@pytest.mark.parametrize('backend', ['numba', 'numpy'])
def test_more_than_100_detections_of_a_category(backend):
    gt, results = small_case()
    wrong = {**results[0], 'segmentations': [None, None]}
    # 100 wrong ones of equal score come first, then the right one: it is cut. One wrong one fewer and it is found.
    cut = evaluate_video_ap(gt, [wrong] * 100 + results[:1], backend=backend)
    found = evaluate_video_ap(gt, [wrong] * 99 + results[:1], backend=backend)
    assert cut['AR100'] == 0 and found['AR100'] == 1
    assert found['AR10'] == 0 and found['AP'] == pytest.approx(0.01)


def test_all_forms_of_ground_truth_masks_agree():
    gt, results = small_case()
    mask = gt['annotations'][0]['segmentations'][0]
    polygon = [[1, 1, 4, 1, 4, 3, 1, 3]]
    dense = mask_api.decode(mask).ravel(order='F')
    bounds = np.flatnonzero(np.diff(dense)) + 1
    runs = np.diff(np.concatenate([[0], bounds, [dense.size]])).tolist()
    assert np.array_equal(
        mask_api.decode(mask_api.merge(mask_api.frPyObjects(polygon, 4, 6))), mask_api.decode(mask)
    )
    for form in (polygon, {'size': [4, 6], 'counts': runs}, {**mask, 'counts': mask['counts'].encode()}):
        changed = copy.deepcopy(gt)
        changed['annotations'][0]['segmentations'] = [form, mask]
        assert evaluate_video_ap(changed, results[:1])['AP'] == pytest.approx(1)


def test_file_areas_are_used_as_they_are():
    gt, results = small_case(1)
    gt['annotations'][0]['areas'] = [200.0**2, None]
    result = evaluate_video_ap(gt, results)
    assert result['APs'] == -1 and result['APm'] == pytest.approx(1)
    assert area_of(gt['annotations'][0]['segmentations'][0]) == 6


def square(side: int) -> dict:
    mask = np.zeros((300, 300), dtype=bool)
    mask[:side, :side] = True
    return encode(mask)


@pytest.mark.parametrize('backend', ['numba', 'numpy'])
def test_area_ranges_include_their_ends_and_average_present_frames(backend):
    gt, _ = small_case()
    gt['videos'] = [{'id': 1, 'height': 300, 'width': 300, 'length': 3}]
    found = {'video_id': 1, 'category_id': 1, 'score': 0.5, 'segmentations': [square(128), None, square(0)]}
    gt['annotations'][0].update(segmentations=found['segmentations'], areas=[128**2, None, 0])
    result = evaluate_video_ap(gt, [found], backend=backend)
    assert result['APs'] == result['APm'] == pytest.approx(1)
    assert result['APl'] == -1
    # A wrong one of the same area, ranked first, costs precision in both ranges; one pixel more, in the second.
    corner = np.zeros((300, 300), dtype=bool)
    corner[-128:, -128:] = True
    wrong = {**found, 'score': 0.9, 'segmentations': [encode(corner), None, None]}
    result = evaluate_video_ap(gt, [wrong, found], backend=backend)
    assert result['APs'] == result['APm'] == pytest.approx(0.5)
    corner[0, 0] = True
    wrong['segmentations'] = [encode(corner), None, None]
    result = evaluate_video_ap(gt, [wrong, found], backend=backend)
    assert result['APs'] == pytest.approx(1) and result['APm'] == pytest.approx(0.5)


def test_inputs_are_not_changed():
    gt, results = random_case(3)
    before = copy.deepcopy((gt, results))
    evaluate_video_ap(gt, results)
    assert (gt, results) == before


def test_one_ground_truth_serves_many_evaluations():
    gt, results = random_case(5)
    truth = GroundTruth.from_dict(gt)
    assert evaluate_video_ap(truth, results).metrics == evaluate_video_ap(gt, results).metrics
    assert evaluate_video_ap(truth, results[:3]).metrics == evaluate_video_ap(gt, results[:3]).metrics


def test_nothing_found_scores_zero_where_allowed():
    gt, _ = small_case()
    result = evaluate_video_ap(gt, [], allow_empty=True)
    assert result['AP'] == 0 and result['AR100'] == 0 and result['APl'] == -1


def test_table_shows_percent_and_missing():
    gt, results = small_case(1)
    head, names, numbers, *_, category = evaluate_video_ap(gt, results).table().splitlines()
    assert '%' in head
    assert dict(zip(names.split(), numbers.split(), strict=True)).items() >= {'AP': '100.0', 'APl': '-'}.items()
    assert category.split() == ['1', 'a', '100.0']


def test_imports_neither_torch_nor_mmengine():
    code = (
        'import sys, maskprop.evaluation.video_ap\n'
        'print([m for m in ("torch", "mmengine", "mmdet", "mmcv", "numba") if m in sys.modules])'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'


def test_without_numba_the_numpy_form_is_taken():
    code = (
        'import sys; sys.modules["numba"] = None\n'
        'from maskprop.evaluation.kernels import uses_numba\n'
        'print(uses_numba("auto"))'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == 'False'
    assert 'pip install numba' in done.stderr
