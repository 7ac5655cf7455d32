"""Every bad input gets one clear error that names record, field, what was found and the fix."""

from __future__ import annotations

import copy
import json
import math
import random
import zipfile
from collections import OrderedDict
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from eval_cases import encode, random_case

from maskprop.datasets.ytvis_json import find_problems, load_ytvis
from maskprop.evaluation import (
    EvalInputError,
    GroundTruth,
    annotation_reader,
    detections,
    evaluate_video_ap,
    load_ground_truth,
    read_results,
)
from maskprop.evaluation.annotation_reader import read_annotations
from maskprop.evaluation.detections import read_detections, read_record
from maskprop.evaluation.ground_truth import parse_frames


@pytest.fixture
def case() -> tuple[dict, list[dict]]:
    gt, results = random_case(1)
    results = [r for r in results if any(r['segmentations'])]
    gt['annotations'] = [a for a in gt['annotations'] if any(a['segmentations'])]
    assert results and gt['annotations']
    return copy.deepcopy((gt, results))


def some_mask(record: dict) -> int:
    return next(i for i, mask in enumerate(record['segmentations']) if mask)


def set_mask(**values):
    def change(record):
        frame = some_mask(record)
        record['segmentations'][frame] = {**record['segmentations'][frame], **values}

    return change


def put(field, value):
    return lambda record: record.__setitem__(field, value)


def drop(field):
    return lambda record: record.pop(field)


BAD_RESULTS = {
    'unknown video': (put('video_id', 999), r'"video_id": gt.json has no video 999'),
    'video id missing': (drop('video_id'), r'"video_id": is missing'),
    'video id text': (put('video_id', 'a'), r'"video_id": found \'a\''),
    'category id null': (put('category_id', None), r'"category_id": is null'),
    'category id fraction': (put('category_id', 1.5), r'"category_id": found 1.5'),
    'score missing': (drop('score'), r'"score": is missing'),
    'score text': (put('score', '0.5'), r'"score": found \'0.5\''),
    'score nan': (put('score', float('nan')), r'"score": found nan'),
    'score huge': (put('score', 10**400), r'"score": found 10000'),
    'score infinite': (put('score', float('-inf')), r'"score": found -inf'),
    'masks missing': (drop('segmentations'), r'"segmentations": is missing'),
    'masks not a list': (put('segmentations', 'x'), r'"segmentations": found \'x\''),
    'fewer frames': (lambda r: r['segmentations'].pop(), r'"segmentations": \d+ entries, but video \d+ has \d+'),
    'more frames': (lambda r: r['segmentations'].append(None), r'"segmentations": \d+ entries, but video'),
    'mask a number': (lambda r: r['segmentations'].__setitem__(some_mask(r), 5), r'found 5'),
    'polygon': (
        lambda r: r['segmentations'].__setitem__(some_mask(r), [[1, 1, 2, 2, 3, 1]]),
        r'found \[\[1, 1',
    ),
    'uncompressed': (set_mask(counts=[1, 2]), 'uncompressed RLE'),
    'counts missing': (set_mask(counts=None), r'segmentation: "counts": is null'),
    'size missing': (set_mask(size=None), r'segmentation: "size": is null'),
    'other size': (set_mask(size=[7000, 9]), r'mask size \[7000, 9\], but the video is \[\d+, \d+\]'),
    'wrong sum': (set_mask(counts='11'), r'RLE counts sum to 2, but the frame has \d+ x \d+ ='),
    'damaged string': (set_mask(counts='1 1'), r'compressed RLE holds a character'),
}


@pytest.mark.parametrize('backend', ['numba', 'numpy'])
@pytest.mark.parametrize('name', BAD_RESULTS)
def test_bad_result(case, name, backend):
    gt, results = case
    change, message = BAD_RESULTS[name]
    change(results[1])
    with pytest.raises(EvalInputError, match=rf'^res.json: results\[1\].*{message}.*\. \w') as caught:
        evaluate_video_ap(gt, results, gt_name='gt.json', results_name='res.json', backend=backend)
    assert '\n' not in str(caught.value)
    evaluate_video_ap(gt, results[:1])  # it was the change that was refused


@pytest.mark.parametrize('value, message', [({}, 'must be a list'), (None, 'must be a list'), ([], 'is empty')])
def test_results_that_are_no_list_or_empty(case, value, message):
    with pytest.raises(EvalInputError, match=f'^res.json: .*{message}|^res.json: .*{message}'):
        evaluate_video_ap(case[0], value, results_name='res.json')


def test_result_that_is_no_object(case):
    with pytest.raises(EvalInputError, match=r'results\[0\]: found 7'):
        evaluate_video_ap(case[0], [7])


def test_results_of_unlisted_categories_are_dropped_with_a_warning(case):
    gt, results = case
    expected = evaluate_video_ap(gt, results).metrics
    extra = {**results[0], 'category_id': 77, 'score': 5.0}
    with pytest.warns(UserWarning, match=r'left out: 77 \(2\)'):
        assert evaluate_video_ap(gt, [extra, *results, extra]).metrics == expected


ODD_NAMES = ['', ' \t', 5, True, [], {}]
del_ = object()
BAD_ANNOTATIONS = {
    'id missing': (drop('id'), r'"id": is missing'),
    'id zero': (put('id', 0), r'"id": found 0'),
    'unknown video': (put('video_id', 999), r'"video_id": no video has id 999'),
    'category missing': (drop('category_id'), r'"category_id": is missing'),
    'iscrowd missing': (drop('iscrowd'), r'"iscrowd": is missing'),
    'iscrowd text': (put('iscrowd', 'no'), r'"iscrowd": found \'no\''),
    'areas missing': (drop('areas'), r'"areas": is missing'),
    'fewer areas': (lambda r: r['areas'].pop(), r'"areas": \d+ entries, but video \d+ has'),
    'area text': (lambda r: r['areas'].__setitem__(0, 'x'), r'frame 0: "areas": found \'x\''),
    'masks null': (put('segmentations', None), r'"segmentations": is null'),
    'fewer frames': (lambda r: r['segmentations'].pop(), r'"segmentations": \d+ entries, but video'),
    'other size': (set_mask(size=[7000, 9]), r'mask size \[7000, 9\]'),
    'wrong sum': (set_mask(counts='11'), r'RLE counts sum to 2'),
    'wrong sum uncompressed': (set_mask(counts=[3, 4]), r'RLE counts sum to 7'),
    'huge uncompressed': (set_mask(counts=[2**40]), r'RLE counts sum to 1099511627776'),
    'negative run': (set_mask(counts=[-1, 4]), r'RLE counts \[-1, 4\]'),
    'counts null': (set_mask(counts=None), r'RLE counts None'),
    'area huge': (lambda r: r['areas'].__setitem__(0, 10**400), r'frame 0: "areas": found 1000'),
    'polygon huge': (
        lambda r: r['segmentations'].__setitem__(some_mask(r), [[1, 1, 2, 2, 3, 10**400]]),
        r'polygon \[1, 1',
    ),
    'category huge': (put('category_id', 10**400), r'"category_id": found 1000'),
    'polygon of two points': (
        lambda r: r['segmentations'].__setitem__(some_mask(r), [[1, 1, 2, 2]]),
        r'polygon \[1, 1, 2, 2\]',
    ),
    'polygon of an odd length': (
        lambda r: r['segmentations'].__setitem__(some_mask(r), [[1, 1, 2, 2, 3, 3, 4]]),
        r'polygon \[',
    ),
    'polygon far outside': (  # pycocotools would fill all memory, and crash
        lambda r: r['segmentations'].__setitem__(some_mask(r), [[3, 2, 1e9, 2, -2e9, 1e9]]),
        r'a polygon with a coordinate of -2e\+09',
    ),
}


@pytest.mark.parametrize('name', BAD_ANNOTATIONS)
def test_bad_annotation(case, name):
    gt, _ = case
    change, message = BAD_ANNOTATIONS[name]
    change(gt['annotations'][1])
    with pytest.raises(EvalInputError, match=rf'^gt.json: annotations\[1\].*{message}.*\. \w') as caught:
        GroundTruth.from_dict(gt, 'gt.json')
    assert '\n' not in str(caught.value)


def test_duplicate_ids(case):
    gt, _ = case
    for field in ('annotations', 'videos', 'categories'):
        broken = copy.deepcopy(gt)
        broken[field][1]['id'] = broken[field][0]['id']
        with pytest.raises(EvalInputError, match=rf'{field}\[1\].*already'):
            GroundTruth.from_dict(broken)


@pytest.mark.parametrize(
    'field, value', [('height', None), ('width', 0), ('length', -1), ('id', 'x'), ('length', 99)]
)
def test_bad_video(case, field, value):
    gt, _ = case
    gt['videos'][1][field] = value
    if (field, value) == ('length', -1):
        gt['videos'][1]['file_names'] = None
    with pytest.raises(EvalInputError, match=rf'videos\[1\].*"{field}"'):
        GroundTruth.from_dict(gt)


def _is_refused(read, *args) -> bool:
    try:
        read(*args)
    except ValueError:
        return True
    return False


def _checked(gt: dict, folder: Path) -> bool:
    """Whether the checker refuses a set; it, the loader and scoring must agree."""
    for video in gt['videos']:
        video['file_names'] = [f'{video["id"]}/{n}.jpg' for n in range(video['length'])]
    (folder / 'gt.json').write_text(json.dumps(gt))
    errors = [problem for problem in find_problems(folder / 'gt.json') if problem.severity == 'error']
    assert bool(errors) == _is_refused(load_ytvis, folder / 'gt.json')
    return bool(errors)


@pytest.mark.parametrize('kind', ['videos', 'categories', 'annotations'])
@pytest.mark.parametrize('read', [GroundTruth.from_dict, parse_frames])
def test_odd_ids_are_to_scoring_what_they_are_to_the_checker(case, tmp_path, kind, read):
    refused = []
    odd = [1, 7.0, 2**31 - 1, -1, -7, 2**31, 2.0**31, 900100002299, 10**30, 1.5, '1', '', True, None, [], math.nan]
    for value in odd:
        gt = copy.deepcopy(case[0])
        old, gt[kind][0]['id'] = gt[kind][0]['id'], value
        gt[kind] = gt[kind][:1] + [record for record in gt[kind][1:] if record['id'] != value]
        field = {'videos': 'video_id', 'categories': 'category_id'}.get(kind)
        for annotation in gt['annotations'] if field else ():
            annotation[field] = value if annotation[field] == old else annotation[field]
        known = {'video_id': 'videos', 'category_id': 'categories'}
        gt['annotations'] = [
            a for a in gt['annotations'] if all(a[f] in [r['id'] for r in gt[k]] for f, k in known.items())
        ]
        wrong = _checked(copy.deepcopy(gt), tmp_path)
        if read is not parse_frames or kind != 'annotations':
            assert _is_refused(read, gt, 'gt.json') == wrong, value
        refused.append(wrong)
    assert refused == [False] * 3 + [True] * (len(odd) - 3)


@pytest.mark.parametrize(
    'name, title', [(None, '4'), (del_, '4'), ('cat', 'cat'), *((n, None) for n in ODD_NAMES)]
)
def test_names_of_categories_are_to_scoring_what_they_are_to_the_checker(case, tmp_path, name, title):
    gt, _ = case
    category = next(record for record in gt['categories'] if record['id'] == 4)
    category['name'] = name
    if name is del_:
        del category['name']
    assert _checked(copy.deepcopy(gt), tmp_path) == (title is None)
    if title is None:
        with pytest.raises(EvalInputError, match=r'^gt.json: categories\[\d\]: "name": found '):
            GroundTruth.from_dict(gt, 'gt.json')
        return
    loaded = {record['id']: record['name'] for record in load_ytvis(tmp_path / 'gt.json')['categories']}
    assert GroundTruth.from_dict(gt).categories == loaded and loaded[4] == title


@pytest.mark.parametrize('entry', [None, [], 0, {}, '', False, 5, 'text', [[]]])
def test_only_null_and_no_polygon_say_that_there_is_no_mask(case, tmp_path, entry):
    """To the checker, to scoring, and in results."""
    gt, results = case
    for record in (gt['annotations'][0], results[0]):
        record['segmentations'] = [entry, *record['segmentations'][1:]]
    wrong = entry not in (None, []) or entry is False
    assert _checked(copy.deepcopy(gt), tmp_path) == wrong
    truth = GroundTruth.from_dict(random_case(1)[0], 'gt.json')
    readers = (
        (GroundTruth.from_dict, gt, 'gt.json', r'annotations\[0\] \(id \d+\)'),
        (partial(read_detections, truth), results, 'res.json', r'results\[0\] \(video \d+\)'),
    )
    for read, data, source, record in readers:
        if not wrong:
            read(data, source)
            continue
        with pytest.raises(EvalInputError, match=rf'^{source}: {record} frame 0: "segmentations": '):
            read(data, source)


@pytest.mark.parametrize('names', [5, 'abc', {'0': 'a.jpg'}], ids=['int', 'text', 'object'])
def test_file_names_that_are_no_list(case, names):
    gt, _ = case
    gt['videos'][1]['file_names'] = names
    with pytest.raises(EvalInputError, match=r'videos\[1\].*"file_names": found'):
        GroundTruth.from_dict(gt)


@pytest.mark.parametrize('read', [load_ground_truth, read_results])
@pytest.mark.parametrize('zipped', [False, True], ids=['json', 'zip'])
def test_json_that_is_nested_too_deeply(tmp_path, read, zipped):
    path = tmp_path / 'deep.json'
    path.write_text('[' * 100_000 + ']' * 100_000)
    if zipped:
        with zipfile.ZipFile(tmp_path / 'deep.zip', 'w') as archive:
            archive.write(path, 'results.json')
        path = tmp_path / 'deep.zip'
    with pytest.raises(EvalInputError, match=rf'{path.name}: .*not valid JSON'):
        read(path)


def test_length_may_come_from_the_file_names(case):
    gt, results = case
    expected = evaluate_video_ap(gt, results).metrics
    for video in gt['videos']:
        del video['length']
    assert evaluate_video_ap(gt, results).metrics == expected


@pytest.mark.parametrize('read', [GroundTruth.from_dict, parse_frames])
def test_results_in_the_place_of_annotations_are_told(case, read):
    with pytest.raises(EvalInputError, match='a list at the top, as in a results file. Give the annotation file'):
        read(case[1], 'results.json')


@pytest.mark.parametrize('annotations', [None, [], 'missing'])
def test_ground_truth_without_annotations(case, annotations):
    gt, results = case
    gt['annotations'] = annotations
    if annotations == 'missing':
        del gt['annotations']
    with pytest.raises(EvalInputError, match='no annotations.*format_only.*--submission.*maskprop split'):
        evaluate_video_ap(gt, results)


@pytest.mark.parametrize('field', ['videos', 'categories'])
@pytest.mark.parametrize('value', [None, [], {}])
def test_ground_truth_without_videos_or_categories(case, field, value):
    gt, _ = case
    gt[field] = value
    with pytest.raises(EvalInputError, match=f'"{field}"'):
        GroundTruth.from_dict(gt)


def test_ground_truth_that_is_no_object():
    with pytest.raises(EvalInputError, match='gt.json: found 5. It must be an object'):
        GroundTruth.from_dict(5, 'gt.json')


def test_annotations_of_unlisted_categories_warn(case):
    gt, _ = case
    gt['annotations'][0]['category_id'] = 55
    with pytest.warns(UserWarning, match=r'categories \[55\] are left out'):
        GroundTruth.from_dict(gt)


@pytest.mark.parametrize('read', [load_ground_truth, read_results])
def test_bad_files(tmp_path, read):
    with pytest.raises(EvalInputError, match=r'missing.json: no such file'):
        read(tmp_path / 'missing.json')
    path = tmp_path / 'cut.json'
    path.write_text(json.dumps([{'a': 1}])[:-3])
    with pytest.raises(EvalInputError, match=r'cut.json: not valid JSON .*line 1'):
        read(path)
    path.write_bytes(b'\xff\xfe\x00')
    with pytest.raises(EvalInputError, match=r'cut.json: not valid JSON'):
        read(path)


def test_unknown_backend_is_refused(case):
    with pytest.raises(ValueError, match="found 'cuda'"):
        evaluate_video_ap(*case, backend='cuda')


def test_one_pixel_frames_are_fine():
    masks = [encode([[1]])]
    gt = {
        'videos': [{'id': 1, 'height': 1, 'width': 1, 'length': 1}],
        'categories': [{'id': 1}],
        'annotations': [
            {'id': 1, 'video_id': 1, 'category_id': 1, 'iscrowd': 0, 'areas': [1], 'segmentations': masks}
        ],
    }
    result = evaluate_video_ap(gt, [{'video_id': 1, 'category_id': 1, 'score': 1, 'segmentations': masks}])
    assert result['AP'] == pytest.approx(1)


def _odd_masks(plain: dict, rng: random.Random) -> list:
    """Masks that are plain, and one of another kind."""
    height, width = plain['size']
    odd = [
        None, {}, [], 0, '', 5, 'text', True, [[1, 1, 2, 2, 3, 1]], {'size': plain['size']},
        {'counts': plain['counts']}, {**plain, 'counts': None}, {**plain, 'counts': ''},
        {**plain, 'counts': b'11'},
        {**plain, 'counts': [1, 2]}, {**plain, 'counts': 7}, {**plain, 'size': None},
        {**plain, 'size': (height, width)}, {**plain, 'size': [float(height), width]},
        {**plain, 'size': [width + 1, height]}, {**plain, 'size': np.array(plain['size'])},
        {**plain, 'more': 1}, OrderedDict(plain), np.zeros((3, 3)), np.zeros(1),
    ]  # fmt: skip
    masks = [rng.choice([plain, None]) for _ in range(4)]
    masks[rng.randrange(4)] = rng.choice(odd)
    return masks


def test_masks_read_at_once_and_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both give the same counts, or the same error."""
    video = dict(id=1, height=4, width=5, length=4)
    mask = encode(np.eye(4, 5, dtype=np.uint8))
    known = [dict(id=1, name='a')]
    annotation = dict(id=1, video_id=1, category_id=1, iscrowd=0, areas=[4] * 4, segmentations=[mask] * 4)
    gt = dict(videos=[video], categories=known, annotations=[annotation])
    truth = GroundTruth.from_dict(gt, backend='numpy')
    rng = random.Random(0)

    def outcome(masks: list) -> list:
        found: list = []
        record = dict(video_id=1, category_id=1, score=0.5, segmentations=masks)
        readers = (
            lambda: read_record(truth, record, 'res.json', 0)[1].counts,
            lambda: (
                read_annotations(
                    {'annotations': [{**annotation, 'segmentations': masks}]},
                    {1: ((4, 5), 4)},
                    {1: 'a'},
                    'gt.json',
                )[1][0].counts
            ),
        )
        for reader in readers:
            try:
                found.append(reader())
            except ValueError as error:
                found.append((type(error), str(error)))
        return found

    cases = [_odd_masks(mask, rng) for _ in range(400)]
    at_once = [outcome(masks) for masks in cases]
    for module in (detections, annotation_reader):
        monkeypatch.setattr(module, 'plain_counts', lambda masks, size: None)
    assert [outcome(masks) for masks in cases] == at_once
