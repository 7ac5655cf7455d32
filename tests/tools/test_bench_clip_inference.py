"""tools/benchmarks/clip_inference.py at tiny size: equal detections on all sides, counts, profile, rows."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools/benchmarks'))

import clip_inference  # noqa: E402
from clip_inference import SIDES, Sides, make_models  # noqa: E402
from clip_profile import STAGES, count_waits, profile_stages  # noqa: E402
from common import BenchmarkError  # noqa: E402

pytestmark = pytest.mark.slow

SIZE = (60, 90)


@pytest.fixture(scope='module')
def models():
    return make_models('cpu')


def take(sides, frames):
    for _ in range(frames):
        for form in sides.forms.values():
            form()


def test_all_sides_give_the_same_detections_of_each_frame(models):
    for count in (2, 1):  # one after the other on the same models
        sides = Sides(models, count, SIZE)
        take(sides, 3)
        sides.check()
        assert {name: len(sides.records[name]) for name in SIDES} == dict.fromkeys(SIDES, 3)
        assert all(len(rles) == count and rles[0]['size'] == list(SIZE) for *_, rles in sides.records['mmdet'])


def test_clips_are_full_and_linked_when_timing_begins(models):
    sides = Sides(models, 2, SIZE)
    assert len(sides.stream._ring) == 12  # the next frame makes it 13
    assert len(sides.stream.linker._clips) >= 12
    frames = sides.stream._centre
    sides.maskprop()
    assert sides.stream._centre == frames + 1
    assert sides.stream.linker._next_id == 3  # two objects in all the video


@pytest.mark.parametrize('side', SIDES)
def test_another_number_of_detections_is_refused(models, side):
    sides = Sides(models, 2, SIZE)
    sides.injected[side].count = 1
    take(sides, 1)
    with pytest.raises(BenchmarkError, match=f'{side}.*1'):
        sides.check()


def test_other_boxes_and_other_masks_are_refused(models):
    sides = Sides(models, 2, SIZE)
    sides.injected['mmdet'].frame = 3
    take(sides, 1)
    with pytest.raises(BenchmarkError, match='mmdet, frame 0: boxes False'):
        sides.check()
    sides = Sides(models, 2, SIZE)
    take(sides, 1)
    sides.records['maskprop'][0][2][1]['counts'] += '0'
    with pytest.raises(BenchmarkError, match='maskprop, frame 0: boxes True, labels True, masks False'):
        sides.check()


def test_masks_that_change_in_the_stream_are_refused(models):
    sides = Sides(models, 2, SIZE)
    sides._kept[0] = sides._kept[0][:1]
    with pytest.raises(BenchmarkError, match='other masks than it had'):
        sides.maskprop()


def test_profile_has_every_stage_and_waits_are_counted(models):
    sides = Sides(models, 2, SIZE)
    found = profile_stages(sides.maskprop, 1)
    assert found.keys() == {'all', *STAGES}
    assert all(0 < found[stage] < found['all'] for stage in STAGES)
    assert count_waits(sides.maskprop)['nonzero'] > 0


def test_rows_are_written(tmp_path, models, monkeypatch, capsys):
    monkeypatch.setattr(clip_inference, 'make_models', lambda device: models)
    out = tmp_path / 'rows.json'
    size = [str(side) for side in SIZE]
    options = [
        '--instances',
        '1',
        '2',
        '--profile-at',
        '2',
        '--size',
        *size,
        '--runs',
        '2',
        '--threads',
        '1',
        '--at-once',
        '1',
        '2',
    ]
    clip_inference.main([*options, '--json', str(out)])
    rows = json.loads(out.read_text())['rows']['injected']
    assert [row['instances'] for row in rows] == [1, 2]
    assert all(len(row['seconds'][side]) == 2 for row in rows for side in SIDES)
    assert 'profile_ms' not in rows[0] and rows[1]['waits'].keys() == set(SIDES)
    assert '90x60' in capsys.readouterr().out
    one, two = json.loads(out.read_text())['rows']['at_once']
    assert (one['at_once'], two['at_once']) == (1, 2)
    for side in SIDES[:2]:
        assert one['operators'][side]['all'] < two['operators'][side]['all'] < 1.5 * one['operators'][side]['all']
        assert one['operators'][side]['backbone and FPN'] == two['operators'][side]['backbone and FPN'] > 100


def test_options_of_the_trained_model_belong_together(capsys):
    with pytest.raises(SystemExit):
        clip_inference.main(['--config', 'some.py'])
    assert 'belong together' in capsys.readouterr().err
