"""Every rule of the format has a file that breaks it, and published variations load."""

from __future__ import annotations

import codecs
import copy
import math
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskprop.datasets.ytvis_json import (
    AnnotationError,
    decode_mask,
    find_problems,
    frame_indices,
    load_ytvis,
    select_frames,
    subsample_frames,
    summarize,
)
from maskprop.evaluation.validation import load_json

SHARED = Path(__file__).parents[3] / 'shared'


def broken(data: dict, where: str, value: object) -> dict:
    """Sets ``data[...]`` at a path such as 'annotations.0.bboxes.2'; ``del`` as value deletes."""
    *parents, last = [int(key) if key.isdigit() else key for key in where.split('.')]
    node = data
    for key in parents:
        node = node[key]
    if value is del_:
        del node[last]
    else:
        node[last] = value
    return data


del_ = object()
BOX = 'annotations.0.bboxes.2'
MASK = 'annotations.0.segmentations.2'
SIZE = [48, 80]
# rule, what to break, with what, and what the message says: record, field and found
ERRORS = [
    ('top-level', 'videos', del_, r'videos: missing'),
    ('top-level', 'categories', del_, r'categories: missing'),
    ('top-level', 'videos', [], r'videos: \[\]'),
    ('top-level', 'annotations', {}, r'annotations: \{\}'),
    ('record', 'annotations.1', 5, r'annotation at place 1: 5'),
    ('id', 'videos.0.id', 'a', r"video at place 0, id: 'a'"),
    ('id', 'videos.0.id', 1.5, r'video at place 0, id: 1.5'),
    ('id', 'annotations.1.id', True, r'annotation at place 1, id: True'),
    ('id', 'annotations.1.id', del_, r'annotation at place 1, id: missing'),
    ('id', 'annotations.1.id', 2**31, r'annotation at place 1, id: 2147483648'),
    ('id', 'categories.2.id', None, r'category at place 2, id: missing'),
    ('duplicate-id', 'videos.1.id', 5, r'video 5, id: a second video'),
    ('duplicate-id', 'annotations.1.id', 1, r'annotation 1, id: a second annotation'),
    ('duplicate-id', 'categories.1.id', 7, r'category 7, id: a second category'),
    ('video-size', 'videos.0.width', 0, r'video 1, width: 0'),
    ('video-size', 'videos.0.height', del_, r'video 1, height: missing'),
    ('file-names', 'videos.1.file_names', [], r'video 2, file_names: \[\]'),
    ('file-names', 'videos.1.file_names', del_, r'video 2, file_names: missing'),
    ('file-names', 'videos.1.file_names.3', None, r'video 2, file_names: '),
    (
        'video-size',
        'videos.1.height',
        2**40,
        r'video 2, height: frames of 1099511627776 x 80; expected at',
    ),
    ('video-length', 'videos.1.length', 7, r'video 2, length: 7, but file_names has 6 entries'),
    ('category-name', 'categories.0.name', 5, r'category 7, name: 5'),
    ('category-name', 'categories.0.name', ' \t', r'category 7, name: '),
    ('unknown-video', 'annotations.0.video_id', 99, r'annotation 1, video_id: 99'),
    ('unknown-category', 'annotations.0.category_id', 99, r'annotation 1, category_id: 99'),
    ('iscrowd', 'annotations.0.iscrowd', 2, r'annotation 1, iscrowd: 2'),
    (
        'list-length',
        'annotations.0.segmentations',
        [None] * 7,
        r'annotation 1, segmentations: 7 entries; .* 8 frames',
    ),
    ('list-length', 'annotations.0.segmentations', del_, r'annotation 1, segmentations: missing'),
    ('list-length', 'annotations.0.bboxes', [None] * 9, r'annotation 1, bboxes: 9 entries'),
    ('list-length', 'annotations.0.areas', 'x', r"annotation 1, areas: 'x'"),
    ('mask-type', MASK, 'xyz', r'annotation 1, segmentations\[2\]: a str'),
    ('mask-type', MASK, dict(counts='xyz'), r"annotation 1, segmentations\[2\]: keys \['counts'\]"),
    (
        'mask-size',
        MASK,
        dict(size=[80, 48], counts=[3840]),
        r'segmentations\[2\]: RLE of size \[80, 48\] .* \[48, 80\]',
    ),
    ('mask-size', MASK, dict(size=None, counts=[3840]), r'segmentations\[2\]: RLE of size None'),
    ('mask-size', MASK, dict(size=[10**400, 80], counts=[3840]), r'RLE of size \[10+\.\.\.0+, 80\] in a video'),
    ('rle-counts', MASK, dict(size=SIZE, counts=[3000, 839]), r'sum to 3839 in a picture of 48 x 80 = 3840'),
    ('rle-counts', MASK, dict(size=SIZE, counts=[4000, -160]), r'a negative run \(-160\)'),
    ('rle-counts', MASK, dict(size=SIZE, counts=[3840.0]), r'not a list of integers'),
    ('rle-counts', MASK, dict(size=SIZE, counts=[True, 3839]), r'not a list of integers'),
    ('rle-counts', MASK, dict(size=SIZE, counts=[[1], 2]), r'not a list of integers'),
    ('rle-counts', MASK, dict(size=SIZE, counts=7), r'counts of type int'),
    ('rle-counts', MASK, dict(size=SIZE, counts='abc'), r'sum to -?\d+ in|not compressed RLE'),
    ('rle-counts', MASK, dict(size=SIZE, counts='é~'), r'not compressed RLE'),
    ('rle-counts', MASK, dict(size=SIZE, counts=''), r'not compressed RLE'),
    ('polygon', MASK, [1, 2, 3, 4, 5, 6], r'segmentations\[2\]: a flat list of 6 numbers'),
    ('polygon', MASK, [[1, 2, 3, 4]], r'a polygon of 4 numbers'),
    ('polygon', MASK, [[1, 2, 3, 4, 5, 6, 7]], r'a polygon of 7 numbers'),
    ('polygon', MASK, [[1, 2, 3, 4, 5, math.nan]], r'not finite'),
    ('polygon', MASK, [[1, 2, 3, 4, 5, 1e9]], r'a coordinate of 1e\+09'),
    ('polygon', MASK, [[1, 2, 3, 4, 5, 'x']], r'not a list of numbers'),
    ('polygon', MASK, [[1, 2, 3, 4, 5, 10**400]], r'not finite'),
    ('box', BOX, [1, 2, 3], r'annotation 1, bboxes\[2\]: \[1, 2, 3\]'),
    ('box', BOX, [1, 2, -3, 4], r'annotation 1, bboxes\[2\]: .* a negative size'),
    ('box', BOX, [1, 2, 3, math.nan], r'annotation 1, bboxes\[2\]: \[1, 2, 3, nan\]'),
    ('box', BOX, [1, 2, 3, 10**400], r'annotation 1, bboxes\[2\]: \[1, 2, 3, 1000'),
    ('box', BOX, 'abcd', r"annotation 1, bboxes\[2\]: 'abcd'"),
    ('box-without-mask', MASK, None, r'annotation 1, bboxes\[2\]: .* but no mask in this frame'),
    ('box-only', 'annotations.0.box_only', True, r'annotation 1, segmentations\[0\]: a mask of a box_only object'),
    ('unknown-categories', 'videos.0.unknown_categories', [7, 99], r'video 1, unknown_categories: \[7, 99\]'),
    ('unknown-categories', 'videos.0.unknown_categories', 7, r'video 1, unknown_categories: 7'),
    ('areas', 'annotations.0.areas.2', math.inf, r'annotation 1, areas\[2\]: inf'),
    ('areas', 'annotations.0.areas.2', 10**400, r'annotation 1, areas\[2\]: 1000'),
    ('areas', 'annotations.0.areas.2', -1, r'annotation 1, areas\[2\]: -1'),
]
WARNINGS = [
    ('iscrowd', 'annotations.0.iscrowd', del_, r'annotation 1, iscrowd: missing'),
    ('areas', 'annotations.0.areas', del_, r'annotation 1, areas: missing'),
    ('areas-differ', 'annotations.0.areas.2', 9, r'annotation 1, areas\[2\]: 9, but the mask has 280 pixels'),
    ('category-name', 'categories.0.name', del_, r'category 7, name: missing; its id is taken as its name'),
    ('id-zero', 'annotations.0.id', 0, r'annotation 0, id: 0'),
    ('mask-without-box', BOX, None, r'annotation 1, bboxes\[2\]: null beside a mask in 1 frames'),
    (
        'mask-empty',
        'annotations.0.segmentations.5',
        dict(size=SIZE, counts=[3840]),
        r'segmentations\[5\]: a mask without',
    ),
    (
        'mask-empty',
        'annotations.0.segmentations.5',
        [],
        r'annotation 1, segmentations\[5\]: a mask without a pixel',
    ),
    (
        'mask-empty',
        'annotations.0.segmentations.5',
        [[100, 100, 120, 100, 120, 120]],
        r'segmentations\[5\]: a mask without',
    ),
    ('category-name', 'categories.0.name', 'dog', r"categories, name: the name 'dog' 2 times"),
]
SPARSE = 'sparse-frames'


def names(table: list) -> list[str]:
    texts = ['missing' if value is del_ else str(value)[:30] for _, _, value, _ in table]  # without an address
    return [f'{rule}:{where}={text}' for (rule, where, *_), text in zip(table, texts, strict=True)]


def test_the_tiny_set_has_no_problem(gt, write):
    assert find_problems(write(gt)) == []


@pytest.mark.parametrize('rule,where,value,message', ERRORS, ids=names(ERRORS))
def test_each_broken_rule_is_one_error(gt, write, rule, where, value, message):
    path = write(broken(gt, where, value))
    errors = [p for p in find_problems(path) if p.severity == 'error' and p.rule == rule]
    assert len(errors) == 1
    text = str(errors[0])
    assert text.startswith(f'{path}: ') and re.search(message, text) and errors[0].fix
    with pytest.raises(AnnotationError, match=message):
        load_ytvis(path)


def test_a_video_of_one_frame_is_not_of_length_true(gt, write):
    gt = subsample_frames(gt, 100)
    gt['videos'][0]['length'] = True
    with pytest.raises(AnnotationError, match=r'video 1, length: True, but file_names has 1 entries'):
        load_ytvis(write(gt))


@pytest.mark.parametrize(
    'names,rules',
    [
        (['f2.png', 'f10.png', 'f11.png'], []),
        (['f1.png', 'f2.png', 'f2.png'], ['frame-twice']),
        (['f1.png', 'f10.png', 'f2.png'], ['frame-order']),
        (['f2.png', 'f1.png', 'f2.png'], ['frame-twice', 'frame-order']),
    ],
)
def test_the_order_of_frames_is_looked_at(gt, write, names, rules):
    gt['videos'][3].update(file_names=names, length=3)
    gt['annotations'] = [a for a in gt['annotations'] if a['video_id'] != gt['videos'][3]['id']]
    found = find_problems(write(gt))
    assert [p.rule for p in found if p.record == f'video {gt["videos"][3]["id"]}'] == rules
    assert not [p for p in found if p.severity == 'error']


def without_masks(gt: dict) -> dict:
    """Annotation 1 has boxes only."""
    length = len(gt['annotations'][0]['segmentations'])
    gt['annotations'][0].update(segmentations=[None] * length, areas=[None] * length, box_only=True)
    gt['videos'][0]['unknown_categories'] = [7]
    return gt


def test_an_object_may_have_boxes_only(gt, write):
    path = write(without_masks(gt))
    assert find_problems(path) == []
    assert summarize(load_ytvis(path))['box_only'] == 1
    assert load_ytvis(path)['videos'][0]['unknown_categories'] == [7]


@pytest.mark.parametrize(
    'rule,where,value,message',
    [
        ('box-only', 'bboxes', [None] * 8, 'annotation 1, bboxes: no box of a box_only object'),
        ('box-only', 'bboxes', del_, 'annotation 1, bboxes: no box'),
        ('box-only', 'box_only', 'yes', "annotation 1, box_only: 'yes'"),
        ('box', 'bboxes.2', [1, 2, -3, 4], 'negative size'),
        ('box-without-mask', 'box_only', False, 'but no mask in this frame'),
    ],
)
def test_each_fault_of_boxes_only(gt, write, rule, where, value, message):
    problems = find_problems(write(broken(without_masks(gt), f'annotations.0.{where}', value)))
    assert rule in {p.rule for p in problems}
    assert any(re.search(message, str(p)) for p in problems)


@pytest.mark.parametrize('rule,where,value,message', WARNINGS, ids=names(WARNINGS))
def test_each_warning_is_listed_and_the_file_loads(gt, write, rule, where, value, message):
    path = write(broken(gt, where, value))
    problems = find_problems(path)
    assert [(p.rule, p.severity) for p in problems] == [(rule, 'warning')]
    assert re.search(message, str(problems[0])) and problems[0].fix
    load_ytvis(path)


@pytest.mark.parametrize(
    'text,message',
    [
        ('{"videos": [], "categories": [], "videos": [{}]}', r"'videos' comes twice, and one would be lost"),
        ('PK\x03\x04...', r'not valid JSON .*; it is a zip: unpack it'),
        ('version https://git-lfs.github.com/spec/v1', r'not valid JSON .*; it is a pointer of Git LFS'),
        ('{"videos": [{"id": 1, "wid', r'not valid JSON .*; its 26 bytes are cut short or damaged'),
        pytest.param('[' * 100_000 + ']' * 100_000, 'not valid JSON .*nested too deeply', id='nested'),
        ('[{"video_id": 1}]', r'a list at the top; .*a list is a results file'),
        ('[{"video_id": 1, "score": 1}]', r'; this is a results file: '),
        (
            '{"images": [], "categories": [{"id": 1, "name": "a"}]}',
            r'not in YouTube-VIS format; this is COCO of single images',
        ),
    ],
)
def test_files_that_are_something_else(write, text, message):
    path = write(text)
    with pytest.raises(AnnotationError, match=message):
        load_ytvis(path)
    assert [p.severity for p in find_problems(path)] == ['error']


@pytest.mark.parametrize(
    'kept, step', [((0, 2, 4), 2), ((1, 3, 5), 2), ((0, 1, 2), None), ((0, 2), None), ((0, 2, 5), None)]
)
def test_masks_in_every_kth_frame_are_warned_of(gt, write, kept, step):
    """As where frames between are not annotated; objects of one video count together."""
    video = gt['videos'][0]
    annotations = [a for a in gt['annotations'] if a['video_id'] == video['id']]
    for annotation in annotations:
        for key in ('segmentations', 'bboxes', 'areas'):
            first = next(value for value in annotation[key] if value is not None)
            annotation[key] = [first if i in kept else None for i in range(video['length'])]
    if len(annotations) > 1:  # the second object is in none of the frames but the first
        for key in ('segmentations', 'bboxes', 'areas'):
            annotations[1][key][kept[0] + 1 :] = [None] * (video['length'] - kept[0] - 1)
    found = [str(p) for p in find_problems(write(gt)) if p.rule == SPARSE and p.severity == 'warning']
    assert len(found) == (step is not None)
    if step:
        assert f'masks in {len(kept)} of {video["length"]} frames, one in {step}, the first {kept[0]}' in found[0]


def test_a_byte_order_mark_is_passed_over(gt, write):
    path = write(gt)
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    assert load_ytvis(path)['videos'] and load_json(path)['videos']


def test_a_missing_file(tmp_path):
    with pytest.raises(AnnotationError, match=r'nowhere.json: cannot be read \(No such file'):
        load_ytvis(tmp_path / 'nowhere.json')
    assert len(find_problems(tmp_path / 'nowhere.json')) == 1


def test_all_errors_are_listed_and_the_first_ten_raised(gt, write):
    gt['annotations'][0]['segmentations'] = ['x'] * 8
    gt['annotations'][4]['segmentations'] = ['x'] * 5
    path = write(gt)
    assert sum(p.severity == 'error' for p in find_problems(path)) == 13
    with pytest.raises(AnnotationError) as raised:
        load_ytvis(path)
    lines = str(raised.value).splitlines()
    assert len(lines) == 11 and 'and 3 more: maskprop check' in lines[-1]


@pytest.mark.parametrize('value', [del_, None])
def test_published_validation_files_have_no_annotations(gt, write, value):
    path = write(broken(gt, 'annotations', value))
    assert find_problems(path) == []
    assert load_ytvis(path)['annotations'] is None
    with pytest.raises(AnnotationError, match=r'annotations: none in this file .*maskprop split'):
        load_ytvis(path, require_annotations=True)


def test_what_published_files_leave_out_or_add(gt, write):
    for video in gt['videos']:
        del video['length']
        video.update(license=1, flickr_url='', date_captured='')
    for annotation in gt['annotations']:
        annotation.update(width=1, height=1, length=1)  # 2019 has length 1 for videos of any length
        del annotation['bboxes'], annotation['iscrowd']
        annotation['occlusion'] = ['no_occlusion'] * len(annotation['segmentations'])
    gt['annotations'][0]['segmentations'][5] = []
    loaded = load_ytvis(write(gt))
    assert [v['length'] for v in loaded['videos']] == [8, 6, 1, 5]
    assert all(a['iscrowd'] == 0 for a in loaded['annotations'])
    assert loaded['annotations'][0]['segmentations'][5] is None


def test_select_frames_keeps_masks_with_their_frames(gt):
    gt['annotations'][0]['occlusion'] = list(range(8))
    before = copy.deepcopy(gt)
    chosen = select_frames(gt, stride=2, frame_range=(0.5, 1))
    assert gt == before
    assert chosen['videos'][0]['file_names'] == ['v1/00020.png', 'v1/00030.png']
    assert [v['length'] for v in chosen['videos']] == [2, 2, 1, 1]
    first = chosen['annotations'][0]
    assert first['occlusion'] == [4, 6]
    assert first['segmentations'] == [gt['annotations'][0]['segmentations'][t] for t in (4, 6)]
    assert len(first['bboxes']) == len(first['areas']) == 2
    # the crowd is seen in frames 0 and 1 only, the object of video 5 in frames 3 and 4 (the range begins at 3)
    assert [a['id'] for a in chosen['annotations']] == [1, 2, 4, 6]
    assert chosen['categories'] == gt['categories'] and chosen['info'] == gt['info']


def test_subsample_frames_is_a_stride_from_the_first_frame(gt):
    chosen = subsample_frames(gt, 3)
    for video, kept in zip(gt['videos'], chosen['videos'], strict=True):
        assert kept['file_names'] == video['file_names'][::3]
    assert subsample_frames(gt, 1) == gt
    gt['annotations'] = None
    assert subsample_frames(gt, 2)['annotations'] is None


def test_objects_without_any_mask_stay_but_objects_out_of_the_frames_go(gt):
    gt['annotations'][1]['segmentations'] = [None] * 8
    assert [a['id'] for a in subsample_frames(gt, 8)['annotations']] == [1, 2, 3, 4]


@pytest.mark.parametrize('length', [1, 2, 3, 10, 83])
def test_frame_ranges_part_a_video_without_overlap(length):
    first, second = frame_indices(length, 1, (0, 0.6)), frame_indices(length, 1, (0.6, 1))
    assert len(first) >= 1 and len(second) >= 1
    if length > 1:
        assert [*first, *second] == list(range(length))


@pytest.mark.parametrize(
    'stride,span', [(0, (0, 1)), (1.5, (0, 1)), (True, (0, 1)), (1, (0.5, 0.5)), (1, (-0.1, 1))]
)
def test_bad_frame_choices(gt, stride, span):
    with pytest.raises(ValueError, match='frame_stride|frame_range'):
        select_frames(gt, stride, span)


def test_images_are_looked_for_and_measured(gt, write, tiny_set, tmp_path):
    path = write(gt)
    assert find_problems(path, tiny_set / 'images') == []
    images = tmp_path / 'images'
    for source in (tiny_set / 'images').rglob('*.png'):
        target = images / source.relative_to(tiny_set / 'images')
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    # a JPEG, whatever its name: Pillow looks into it
    noise = cv2.imencode('.jpg', np.random.default_rng(0).integers(0, 256, (48, 80, 3), np.uint8))[1].tobytes()
    (images / 'v1/00010.png').write_bytes(noise[: len(noise) // 2])
    assert find_problems(path, images) == []
    (damaged,) = find_problems(path, images, decode_images=True)
    assert damaged.rule == 'image-damaged' and 'v1/00010.png is cut short or damaged' in str(damaged)
    floats = cv2.imencode('.tif', np.ones((48, 80), np.float32))[1].tobytes()  # whole, but no picture to OpenCV
    (images / 'v1/00010.png').write_bytes(floats)
    (unread,) = find_problems(path, images, decode_images=True)
    assert 'or of a kind that OpenCV does not read' in str(unread) and 'write it as JPEG or PNG' in str(unread)
    (images / 'v1/00010.png').unlink()
    (images / 'v1/00015.png').unlink()
    cv2.imwrite(str(images / 'v3/00000.png'), np.zeros((80, 48, 3), np.uint8))
    (images / 'v5/00005.png').write_text('no image')
    problems = find_problems(path, images)
    assert [p.rule for p in problems] == ['image-missing', 'image-size', 'image-size']
    assert '2 of the frames' in str(problems[0]) and 'v1/00010.png' in str(problems[0])
    assert '48 x 80' in str(problems[1]) and 'video 3, file_names[0]' in str(problems[1])
    assert 'v5/00005.png is no image' in str(problems[2])


@pytest.mark.parametrize('largest, warned', [(1020, True), (2**16 - 1, False)])
def test_frames_of_16_bits_that_use_few_of_them(gt, write, tiny_set, tmp_path, largest, warned):
    images = shutil.copytree(tiny_set / 'images', tmp_path / 'images')
    for frame in (images / 'v3').iterdir():
        height, width = cv2.imread(str(frame)).shape[:2]
        pixels = np.linspace(0, largest, height * width).reshape(height, width).astype(np.uint16)
        cv2.imwrite(str(frame), pixels)
    problems = find_problems(write(gt), images, decode_images=True)
    assert [(p.rule, p.record, p.severity) for p in problems] == [('image-16-bit', 'video 3', 'warning')] * warned


def test_a_name_that_is_too_long_for_a_file_is_a_missing_frame(gt, write, tiny_set):
    gt['videos'][0]['file_names'][1] = 'a' * 300 + '.png'
    (problem,) = [p for p in find_problems(write(gt), tiny_set / 'images') if p.severity == 'error']
    assert problem.rule == 'image-missing' and '1 of the frames' in problem.found


def test_summary_counts(gt, write):
    counts = summarize(load_ytvis(write(gt)))
    assert {k: counts[k] for k in ('videos', 'frames', 'instances', 'categories', 'crowd', 'masks')} == dict(
        videos=4, frames=20, instances=5, categories=3, crowd=1, masks=6 + 3 + 2 + 1 + 2
    )
    assert counts['null_share'] == pytest.approx(1 - 14 / 30)
    assert counts['per_category'] == {'dog (2)': 2, 'bird (3)': 2, 'cat (7)': 1}


def test_masks_decode_alike_in_every_encoding(gt):
    height, width = gt['videos'][0]['height'], gt['videos'][0]['width']
    for annotation in gt['annotations']:
        for mask, area in zip(annotation['segmentations'], annotation['areas'], strict=True):
            assert decode_mask(mask, height, width).sum() == (area or 0)


def test_frames_that_two_videos_list_are_warned_of(gt, write):
    first, second = gt['videos'][:2]
    first['file_names'][0] = './' + second['file_names'][-1].replace('/', '\\')  # the same file
    found = [problem for problem in find_problems(write(gt)) if problem.rule == 'frames-shared']
    assert len(found) == 1 and found[0].severity == 'warning' and found[0].record == f'video {second["id"]}'
    assert f'1 of its {len(second["file_names"])} frames are in video {first["id"]} too' in str(found[0])


def test_backslashes_are_folders_to_the_checker_and_to_the_loader(gt, write, tiny_set):
    names = [video['file_names'] for video in gt['videos']]
    for video in gt['videos']:
        video['file_names'] = [name.replace('/', '\\') for name in video['file_names']]
    windows = any('\\' in name for video in gt['videos'] for name in video['file_names'])
    found = find_problems(write(gt), tiny_set / 'images')
    assert windows and {problem.rule for problem in found} == {'backslashes'}
    assert [video['file_names'] for video in load_ytvis(write(gt))['videos']] == names


def test_whole_floats_are_numbers_to_checker_loader_and_evaluation(gt, write):
    from maskprop.evaluation import load_ground_truth

    sound = load_ytvis(write(gt))
    for key, fields in (('videos', ('id', 'width', 'height')), ('categories', ('id',)), ('annotations', IDS)):
        for record in gt[key]:
            record.update({field: float(record[field]) for field in fields})
    path = write(gt)
    assert [problem for problem in find_problems(path) if problem.severity == 'error'] == []
    assert repr(load_ytvis(path)) == repr(sound) and load_ground_truth(path).videos


IDS = ('id', 'video_id', 'category_id')


def test_the_docs_list_every_rule():
    docs = (Path(__file__).parents[2] / 'docs/data.md').read_text()
    rules = {rule for rule, *_ in ERRORS + WARNINGS} | {
        SPARSE,
        'frame-twice',
        'frame-order',
        'frames-shared',
        'backslashes',
        'other-format',
        'json',
        'image-missing',
        'image-size',
        'image-damaged',
        'image-16-bit',
    }
    assert [rule for rule in sorted(rules) if f'`{rule}`' not in docs] == []
    source = (Path(__file__).parents[2] / 'maskprop/datasets/ytvis_checks.py').read_text()
    assert set(re.findall(r"self\.add\('([a-z-]+)'", source)) <= rules  # and each is tested


def test_reading_needs_no_deep_learning_library():
    code = (
        'import sys, maskprop.datasets.ytvis_json; '
        "sys.exit(bool({'torch', 'mmengine', 'mmcv', 'mmdet', 'cv2'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, '-c', code], cwd=Path(__file__).parents[2]).returncode == 0


def test_the_checker_prints_a_class_in_one_line(gt, write, monkeypatch, capsys):
    tool = Path(__file__).parents[2] / 'tools/check_dataset.py'
    monkeypatch.setattr(sys, 'argv', [str(tool), str(write(broken(gt, 'categories.0.name', 'a\nb\r')))])
    runpy.run_path(str(tool), run_name='__main__')
    assert re.search(r'^  a b  \(7\): \d+$', capsys.readouterr().out, re.MULTILINE)


@pytest.mark.skipif(not (SHARED / 'davis16_vis').is_dir(), reason='needs the set ../shared/davis16_vis')
def test_davis16_vis_has_no_problem():
    root = SHARED / 'davis16_vis'
    assert find_problems(root / 'annotations/all.json', root / 'JPEGImages') == []


@pytest.mark.skipif(not (SHARED / 'ytvis_eval_goldens').is_dir(), reason='needs ../shared/ytvis_eval_goldens')
def test_the_evaluation_goldens_load():
    paths = sorted((SHARED / 'ytvis_eval_goldens').glob('case_*/gt.json'))
    assert paths
    for path in paths:
        assert load_ytvis(path)['annotations']
