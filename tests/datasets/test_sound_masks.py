"""Masks read in bulk: the same verdicts, areas and masks as one by one, on sound and on damaged files."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from maskprop.datasets import run_lists, sound_masks, ytvis_checks, ytvis_json
from maskprop.datasets.mask_kernels import LONGEST_NUMBER, compiled
from maskprop.datasets.rle import compress, inspect_masks, measure_strings
from maskprop.datasets.run_lists import compress_lists
from maskprop.datasets.sound_masks import MaskReader
from maskprop.datasets.ytvis_checks import check_data
from maskprop.datasets.ytvis_json import AnnotationError, load_ytvis, read_json
from maskprop.evaluation.rle import decode_counts

HEIGHT, WIDTH, FRAMES = 20, 30, 6
KINDS = ('string', 'runs', 'polygons')
needs_numba = pytest.mark.skipif(compiled() is None, reason='needs numba')
# in place of a mask, a list, a number
ODD: list[Any] = [None, [], {}, '', 'x', True, False, 0, 1, -1, 2.5, math.nan, math.inf, 10**400, 2**40, [[]], ()]


@pytest.fixture(params=['compiled', 'numpy'])
def many(request, monkeypatch) -> None:
    """Few masks are read as many are."""
    if request.param == 'compiled':
        if compiled() is None:
            pytest.skip('needs numba')
        monkeypatch.setattr(sound_masks, 'MANY', 0)


def random_polygon(rng: np.random.Generator, height: int = HEIGHT, width: int = WIDTH) -> list[float]:
    """Of three to eight points, small or large, in the picture or beside it; some are thin, crossed or twofold."""
    size = 10 ** rng.uniform(-0.5, 1.3)
    points = rng.uniform(-0.3, 1.3, 2) * (width, height) + rng.normal(0, size, (rng.integers(3, 9), 2))
    if rng.random() < 0.2:
        points[:, rng.integers(2)] = points[0, 0]
    if rng.random() < 0.1:
        points = np.concatenate([points, points])  # even-odd: nothing is left
    points = np.clip(points, -5 * width, 5 * width)
    return (points.round(rng.integers(0, 3)) if rng.random() < 0.5 else points).flatten().tolist()


def random_mask(rng: np.random.Generator, kind: str) -> Any:
    if rng.random() < 0.2:
        return None
    if kind == 'polygons':
        return [random_polygon(rng) for _ in range(rng.integers(1, 3))]
    mask = np.asfortranarray(rng.random((HEIGHT, WIDTH)) < rng.choice([0, 0.01, 0.5, 1]), dtype=np.uint8)
    rle = dict(size=[HEIGHT, WIDTH], counts=coco_mask.encode(mask)['counts'].decode())
    if kind == 'runs':
        borders = np.flatnonzero(np.diff(np.concatenate([[0], mask.T.flatten()])))
        rle['counts'] = np.diff([0, *borders, mask.size]).tolist()
    return rle


def damaged(rng: np.random.Generator, data: Any) -> Any:
    """The same with an odd value somewhere inside."""
    data = copy.deepcopy(data)
    place, holder = data, None
    while isinstance(place, dict | list) and place and (holder is None or rng.random() < 0.85):
        holder = place
        key = rng.choice(list(place)) if isinstance(place, dict) else int(rng.integers(len(place)))
        place = holder[key]
    if isinstance(place, str) and place and rng.random() < 0.8:
        i = rng.integers(len(place))
        holder[key] = place[:i] + rng.choice(['', '0', 'o', 'é', '~', '\ud800']) + place[i + 1 :]
    elif isinstance(place, list) and place and rng.random() < 0.3:
        holder[key] = place[:-1]
    else:
        holder[key] = ODD[rng.integers(len(ODD))]
    return data


@pytest.mark.parametrize('kind', KINDS)
def test_masks_at_once_are_as_one_by_one(many, kind):
    rng = np.random.default_rng(KINDS.index(kind))
    bulk = 0
    for number in range(120):
        masks = [random_mask(rng, kind) for _ in range(FRAMES)]
        if number % 2:
            masks = damaged(rng, masks)
        reader = MaskReader(len(masks), for_training=True)
        faults, found = reader.read(masks, HEIGHT, WIDTH)
        expected, areas = inspect_masks(masks, HEIGHT, WIDTH)
        assert faults == expected, masks
        if kind == 'polygons' and not faults:  # of which inspect_masks does not know whether they have a pixel
            areas[[bool(mask) for mask in masks] & ~found.visible] = 0
        np.testing.assert_array_equal(found.areas, areas)
        bulk += reader._read_at_once(masks, HEIGHT, WIDTH) is not None
        if faults:
            continue
        for mask, read, visible in zip(masks, found.masks, found.visible.tolist(), strict=True):
            rle = compress(mask, HEIGHT, WIDTH) if mask else None
            assert visible == (rle is not None and coco_mask.area(rle) > 0)
            assert (rle is None) == (read is None)
            assert rle is None or (read == mask if kind == 'polygons' else read == rle) or read == rle
    assert bulk >= 60  # all the sound ones


def random_file(rng: np.random.Generator) -> dict:
    tracks = []
    for number in range(3):
        masks = [random_mask(rng, KINDS[number]) for _ in range(FRAMES)]
        rles = [compress(mask, HEIGHT, WIDTH) if mask else None for mask in masks]
        boxes = [None if rle is None else coco_mask.toBbox(rle).tolist() for rle in rles]
        areas = [None if rle is None else int(coco_mask.area(rle)) for rle in rles]
        track = dict(id=number + 1, video_id=1, category_id=1, iscrowd=0)
        tracks.append(dict(track, segmentations=masks, bboxes=boxes, areas=areas))
    names = [f'{frame}.png' for frame in range(FRAMES)]
    video = dict(id=1, height=HEIGHT, width=WIDTH, length=FRAMES, file_names=names)
    return dict(videos=[video], categories=[dict(id=1, name='cat')], annotations=tracks)


def test_damaged_files_have_the_same_problems_with_and_without_short_cuts(many, monkeypatch):
    rng = np.random.default_rng(0)
    files = [random_file(rng) for _ in range(100)]
    for data in files[20:]:
        track = rng.integers(3)
        data['annotations'][track] = damaged(rng, data['annotations'][track])
    found = [list(map(str, check_data(copy.deepcopy(data), 'f'))) for data in files]
    monkeypatch.setattr(ytvis_checks, '_are_sound_boxes', lambda boxes, masks: False)
    monkeypatch.setattr(ytvis_checks, 'as_numbers', lambda lists: None)
    monkeypatch.setattr(MaskReader, '_read_at_once', lambda *args: None)
    for data, problems in zip(files, found, strict=True):
        assert problems == list(map(str, check_data(data, 'f')))
    assert sum(map(bool, found)) > 50


@needs_numba
def test_the_compiled_loops_agree_with_numpy_and_pycocotools():
    rng = np.random.default_rng(0)
    polygons = [random_polygon(rng, 100, 90) for _ in range(5000)]
    rles = coco_mask.frPyObjects(polygons, 100, 90)
    strings = [rle['counts'] for rle in rles]
    areas = np.array([int(coco_mask.area(rle)) for rle in rles])
    for index in range(0, len(strings), 2):
        changed = bytearray(strings[index])
        changed[rng.integers(len(changed))] = rng.integers(40, 118)
        strings[index] = bytes(changed[: rng.integers(len(changed) + 1)] if index % 4 else changed)
    expected = measure_strings(strings)
    total, area = np.zeros((2, len(strings)), dtype=np.int64)
    readable = np.zeros(len(strings), dtype=bool)
    chars = np.frombuffer(b''.join(strings), dtype=np.uint8)
    compiled().measure_strings(chars, sound_masks._bounds(strings), total, area, readable)
    np.testing.assert_array_equal(readable, expected[2])
    for found, wanted in zip((total, area), expected[:2], strict=True):
        np.testing.assert_array_equal(found[readable], wanted[readable])
    assert 0.5 < readable.mean() < 0.95 and (area[1::2] == areas[1::2]).all()

    visible = np.zeros(len(polygons), dtype=bool)
    points = np.concatenate(polygons).reshape(-1, 2)
    compiled().surely_visible(points, sound_masks._bounds(polygons) // 2, 100, 90, visible)
    assert not visible[areas == 0].any() and visible[areas > 0].mean() > 0.4


@needs_numba
def test_long_runs_are_encoded():
    lists = [[2**31 - 1, 5, 2**31 - 1, 0, 1, 2**31 - 1, 1], [3], [0, 7, 0, 0, 9]]
    runs = np.concatenate(lists).astype(np.int32)
    total, area, ends = np.zeros((3, 3), dtype=np.int64)
    chars = np.empty(LONGEST_NUMBER * len(runs), dtype=np.uint8)
    compiled().encode_runs(runs, sound_masks._bounds(lists), total, area, chars, ends)
    found = [chars[a:b].tobytes() for a, b in zip([0, *ends], ends, strict=False)]
    assert found == [coco_mask.frPyObjects(dict(size=[1, 1], counts=x), 1, 1)['counts'] for x in lists]
    assert total.tolist() == [sum(x) for x in lists] and area.tolist() == [sum(x[1::2]) for x in lists]


@pytest.mark.parametrize('whole', [False, True])
def test_only_numbers_are_taken(whole):
    assert sound_masks.as_numbers([[1, 0], [], [7]], whole).tolist() == [1, 0, 7]
    assert sound_masks.as_numbers([], whole).tolist() == []
    for odd in (True, False, None, '1', [1], 10**400, *([2**40, 1.0, 2.5] if whole else [])):
        assert sound_masks.as_numbers([[1, 2], [3, odd]], whole) is None


def random_text(rng: np.random.Generator) -> str:
    """JSON with lists of runs and what looks like some."""
    space = rng.choice(['', '', ' ', ' ', '\n\t', '\r', '\x0b'])  # the last is none of JSON's
    runs = [str(int(10 ** rng.uniform(-1, rng.choice([2, 9.3])))) for _ in range(rng.integers(1, 9))]
    if rng.random() < 0.3:
        odd = ['-1', '1.0', '1e3', 'true', 'null', '"5"', '[5]', '2147483647', '2147483648', '9' * 30, '00', '']
        runs[rng.integers(len(runs))] = odd[rng.integers(len(odd))]
    tail = rng.choice(['', '', '', ',', ']', '5'])
    value = f'[{space}{f"{space},{space}".join(runs)}{tail}{space}]'
    key = rng.choice(['"counts"', '"counts"', '"counts"', '"x\\"counts"', '"\\"counts\\""', '"account"'])
    return f'{{"size":{space}[3, 5],{space}{key}{space}:{space}{value}, "file": "a \\"counts\\": [1, 2]"}}'


def as_lists(value: Any, wanted: Any) -> Any:
    """A value with the strings of compressed RLE as lists again, where lists are wanted."""
    if isinstance(value, str) and isinstance(wanted, list):
        return decode_counts(value).tolist()
    if isinstance(value, dict) and isinstance(wanted, dict):
        return {key: as_lists(inner, wanted.get(key)) for key, inner in value.items()}
    if isinstance(value, list) and isinstance(wanted, list) and len(value) == len(wanted):
        return [as_lists(*both) for both in zip(value, wanted, strict=True)]
    return value


@needs_numba
def test_lists_in_text_become_strings_of_the_same_runs():
    rng = np.random.default_rng(0)
    changed = 0
    for _ in range(1500):
        text = '[{"counts": [3]}, ' + random_text(rng) + ']'
        found = compress_lists(text.encode())
        try:
            expected = json.loads(text)
        except ValueError:
            with pytest.raises(ValueError):
                json.loads(found)
            continue
        got = json.loads(found)
        assert got[0]['counts'] == '3' and as_lists(got, expected) == expected, text
        runs = expected[1].get('counts')
        sound = runs and all(type(run) is int and 0 <= run < 2**31 for run in runs)
        assert isinstance(got[1].get('counts'), str) == bool(sound), text
        changed += bool(sound)
    assert changed > 200
    for other in (b'', b'{}', b'{"counts": "3"}', b'{"counts": 3, "x": {"counts": [3]}}'):
        assert compress_lists(other) is None


@needs_numba
def test_a_file_is_read_with_strings_and_errors_are_of_the_file_as_it_is(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    path, data = tmp_path / 'gt.json', random_file(rng)
    data['annotations'].reverse()  # no string comes first
    path.write_text('\ufeff' + json.dumps(data), encoding='utf-8')
    plain = load_ytvis(path, for_training=True)
    monkeypatch.setattr(run_lists, 'LEAST_BYTES', 0)
    calls = []
    monkeypatch.setattr(ytvis_json, 'read_json', lambda path: calls.append(path) or read_json(path))
    assert load_ytvis(path, for_training=True) == plain and not calls
    data['annotations'][1]['segmentations'][0] = dict(size=[HEIGHT, WIDTH], counts=[1, 2, 3])
    single = copy.deepcopy(data)
    single['annotations'][1]['segmentations'] = dict(size=[HEIGHT, WIDTH], counts=[1, 2, 3])  # is shown as it is
    for text in (
        json.dumps(data),
        json.dumps(single),
        json.dumps(data)[:-9],
        '{"counts": [1]}',
        '[{"counts": [1]}, 01]',
    ):
        path.write_text(text)
        messages = []
        for least in (0, 10**9):
            monkeypatch.setattr(run_lists, 'LEAST_BYTES', least)
            with pytest.raises(AnnotationError) as error:
                load_ytvis(path, for_training=True)
            messages.append(str(error.value))
        assert messages[0] == messages[1]
