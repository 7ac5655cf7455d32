"""YTVISMetric: equal to the plain evaluation, however the videos are spread over the ranks."""

from __future__ import annotations

import json
import os
from pathlib import Path
from unittest import mock

import pytest
import torch.distributed as dist
from eval_cases import random_case
from mmdet.registry import METRICS
from mmengine.logging import MMLogger

import maskprop.ops  # noqa: F401  before anything imports mmcv.ops
from maskprop.datasets.ytvis_json import subsample_frames
from maskprop.evaluation import (
    EvalInputError,
    evaluate_stability,
    evaluate_tracks,
    evaluate_video_ap,
    read_results,
)
from maskprop.evaluation.metric import YTVISMetric
from tests.engine.ranks import run_ranks

ALL_METRICS = ('video_ap', 'stability', 'hota', 'clear', 'identity')


@pytest.fixture
def case(tmp_path) -> tuple[str, dict, list[dict]]:
    gt, results = random_case(8, num_videos=5)
    path = tmp_path / 'gt.json'
    path.write_text(json.dumps(gt))
    return str(path), gt, results


def samples(gt: dict, results: list[dict]) -> list[dict]:
    """One sample per video, in reverse file order."""
    return [
        {'video_id': v['id'], 'results': [r for r in results if r['video_id'] == v['id']]}
        for v in reversed(gt['videos'])
    ]


def test_equals_the_plain_evaluation(case):
    path, gt, results = case
    metric = METRICS.build({'type': 'YTVISMetric', 'ann_file': path})
    for found in (results, results[::2]):  # as in two validations of one training
        for sample in samples(gt, found):
            metric.process({}, [sample])
        assert metric.evaluate(size=1) == evaluate_video_ap(gt, found).metrics


@pytest.mark.parametrize('format_only', [True, False])
def test_a_data_set_that_does_not_fit_is_refused_before_inference(case, tmp_path, format_only):
    path, gt, _ = case
    out = dict(format_only=True, submission=str(tmp_path / 's.zip')) if format_only else {}
    videos = {v['id']: ((v['height'], v['width']), v['length']) for v in gt['videos']}
    metric = YTVISMetric(path, **out)
    metric.check_videos(videos)
    number, (size, length) = next(iter(videos.items()))
    for changed, message in (
        ({number: (size, length + 1)}, f'the data set uses {length + 1} of its frames, the metric {length}'),
        ({number: ((size[0] + 1, size[1]), length)}, f'{size[0] + 1} x {size[1]} in the data set'),
        ({10**6: (size, length)}, 'the data set has video 1000000, which is not in this file'),
    ):
        with pytest.raises(EvalInputError, match=message):
            metric.check_videos({**videos, **changed})
    strided = YTVISMetric(path, frame_stride=2, **out)
    strided.check_videos({video: (size, (length + 1) // 2) for video, (size, length) in videos.items()})


def test_stability_is_printed_and_kept_but_no_metric(case):
    path, gt, results = case
    for options in ({}, {'class_agnostic': True}, {'min_score': 0.6}):
        metric = YTVISMetric(path, **options)
        metric.process({}, samples(gt, results))
        printed = []
        with mock.patch.object(MMLogger.get_current_instance(), 'info', printed.append):
            assert 'stability' not in metric.evaluate(1)
        expected = evaluate_stability(gt, results, **options)
        assert printed[-1].endswith('\n\n' + expected.table())
        assert metric.last_result.to_dict()['stability'] == expected.to_dict()
    metric = YTVISMetric(path, metrics=['video_ap'])
    metric.process({}, samples(gt, results))
    metric.evaluate(1)
    assert metric.last_result.stability is None and 'stability' not in metric.last_result.to_dict()


def test_options(case, tmp_path):
    path, gt, results = case
    kept = [{**r, 'segmentations': r['segmentations'][::2]} for r in results]
    metric = YTVISMetric(
        path,
        frame_stride=2,
        class_agnostic=True,
        outfile_prefix=str(tmp_path / 'out' / 'r'),
        submission=str(tmp_path / 's.zip'),
        prefix='val',
    )
    metric.process({}, samples(gt, kept))
    expected = evaluate_video_ap(subsample_frames(gt, 2), kept, class_agnostic=True).metrics
    assert metric.evaluate(1) == {f'val/{name}': value for name, value in expected.items()}
    order = [v['id'] for v in gt['videos']]
    assert read_results(tmp_path / 'out' / 'r.json') == sorted(kept, key=lambda r: order.index(r['video_id']))
    assert read_results(tmp_path / 's.zip') == read_results(tmp_path / 'out' / 'r.json')


def test_nothing_found_is_zero_and_no_crash(case):
    path, gt, _ = case
    metric = YTVISMetric(path)
    metric.process({}, samples(gt, []))
    assert metric.evaluate(1)['AP'] == 0


def test_set_without_annotations(case, tmp_path):
    path, gt, results = case
    Path(path).write_text(json.dumps({**gt, 'annotations': None}))
    with pytest.raises(EvalInputError, match='no annotations.*format_only=True.*--submission'):
        YTVISMetric(path)
    metric = YTVISMetric(path, format_only=True, submission=str(tmp_path / 's.zip'))
    metric.process({}, samples(gt, results))
    assert metric.evaluate(1) == {}
    assert len(read_results(tmp_path / 's.zip')) == len(results)


def test_format_only_without_a_file(case):
    with pytest.raises(ValueError, match='give outfile_prefix or submission'):
        YTVISMetric(case[0], format_only=True)


def test_bad_options(case):
    with pytest.raises(ValueError, match='min_score is inf: expected a finite number'):
        YTVISMetric(case[0], min_score=float('inf'))
    with pytest.raises(ValueError, match=r"no key stability any more: set metrics, such as \['video_ap'\]"):
        YTVISMetric(case[0], stability=False)
    with pytest.raises(TypeError, match="unexpected keyword argument 'metric'"):
        YTVISMetric(case[0], metric=['hota'])
    for metrics, found in ((['HOTA', 'clear'], "'HOTA' among them"), ([], 'none')):
        with pytest.raises(ValueError, match=f'expected some of video_ap, .*identity; found {found}'):
            YTVISMetric(case[0], metrics=metrics)


def test_track_metrics_by_key(case):
    path, gt, results = case
    kinds = ['hota', 'clear', 'identity']
    metric = METRICS.build(dict(type='YTVISMetric', ann_file=path, metrics=[*kinds, 'video_ap']))
    metric.process({}, samples(gt, results))
    expected = evaluate_tracks(gt, results)
    found = metric.evaluate(1)
    assert found == {**evaluate_video_ap(gt, results).metrics, **expected.metrics()}
    assert {'HOTA', 'LocA', 'MOTSA', 'IDSW', 'IDF1'} <= set(found)
    assert metric.last_result.to_dict()['clear'] == expected.to_dict()['clear']
    only = YTVISMetric(path, metrics='identity')
    only.process({}, samples(gt, []))
    assert only.evaluate(1)['IDF1'] == 0 and list(only.last_result.to_dict()) == ['identity']


def test_video_of_another_set(case):
    metric = YTVISMetric(case[0])
    metric.process({}, [{'video_id': 12345, 'results': []}])
    with pytest.raises(EvalInputError, match='video 12345, which is not in this file'):
        metric.evaluate(1)


def _rank(folder: str, path: str, shares: list[list[list[dict]]]) -> None:
    rank = int(os.environ['RANK'])
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    for number, share in enumerate(shares):
        metric = YTVISMetric(path, outfile_prefix=f'{folder}/results_{number}', metrics=ALL_METRICS)
        metric.process({}, share[rank])
        outcome = metric.evaluate(size=1)
        Path(folder, f'metrics_{number}_{rank}.json').write_text(json.dumps(outcome))
        if rank == 0:
            Path(folder, f'all_{number}.json').write_text(json.dumps(metric.last_result.to_dict()))
    metric = YTVISMetric(path)
    metric.process({}, [{'video_id': 12345, 'results': []}] * rank)
    try:
        metric.evaluate(1)
    except EvalInputError:
        Path(folder, f'refused_{rank}').touch()
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.xdist_group('processes')
def test_two_ranks_equal_one(case, tmp_path):
    path, gt, results = case
    one = YTVISMetric(path, outfile_prefix=str(tmp_path / 'one'), metrics=ALL_METRICS)
    one.process({}, samples(gt, results))
    expected = one.evaluate(1)
    videos = samples(gt, results)
    shares = [[videos[:1], videos[1:]], [[], videos], [videos[::2], videos[1::2]]]
    run_ranks(_rank, str(tmp_path), path, shares, folder=tmp_path)
    for number in range(len(shares)):
        for rank in range(2):
            assert json.loads((tmp_path / f'metrics_{number}_{rank}.json').read_text()) == expected
        assert json.loads((tmp_path / f'all_{number}.json').read_text()) == one.last_result.to_dict()
        assert (tmp_path / f'results_{number}.json').read_bytes() == (tmp_path / 'one.json').read_bytes()
    assert (tmp_path / 'refused_0').exists() and (tmp_path / 'refused_1').exists()  # an error reaches every rank


def test_a_file_that_cannot_be_written_costs_neither_the_other_nor_the_scores(case, tmp_path):
    path, gt, results = case
    (tmp_path / 'r.json').mkdir()
    metric = YTVISMetric(path, outfile_prefix=str(tmp_path / 'r'), submission=str(tmp_path / 's.zip'))
    metric.process({}, samples(gt, results))
    with pytest.raises(OSError, match='r.json'):
        metric.evaluate(1)
    assert len(read_results(tmp_path / 's.zip')) == len(results)
    assert metric.last_result.video_ap.metrics == evaluate_video_ap(gt, results).metrics


@pytest.mark.parametrize('format_only', [False, True])
def test_results_that_no_file_takes_are_rescued(case, tmp_path, monkeypatch, format_only):
    path, gt, results = case
    (tmp_path / 'r.json').mkdir()
    (tmp_path / 's.zip').mkdir()
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    files = dict(outfile_prefix=str(tmp_path / 'r'), submission=str(tmp_path / 's.zip'))
    metric = YTVISMetric(path, format_only=format_only, **files)
    metric.process({}, samples(gt, results))
    with pytest.raises(OSError, match='The results are in .*/results.json') as error:
        metric.evaluate(1)
    assert len(read_results(str(error.value).rpartition(' ')[2])) == len(results)


def test_results_for_which_there_is_no_place_at_all(case, tmp_path, monkeypatch):
    path, gt, results = case
    metric = YTVISMetric(path, outfile_prefix=str(tmp_path / 'r'))
    metric.process({}, samples(gt, results))
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    monkeypatch.setattr('maskprop.evaluation.metric.write_results', refuse)
    with pytest.raises(OSError, match=r"r\.json'\. The results are lost, as .* \(No space left on device\)"):
        metric.evaluate(1)
    assert not list(tmp_path.glob('maskprop_*')) and metric.last_result is not None


def refuse(path, records):
    raise OSError(28, 'No space left on device', str(path))
