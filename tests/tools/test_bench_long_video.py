"""tools/benchmarks/long_video.py: the scene, the cut, what a row holds, and that a run that differs is refused."""

from __future__ import annotations

import argparse
import copy
import json
import shutil
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from maskprop.apis import VideoSession

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tools/benchmarks'))
import common  # noqa: E402
import long_video  # noqa: E402
from moving_scene import Film, Scene  # noqa: E402
from stream_recorder import Recorder, check_same  # noqa: E402

pytestmark = pytest.mark.slow

SIZE = (64, 96)
RADIUS = 2


@pytest.fixture(scope='module')
def player(tmp_path_factory):
    model = long_video.build('demo', SIZE, None, 'cpu')
    model.stream = replace(model.stream, clip_radius=RADIUS)
    player = long_video.Player(model, SIZE, inject=True)
    player.film = Film(tmp_path_factory.mktemp('film') / 'film.mp4', player.scene, 40)
    return player


def test_objects_come_and_go_and_one_stays():
    scene = Scene(SIZE, 3)
    seen: dict[int, list[int]] = {}
    for frame in range(64):
        assert np.array_equal(scene.image(frame), scene.image(frame)) and scene.image(frame).shape == (*SIZE, 3)
        for found in scene.objects(frame):
            x1, y1, x2, y2 = found.box
            assert 0 <= x1 < x2 <= SIZE[1] and 0 <= y1 < y2 <= SIZE[0] and 0 <= found.label < 3
            seen.setdefault(found.number, []).append(frame)
    assert len(seen) > 25 and seen.pop(0) == list(range(64))
    for frames in seen.values():
        assert frames == list(range(frames[0], frames[-1] + 1)) and len(frames) <= 13
    assert max(map(len, seen.values())) == 13


def test_a_film_is_read_in_any_order(player):
    film, order = player.film, (0, 1, 1, 5, 4, 39, 0)
    seen = {}
    for frame in order:
        image = film.image(frame).copy()
        assert image.shape == (*SIZE, 3) and np.array_equal(image, seen.setdefault(frame, image))
        assert np.abs(image.astype(int) - player.scene.image(frame)).mean() < 20
    assert not np.array_equal(seen[4], seen[5])


def test_a_row_has_the_counts_and_the_parts_of_a_cut(player):
    row = long_video.measure(copy.copy(player), frames=40, extra=3)
    assert row['frames'] == 40 and row['compared'] == long_video.INTERIOR
    assert row['ids'] == row['records'] > 12  # objects that followed each other in a lane have ids of their own
    assert 0 <= row['largest_difference'] <= 1e-5
    assert row['peak_mib'] >= row['before_mib'] > 0
    assert all(row[key] > 0 for key in ('frame_s', 'first_s', 'last_s', 'late_to_fresh', 'writing_s'))


def record(player, frames: range, interior: range) -> Recorder:
    session = VideoSession(player.model)
    recorder = Recorder(session.stream, interior, frames.start)
    for frame in frames:
        player.step(session, frame, recorder)
    recorder.take(session.finish())
    return recorder


def test_frames_2t_from_a_cut_are_those_of_the_neighbourhood_alone_and_nearer_ones_are_not(player):
    delay = 2 * RADIUS
    whole = record(player, range(30), range(30))
    interior = range(10 + delay, 24 - delay)
    alone = record(player, range(10, 24), interior)
    whole.frames = interior
    assert check_same(whole, alone) <= 1e-5
    one = alone.records[interior.start]
    assert len(one['detections']) == len(one['labels']) == len(one['scores']) > 3
    assert one['tracks'].shape[0] == 2 * RADIUS + 1 and one['scores'].shape[1] > 4 * 3  # of the 2 T clips before
    for nearer in (range(10 + delay - 1, 11 + delay), range(10 + 1, 12)):
        whole.frames = nearer
        with pytest.raises(common.BenchmarkError, match='differ'):
            check_same(whole, record(player, range(10, 24), nearer))


@pytest.mark.parametrize('name', ['tracks', 'scores', 'labels', 'detections', 'clip'])
def test_what_differs_is_refused(player, name):
    whole, alone = (record(player, range(8), range(4, 5)) for _ in range(2))
    assert check_same(whole, alone) == 0
    changed = alone.records[4]
    if name in ('tracks', 'scores'):
        changed[name] = changed[name] + 1e-4
    elif name == 'clip':
        changed[name] = range(99)
    else:
        changed[name] = changed[name][1:]
    with pytest.raises(common.BenchmarkError, match=f'frame 4: {name} differ'):
        check_same(whole, alone)
    changed['scores'] = None
    with pytest.raises(common.BenchmarkError):
        check_same(whole, alone)


def test_a_linker_that_looks_too_far_is_refused(player, monkeypatch):
    """Scores that depend on how long the video has run."""
    start_video = player.model.start_video

    def with_drift():
        stream = start_video()
        match = stream.linker._match_scores
        stream.linker._match_scores = lambda clips: match(clips) * (1 + 1e-3 * stream._centre)
        return stream

    monkeypatch.setattr(player.model, 'start_video', with_drift)
    with pytest.raises(common.BenchmarkError, match='scores differ'):
        long_video.measure(copy.copy(player), frames=30, extra=0)


def test_r50_is_built_with_its_own_classes(monkeypatch):
    asked = {}
    monkeypatch.setattr(long_video, 'init_model', lambda cfg, *rest: asked.update(cfg=cfg) or torch.nn.Identity())
    long_video.build('r50', (192, 320), None, 'cpu')
    model = asked['cfg'].model
    assert model.detector.backbone.depth == 50 and model.clip_radius == 6
    assert len(asked['cfg'].metainfo['classes']) == model.detector.roi_head.bbox_head.num_classes == 40


def test_script_runs_the_longest_first_two_at_once_and_writes_rows_in_order(monkeypatch, tmp_path, capsys):
    started, both = [], threading.Barrier(2, timeout=10)

    def in_a_process(args: argparse.Namespace, name: str, frames: int) -> dict:
        started.append(frames)
        if len(started) <= 2:
            both.wait()
        row = dict(model=name, size=[64, 96], frames=frames, ids=frames // 2, records=frames // 2, before_mib=100)
        row.update(peak_mib=200 + frames, frame_s=0.02, first_s=0.02, last_s=0.02, writing_s=0.1)
        return dict(row, late_to_fresh=1.0 if name == 'demo' else None, compared=8, largest_difference=1e-7)

    monkeypatch.setattr(long_video, 'in_a_process', in_a_process)
    words = ['--frames', '100', '200', '400', '--at-once', '2', '--json', str(tmp_path / 'rows.json')]
    monkeypatch.setattr(sys, 'argv', ['tools/benchmarks/long_video.py', *words])
    long_video.main()
    assert set(started[:2]) == {200, 400}
    rows = json.loads((tmp_path / 'rows.json').read_text())['rows']
    assert [(row['model'], row['frames']) for row in rows] == [
        ('demo', 100),
        ('demo', 200),
        ('demo', 400),
        ('r50', 100),
    ]
    text = capsys.readouterr().out
    assert '400 frames against 100: peak memory 2.00x, time per frame 1.00x.' in text
    assert '32 frames compared' in text


@pytest.mark.xdist_group('memory')
def test_a_process_gives_a_row_and_a_failure_is_told(monkeypatch):
    sizes = dict(size=[32, 64], r50_size=[64, 64])
    args = argparse.Namespace(checkpoint=None, threads=1, device='cpu', turns=0, **sizes)
    row = long_video.in_a_process(args, 'demo', 33)
    assert (row['model'], row['size'], row['frames'], row['compared']) == ('demo', [32, 64], 33, 8)
    monkeypatch.setattr(sys, 'executable', shutil.which('false'))
    with pytest.raises(common.BenchmarkError, match='demo, 33 frames: the process failed'):
        long_video.in_a_process(args, 'demo', 33)


def test_after_a_failure_no_further_process_begins(monkeypatch):
    started = []

    def in_a_process(args: argparse.Namespace, name: str, frames: int) -> dict:
        started.append(frames)
        time.sleep(0.01)
        raise common.BenchmarkError(f'{name}: the process failed')

    monkeypatch.setattr(long_video, 'in_a_process', in_a_process)
    with pytest.raises(common.BenchmarkError, match='the process failed'):
        long_video.run_all(argparse.Namespace(at_once=1), [('demo', frames) for frames in range(1000)])
    assert len(started) < 500


def test_a_video_too_short_to_be_cut_is_refused(player):
    with pytest.raises(SystemExit, match='15 frames cannot be cut: take 16 or more'):
        long_video.measure(copy.copy(player), frames=15)
