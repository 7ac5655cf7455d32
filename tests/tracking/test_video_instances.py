"""Labels and scores of a whole video, by hand."""

import tracemalloc

import numpy as np
import pytest

from maskprop.tracking import video_instances
from maskprop.tracking.video_instances import FrameResult, VideoInstances

MASK = {'size': [1, 1], 'counts': ''}


def record(frames, **keys):
    """Of [(id, label, score, filled), ...] per frame."""
    instances = VideoInstances(**keys)
    for t, found in enumerate(frames):
        result = FrameResult(t)
        for track_id, label, score, filled in found:
            result.add(track_id, label, score, MASK, filled)
            if not filled:
                instances.add_scores(track_id, {label: score})
        instances.add_frame(result)
    return instances.to_results(5, [10, 20, 30])


def test_majority_takes_the_most_frequent_label_and_the_mean_over_all_frames():
    """Frames without the id don't count; filled ones do, for both."""
    frames = [[(1, 0, 0.9, False)], [(1, 1, 0.3, False)], [], [(1, 1, 0.6, True)]]
    (found,) = record(frames, score_rule='majority')
    assert found['category_id'] == 20
    assert found['score'] == pytest.approx(0.6)
    assert [mask is not None for mask in found['segmentations']] == [True, True, False, True]


def test_of_equally_frequent_labels_the_better_scored_wins():
    for first, second, expected in ((0.9, 0.4, 10), (0.4, 0.9, 20)):
        frames = [[(1, 0, first, False)], [(1, 1, second, False)]]
        (found,) = record(frames, score_rule='majority')
        assert found['category_id'] == expected
        assert found['score'] == pytest.approx(0.65)


def test_an_id_that_comes_twice_in_a_frame_counts_once_by_its_best_score():
    (found,) = record([[(1, 0, 0.2, False), (1, 1, 0.8, False)]], score_rule='majority')
    assert (found['category_id'], found['score']) == (20, pytest.approx(0.8))


@pytest.mark.parametrize('rule', ['majority', 'with_category', 'all'])
def test_short_tracks_are_left_out(rule):
    frames = [
        [(1, 0, 0.9, False), (2, 1, 0.9, False), (3, 1, 0.9, False)],
        [(1, 0, 0.9, False), (3, 1, 0.5, True)],
    ]
    kept = {n: [r['track_id'] for r in record(frames, score_rule=rule, min_frames=n)] for n in (1, 2, 3)}
    assert kept == {1: [1, 2, 3], 2: [1, 3], 3: []}


def test_bad_rule_says_what_to_do():
    with pytest.raises(ValueError, match='majority'):
        VideoInstances('mean')


def random_frames(seed, frames=40, ids=6):
    """FrameResults with masks that differ, ids that come and go, at times twice in a frame."""
    rng = np.random.default_rng(seed)
    for t in range(frames):
        result = FrameResult(t)
        for track_id in rng.integers(1, ids + 1, rng.integers(0, 4)).tolist():
            mask = dict(size=[4, 5], counts='x' * int(rng.integers(1, 90)) + f'{t}')
            result.add(track_id, int(rng.integers(3)), float(rng.random()), mask)
        yield result


@pytest.mark.parametrize('rule', ['majority', 'with_category', 'all'])
def test_masks_come_back_from_the_file_as_they_were(rule, monkeypatch):
    """Results are the same whether the masks stay in memory or go to a file, and may be asked for at any time."""
    expected: dict[int, list] = {}
    found = []
    for limit in (video_instances.SPOOL_BYTES, 200):
        monkeypatch.setattr(video_instances, 'SPOOL_BYTES', limit)
        instances = VideoInstances(rule)
        for result in random_frames(3):
            best = {}
            for row in sorted(range(len(result.ids)), key=result.scores.__getitem__):
                best[result.ids[row]] = result.masks[row]
                instances.add_scores(result.ids[row], {result.labels[row]: result.scores[row]})
            for track_id, mask in best.items():
                expected.setdefault(track_id, [None] * 40)[result.frame_index] = mask
            instances.add_frame(result)
            instances.to_results(1, [1, 2, 3])
        assert instances._masks._file._rolled == (limit == 200)
        found.append(list(instances.iter_results(1, [1, 2, 3])))
        assert {r['track_id']: r['segmentations'] for r in found[-1]} == expected
    assert found[0] == found[1] == instances.to_results(1, [1, 2, 3])


@pytest.mark.xdist_group('memory')
def test_a_long_video_leaves_little_in_memory(monkeypatch):
    """Of every mask 32 bytes stay, whatever its own size."""
    monkeypatch.setattr(video_instances, 'SPOOL_BYTES', 1000)
    instances = VideoInstances()

    def add(frames):
        for t in frames:
            result = FrameResult(t)
            for track_id in range(8):
                result.add(track_id, 0, 0.5, dict(size=[720, 1280], counts=f'{t:05d}' * 100))
                instances.add_scores(track_id, {0: 0.5})
            instances.add_frame(result)

    add(range(50))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        add(range(50, 1050))
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 8 * 1000 * 60
