"""Ids that a linker decides at the end of a video: tracks joined in frame order, class sums added."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pycocotools.mask as mask_utils
import pytest
from mmdet.registry import TASK_UTILS

from maskprop.structures import FrameResult
from maskprop.tracking.video_instances import VideoInstances
from tests.models.builders import build_model, known_frame, make_detections

TRACKLET = 3  # frames


@TASK_UTILS.register_module()
class TrackletLinker:
    """Ids by box IoU that begin anew every ``TRACKLET`` frames; at the end tracklets of one place are joined."""

    needs_clips = False
    needs = ()

    def __init__(self, decides_late: bool = True) -> None:
        self._linker = TASK_UTILS.build(dict(type='BoxIoULinker', threshold=0.1))
        self._frame = 0
        self._objects: dict[int, int] = {}  # provisional id -> object
        if decides_late:
            self.finish = self._finish

    def link(self, frame) -> list[int]:
        objects = self._linker.link(frame)
        ids = [track + 100 * (self._frame // TRACKLET) for track in objects]
        self._objects.update(zip(ids, objects, strict=True))
        self._frame += 1
        return ids

    def _finish(self) -> dict[int, int]:
        return {track: final for track, final in self._objects.items() if track != final}


def results_of(linker: dict, length: int = 8, **overrides):
    model = build_model(merge_iou=None).eval()
    stream = model.start_video(linker=linker, **overrides)
    frames = [known_frame(model, make_detections(2, seed=4)) for _ in range(length)]
    results = [result for frame in frames for result in stream.push(frame)] + stream.finish()
    return results, stream.video_instances().to_results(1, [1, 2, 3])


@pytest.mark.parametrize('rule', ['all', 'with_category', 'majority'])
def test_joined_tracks_are_those_of_a_linker_that_knew_at_once(rule):
    late, joined = results_of(dict(type='TrackletLinker'), score_rule=rule, min_frames=5)
    early, expected = results_of(dict(type='BoxIoULinker', threshold=0.1), score_rule=rule, min_frames=5)
    _, pieces = results_of(dict(type='TrackletLinker', decides_late=False), score_rule=rule)
    assert len(expected) == 2 and len(pieces) == 6
    assert len(joined) == len(expected)
    for ours, theirs in zip(joined, expected, strict=True):
        assert ours.pop('score') == pytest.approx(theirs.pop('score'), abs=1e-12)
        assert ours == theirs
    assert [r.ids for r in late[:3]] == [[1, 2]] * 3 and late[3].ids == [101, 102]
    assert all(r.provisional for r in late) and not any(r.provisional for r in early)


def rle(column: int) -> dict:
    mask = np.zeros((8, 8), dtype=np.uint8, order='F')
    mask[:, column] = 1
    return mask_utils.encode(mask)


def video(*frames: list[tuple[int, int, float, int]]) -> VideoInstances:
    """Of (id, label, score, column) for each instance of each frame."""
    instances = VideoInstances('all')
    for index, frame in enumerate(frames):
        result = FrameResult(index, provisional=True)
        for track, label, score, column in frame:
            result.add(track, label, score, rle(column))
            instances.add_scores(track, {label: score})
        instances.add_frame(result)
    return instances


def test_of_a_frame_that_two_joined_tracks_are_in_the_better_mask_stays():
    instances = video([(1, 0, 0.5, 0), (2, 0, 0.9, 1)], [(2, 0, 0.4, 2)], [(1, 1, 0.3, 3)])
    instances.rename({2: 1})
    first, second = instances.to_results(1, [10, 20])
    assert first['track_id'] == second['track_id'] == 1
    assert first['segmentations'] == [rle(1), rle(2), rle(3)]  # in frame order
    assert (first['category_id'], second['category_id']) == (10, 20)
    assert first['score'] == pytest.approx((0.5 + 0.9 + 0.4) / 4) and second['score'] == pytest.approx(0.3 / 4)


def test_names_may_be_exchanged_and_unknown_ones_are_left_alone():
    instances = video([(1, 0, 0.5, 0), (2, 1, 0.9, 1), (3, 2, 0.2, 2)])
    instances.rename({1: 2, 2: 1, 77: 3})
    found = {r['track_id']: (r['category_id'], r['segmentations']) for r in instances.to_results(1, [10, 20, 30])}
    assert found == {2: (10, [rle(0)]), 1: (20, [rle(1)]), 3: (30, [rle(2)])}


def test_no_mask_is_read_to_join(monkeypatch):
    instances = video(*[[(t % 5, 0, 0.5, t % 8)] for t in range(50)])
    monkeypatch.setattr(type(instances._masks), '__getitem__', lambda *_: pytest.fail('a mask was read'))
    instances.rename(dict.fromkeys(range(5), 1))
    assert list(instances._tracks[1].frames) == list(range(50))


def test_memory_does_not_grow_with_the_masks():
    """A thousand frames of masks of 20 KB: the video keeps places in a file."""
    noise = np.random.default_rng(0).integers(0, 2, (300, 300), dtype=np.uint8)
    large = mask_utils.encode(np.asfortranarray(noise))
    instances = VideoInstances()
    tracemalloc.start()
    for index in range(1500):
        result = FrameResult(index)
        result.add(1 + index // 100, 0, 0.5, dict(large))
        instances.add_scores(1 + index // 100, {0: 0.5})
        instances.add_frame(result)
    instances.rename(dict.fromkeys(range(1, 16), 1))
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(large['counts']) * 1500 > 20e6 and held < 1e6
