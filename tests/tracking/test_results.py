"""Labels and scores of a whole video, by hand."""

import pytest

from maskprop.tracking.results import FrameResult, VideoInstances

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
