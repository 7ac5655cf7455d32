"""tools/eval_results.py --check: every fault in one line, against a set without annotations."""

from __future__ import annotations

import copy
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from eval_cases import encode, random_case
from test_eval_cli import run

from maskprop.evaluation import write_results, write_submission
from maskprop.evaluation.detections import MAX_DETS


@pytest.fixture
def case(tmp_path) -> tuple[Path, list[dict]]:
    """A set without annotations, and results of every video that can be uploaded."""
    gt, results = random_case(8, num_videos=5)
    gt['annotations'] = None
    (tmp_path / 'set.json').write_text(json.dumps(gt))
    for video in gt['videos']:
        mask = encode(np.ones((video['height'], video['width'])))
        masks = [mask] * video['length']
        results.append(dict(video_id=video['id'], category_id=4, score=0.5, segmentations=masks))
    return tmp_path / 'set.json', copy.deepcopy(results)


def check(case: tuple[Path, list[dict]], *options: object, name: str = 's.zip'):
    """Status, lines of stderr and of stdout."""
    path = case[0].with_name(name)
    (write_submission if name.endswith('.zip') else write_results)(path, case[1])
    done = run(case[0], path, '--check', *options)
    return done.returncode, done.stderr.splitlines(), done.stdout.splitlines()


def test_a_good_zip_can_be_uploaded(case):
    status, errors, out = check(case)
    assert status == 0 and len(out) == 1
    assert not [line for line in errors if not line.endswith('have no pixel in any frame')]
    number = len(case[1])
    assert re.search(rf's.zip can be uploaded: {number} results, 3 of 3 classes, 5 of 5 videos, 0\.0 MiB$', out[0])


def test_ids_and_class_names_do_not_matter(case):
    for number, result in enumerate(case[1]):
        result.update(track_id=number, category_name='狗')
    status, _, out = check(case)
    assert status == 0 and 's.zip can be uploaded' in out[0]


def test_a_json_file_must_be_zipped_first(case):
    _, _, out = check(case, name='results.json')
    assert (
        'results.json can be uploaded once it is zipped (python -m zipfile -c submission.zip results.json)'
        in out[0]
    )
    assert 'once it is named results.json and zipped' in check(case, name='mine.json')[2][0]


FAULTS = {
    'length': (lambda r: r['segmentations'].append(None), r'"segmentations": \d+ entries, but video'),
    'size': (lambda r: r['segmentations'].__setitem__(0, dict(size=[1, 999], counts='0')), 'mask size .1, 999'),
    'string': (lambda r: r['segmentations'].__setitem__(0, {**r['segmentations'][0], 'counts': ' '}), 'RLE holds'),
    'score': (lambda r: r.__setitem__('score', float('nan')), '"score": found nan'),
    'score missing': (lambda r: r.pop('score'), '"score": is missing'),
    'video': (lambda r: r.__setitem__('video_id', 999), 'has no video 999'),
    'class': (lambda r: r.__setitem__('category_id', 77), r'results of categories .* list: 77 \(1\)'),
}  # fmt: skip


@pytest.mark.parametrize('name', FAULTS)
def test_a_fault_is_one_line(case, name):
    change, message = FAULTS[name]
    extra = copy.deepcopy(case[1][-1])
    change(extra)
    case[1].append(extra)
    status, errors, out = check(case)
    errors = [line for line in errors if line.startswith('error: ')]
    assert status == 1 and len(errors) == 1 and re.search(message, errors[0])
    assert out == [f'{case[0].with_name("s.zip")} cannot be uploaded: 1 fault']


def test_every_fault_is_told_of_one_record_each(case):
    for change, _ in FAULTS.values():
        extra = copy.deepcopy(case[1][-1])
        change(extra)
        case[1].extend([extra, case[1][-1]])
    status, errors, out = check(case)
    assert status == 1 and out[0].endswith(f'{len(FAULTS)} faults')
    for _, message in FAULTS.values():
        assert sum(bool(re.search(message, line)) for line in errors) == 1
    case[1].extend([7] * 50)
    errors = check(case)[1]
    assert len([line for line in errors if line.startswith('error')]) == 21
    assert errors[20] == f'error: and {len(FAULTS) + 50 - 20} more'


def test_unknown_classes_may_be_dropped(case):
    case[1].append({**case[1][-1], 'category_id': 77})
    status, errors, _ = check(case, '--drop-unknown')
    assert status == 0 and sum('unknown categories do not count: 77 (1)' in line for line in errors) == 1


def test_every_video_is_looked_for(case):
    gone = case[1].pop()['video_id']
    case[1][:] = [record for record in case[1] if record['video_id'] != gone]
    status, errors, _ = check(case)
    assert status == 1 and f'no results of 1 of the 5 videos (ids {gone}). Was the whole set tested?' in errors[0]
    status, errors, out = check(case, '--allow-missing')
    assert status == 0 and errors[0].startswith('warning: ') and '4 of 5 videos' in out[0]


def test_results_that_do_not_count_are_a_warning(case):
    case[1].extend([case[1][-1]] * (MAX_DETS + 2))
    status, errors, _ = check(case)
    assert status == 0 and any(f'only the {MAX_DETS} best of a video and category do' in line for line in errors)


def test_size_of_the_file(case):
    status, errors, _ = check(case, '--max-size', '0.000001')
    assert status == 1 and 'more than the 1e-06 MiB that may be uploaded' in errors[0]
    assert check(case, '--max-size', 1)[0] == 0


def test_name_in_the_zip(case):
    path = case[0].with_name('s.zip')
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('folder/results.json', '[]')
    done = run(case[0], path, '--check')
    assert done.returncode == 1 and 'no results.json at its root' in done.stderr and done.stderr.count('\n') == 1


@pytest.mark.parametrize('options', [['--check'], []])
def test_an_object_in_place_of_the_list_is_one_short_line(case, options):
    path = case[0].with_name('r.json')
    content = {
        'videos': [{'id': i, 'masks': ['x' * 99] * 9} for i in range(99)],
        'categories': [],
        'annotations': [],
    }
    path.write_text(json.dumps(content))
    truth = case[0]
    if not options:
        truth = case[0].with_name('gt.json')
        truth.write_text(json.dumps(random_case(8)[0]))
    done = run(truth, path, *options)
    assert done.returncode == 1 and done.stderr.count('\n') == 1 and len(done.stderr) < 140 + len(str(path))
    assert 'found an object with "videos", "categories", "annotations". Results must be a list' in done.stderr


@pytest.mark.parametrize('text', ['[]', '7', '{}', '[{'])
def test_what_are_no_results_is_one_line(case, text):
    path = case[0].with_name('r.json')
    path.write_text(text)
    done = run(case[0], path, '--check')
    assert done.returncode == 1 and done.stderr.count('\n') == 1 and 'cannot be uploaded: 1 fault' in done.stdout
    done = run(case[0], case[0].with_name('none.json'), '--check')
    assert done.returncode == 1 and 'no such file' in done.stderr
