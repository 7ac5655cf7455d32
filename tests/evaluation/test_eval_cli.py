"""tools/eval_results.py end to end: in this process, and once as a command."""

from __future__ import annotations

import contextlib
import io
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
from eval_cases import random_case

from maskprop.datasets.ytvis_json import subsample_frames
from maskprop.evaluation import (
    METRIC_NAMES,
    evaluate_stability,
    evaluate_tracks,
    evaluate_video_ap,
    write_results,
    write_submission,
)

ROOT = Path(__file__).parents[2]


def run(*arguments: object) -> subprocess.CompletedProcess:
    """Run the script in this process: numba's kernels are loaded once."""
    argv = [str(ROOT / 'tools/eval_results.py'), *map(str, arguments)]
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, 'argv', argv),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            runpy.run_path(argv[0], run_name='__main__')
            status = 0
        except SystemExit as end:
            status = end.code
    return subprocess.CompletedProcess(argv, status, out.getvalue(), err.getvalue())


def run_command(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, *map(str, arguments)]
    env = {**os.environ, 'PYTHONPATH': str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env, timeout=300)


@pytest.fixture(scope='module')
def files(tmp_path_factory) -> tuple[Path, Path, dict, list[dict]]:
    folder = tmp_path_factory.mktemp('eval')
    gt, results = random_case(8)
    (folder / 'gt.json').write_text(json.dumps(gt))
    write_results(folder / 'results.json', results)
    return folder / 'gt.json', folder / 'results.json', gt, results


@pytest.mark.slow
def test_table_and_metrics_file(files, tmp_path):
    gt_file, results_file, gt, results = files
    done = run(gt_file, results_file, '--out', tmp_path / 'm.json')
    assert done.returncode == 0, done.stderr
    expected, stability = evaluate_video_ap(gt, results), evaluate_stability(gt, results)
    assert done.stdout.rstrip() == f'{expected.table()}\n\n{stability.table()}'
    written = json.loads((tmp_path / 'm.json').read_text())
    assert list(written) == [*METRIC_NAMES, 'per_category', 'category_names', 'stability']
    assert written.pop('stability') == stability.to_dict()
    names = {str(category['id']): category['name'] for category in gt['categories']}
    assert written == {
        **expected.metrics,
        'per_category': {str(k): v for k, v in expected.per_category.items()},
        'category_names': names,
    }


def test_metrics(files, tmp_path):
    gt_file, results_file, gt, results = files
    ap, tracks = evaluate_video_ap(gt, results), evaluate_tracks(gt, results)
    for names, tables, keys in (
        (['video_ap'], [ap.table()], list(ap.to_dict())),
        (['identity', 'hota', 'clear'], [tracks.table()], ['hota', 'clear', 'identity']),
        (['hota', 'video_ap'], [ap.table(), tracks.table().split('\n\n')[0]], [*ap.to_dict(), 'hota']),
    ):
        done = run(gt_file, results_file, '--metrics', *names, '--out', tmp_path / 'm.json')
        assert done.returncode == 0, done.stderr
        assert done.stdout.rstrip() == '\n\n'.join(tables)
        written = json.loads((tmp_path / 'm.json').read_text())
        assert list(written) == keys
        assert written.items() <= {**ap.to_dict(), **tracks.to_dict()}.items()


def test_min_score(files, tmp_path):
    gt_file, results_file, gt, results = files
    options = ('--min-score', 0.6, '--metrics', 'stability', 'clear', '--out', tmp_path / 'm.json')
    done = run(gt_file, results_file, *options)
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / 'm.json').read_text())
    expected = evaluate_stability(gt, results, min_score=0.6)
    assert written['stability'] == expected.to_dict()
    assert written['clear'] == evaluate_tracks(gt, results, ['clear'], min_score=0.6).to_dict()['clear']
    assert written['stability']['num_predictions'] == written['clear']['num_predictions']
    assert expected.num_predictions < evaluate_stability(gt, results).num_predictions


def test_unknown_categories_are_refused_unless_dropped(files, tmp_path):
    gt_file, _, gt, results = files
    write_results(tmp_path / 'r.json', [*results, {**results[0], 'category_id': 77}])
    done = run(gt_file, tmp_path / 'r.json')
    assert done.returncode == 1 and done.stderr.count('\n') == 1
    assert f'{gt_file} does not list: 77 (1). ' in done.stderr and '--drop-unknown' in done.stderr
    with pytest.warns(UserWarning, match=r'left out: 77 \(1\)'):
        done = run(gt_file, tmp_path / 'r.json', '--drop-unknown', '--metrics', 'video_ap')
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip() == evaluate_video_ap(gt, results).table()


@pytest.mark.slow
def test_class_agnostic(files, tmp_path):
    gt_file, results_file, gt, results = files
    done = run(gt_file, results_file, '--class-agnostic', '--out', tmp_path / 'm.json')
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / 'm.json').read_text())
    expected = evaluate_video_ap(gt, results, class_agnostic=True)
    assert written.pop('stability') == evaluate_stability(gt, results, class_agnostic=True).to_dict()
    assert written == {**expected.metrics, 'per_category': {}, 'category_names': {}}
    assert written['AP'] != evaluate_video_ap(gt, results)['AP']


@pytest.mark.slow
def test_frame_stride_on_a_submission_zip(files, tmp_path):
    gt_file, _, gt, results = files
    kept = [{**r, 'segmentations': r['segmentations'][::2]} for r in results]
    write_submission(tmp_path / 's.zip', kept)
    done = run(gt_file, tmp_path / 's.zip', '--frame-stride', 2, '--out', tmp_path / 'm.json')
    assert done.returncode == 0, done.stderr
    expected = evaluate_video_ap(subsample_frames(gt, 2), kept).metrics
    assert {name: json.loads((tmp_path / 'm.json').read_text())[name] for name in METRIC_NAMES} == expected


@pytest.mark.parametrize('value', ['nan', 'inf', '-0.1', '5', 'x'])
def test_bad_min_score_is_told(files, value):
    done = run(files[0], files[1], '--min-score', value)
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.endswith(f': {value}: expected a number from 0 to 1\n')


@pytest.mark.slow
def test_needs_neither_torch_nor_mmengine(files):
    code = (
        'import sys\n'
        'for name in ("torch", "mmengine", "mmdet", "mmcv", "cv2"): sys.modules[name] = None\n'
        'import runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name="__main__")'
    )
    done = run_command('-c', code, 'tools/eval_results.py', files[0], files[1], '--frame-stride', 1)
    assert done.returncode == 0, done.stderr
    assert 'Video AP' in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    'gt_text, results_text, message',
    [
        ('{', '[]', 'gt.json: not valid JSON'),
        (None, '[]', 'results.json: the list of results is empty'),
        (None, '[{"video_id": 99}]', 'results.json: results[0] (video 99): "video_id": '),
        ('{"videos": [], "categories": [], "annotations": null}', '[]', 'gt.json: no annotations'),
    ],
)
def test_bad_input_is_one_line_and_status_1(files, tmp_path, gt_text, results_text, message):
    (tmp_path / 'gt.json').write_text(files[0].read_text() if gt_text is None else gt_text)
    (tmp_path / 'results.json').write_text(results_text)
    done = run(tmp_path / 'gt.json', tmp_path / 'results.json', '--out', tmp_path / 'm.json')
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.count('\n') == 1 and f'error: {tmp_path}/{message}' in done.stderr
    assert not (tmp_path / 'm.json').exists()
