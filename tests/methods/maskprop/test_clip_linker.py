"""The linker against a literal, slow implementation of Eq. 4 and 5."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[3] / 'tools/benchmarks'))

from clip_profile import WaitCounter

from maskprop.methods.maskprop.clip_linker import ClipLinker, ClipTracks, assign_ids
from maskprop.methods.tracking_by_detection.baselines import BoxIoULinker

RADIUS, SIZE = 2, (6, 7)


def soft_iou(a, b):
    intersection = float((a * b).sum())
    union = float((a + b - a * b).sum())
    return intersection / union if union > 0 else 0.0


def literal_ids(clips, threshold, unique, recent=None):
    """Eq. 4 and 5 as written: clips is a list over t of {frame: [N masks]}."""
    ids, newest = [], 0
    for t, clip in enumerate(clips):
        count = len(clip[t])
        q = [{} for _ in range(count)]
        for i in range(count):
            sums, numbers = {}, {}
            for s in reversed(range(t)):
                overlap = sorted(set(clip) & set(clips[s]))
                for j, other_id in enumerate(ids[s]):
                    if not overlap or (recent and numbers.get(other_id, 0) >= recent):
                        continue
                    m = sum(soft_iou(clip[f][i], clips[s][f][j]) for f in overlap) / len(overlap)
                    sums[other_id] = sums.get(other_id, 0) + m
                    numbers[other_id] = numbers.get(other_id, 0) + 1
            q[i] = {y: sums[y] / numbers[y] for y in sums}
        chosen = [None] * count
        if unique:
            pairs = sorted((-q[i][y], i, y) for i in range(count) for y in q[i] if q[i][y] > threshold)
            used = set()
            for _, i, y in pairs:
                if chosen[i] is None and y not in used:
                    chosen[i] = y
                    used.add(y)
        else:
            for i in range(count):
                best = max(q[i], key=q[i].get, default=None)
                if best is not None and q[i][best] > threshold:
                    chosen[i] = best
        for i in range(count):
            if chosen[i] is None:
                newest += 1
                chosen[i] = newest
        ids.append(chosen)
    return ids


def random_video(length, seed, radius=RADIUS):
    """Clips of drifting noisy blobs, with frames that have no instance."""
    generator = torch.Generator().manual_seed(seed)
    objects = torch.rand(4, length, *SIZE, generator=generator)
    objects[1] = objects[0] * 0.9  # a near duplicate, so that tracks compete for an id
    clips = []
    for t in range(length):
        seen = [k for k in range(4) if torch.rand((), generator=generator) < 0.7] if t != 3 else []
        window = range(max(0, t - radius), min(length, t + radius + 1))
        noise = {f: torch.rand(len(seen), *SIZE, generator=generator) for f in window}
        clips.append({f: [(objects[k, f] ** 4 * noise[f][i]) for i, k in enumerate(seen)] for f in window})
    return clips


def to_tracks(clip):
    frames = sorted(clip)
    masks = [torch.stack(clip[f]) if clip[f] else torch.zeros(0, *SIZE) for f in frames]
    return ClipTracks.from_masks(frames[0], torch.stack(masks), [0] * len(masks[0]))


@pytest.mark.parametrize(('unique', 'recent'), [(True, None), (False, None), (True, 1), (True, 3)])
@pytest.mark.parametrize('threshold', [0.1, 0.22, 0.3])
@pytest.mark.parametrize('length', [1, 3, 12])
def test_equals_literal_equations(unique, recent, threshold, length):
    for seed in range(4):
        clips = random_video(length, seed)
        linker = ClipLinker(threshold=threshold, unique=unique, recent=recent)
        found = [linker.link(to_tracks(clip)) for clip in clips]
        assert found == literal_ids(clips, threshold, unique, recent)


@pytest.mark.parametrize('at_once', [2, 3, 8])
@pytest.mark.parametrize('options', [{}, dict(recent=1), dict(skip_empty=True), dict(same_category=True)], ids=str)
def test_several_clips_at_once_get_the_same_ids(options, at_once):
    for seed in range(4):
        clips = [to_tracks(clip) for clip in random_video(19, seed)]
        clips = [clip._replace(labels=[i % 2 for i in range(len(clip.labels))]) for clip in clips]
        one_by_one, together = (ClipLinker(threshold=0.2, empty_below=1.5, **options) for _ in range(2))
        expected = [one_by_one.link(clip) for clip in clips]
        parts = [clips[start : start + at_once] for start in range(0, len(clips), at_once)]
        assert [ids for part in parts for ids in together.link_many(part)] == expected
        assert max(max(ids, default=0) for ids in expected) > 4


def test_several_clips_wait_for_the_scores_once():
    clips = [to_tracks(clip) for clip in random_video(9, seed=1)]
    linker = ClipLinker(threshold=0.1, skip_empty=True)
    for start in (0, 3, 6):
        with WaitCounter() as counter:
            linker.link_many(clips[start : start + 3])
        assert counter.calls == dict(cpu=1)


def test_memory_is_the_overlapping_clips():
    linker = ClipLinker(threshold=0.1)
    for clip in random_video(30, seed=0):
        linker.link(to_tracks(clip))
        assert len(linker._clips) <= 2 * RADIUS + 1


def test_loser_takes_its_next_best_id():
    scores = torch.tensor([[0.9, 0.1], [0.8, 0.5], [0.7, 0.05]])
    assert assign_ids(scores, [4, 7], 0.3, unique=True, next_id=9) == [4, 7, 9]
    assert assign_ids(scores, [4, 7], 0.3, unique=False, next_id=9) == [4, 4, 4]


def test_skip_empty_leaves_absent_frames_out():
    """Two tracks equal in one frame and both absent in two: m is 1/3 by the letter, 1 when skipped."""
    masks = torch.zeros(3, 1, *SIZE)
    masks[1, 0, :3] = 1
    for skip_empty, expected in ((False, 1 / 3), (True, 1.0)):
        linker = ClipLinker(threshold=0.0, skip_empty=skip_empty)
        linker.link(ClipTracks.from_masks(0, masks, [0]))
        scores = linker._match_scores([ClipTracks.from_masks(0, masks, [0])])
        assert scores.item() == pytest.approx(expected)


def test_an_id_keeps_its_category():
    """Two tracks swap their masks: blind to categories they swap ids, else they don't; a new category is new."""
    left, right = torch.zeros(2, 2, *SIZE)
    left[:, :2], right[:, -2:] = 1, 1
    clips = [
        ClipTracks.from_masks(0, torch.stack([left, right], 1), [3, 5]),
        ClipTracks.from_masks(1, torch.stack([right, 0.6 * left + 0.4 * right], 1), [3, 5]),
        ClipTracks.from_masks(2, torch.stack([right, left], 1), [7, 5]),
    ]
    for same_category, expected in ((False, [[1, 2], [2, 1], [2, 1]]), (True, [[1, 2], [3, 2], [4, 2]])):
        linker = ClipLinker(threshold=0.1, same_category=same_category)
        assert [linker.link(clip) for clip in clips] == expected


class Boxes:
    def __init__(self, *boxes, labels=None):
        self.boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
        self.labels = labels or [0] * len(boxes)


def test_box_iou_linker_can_keep_categories():
    boxes = (0, 0, 10, 10), (4, 0, 14, 10)
    for same_category, expected in ((False, [1, 2]), (True, [2, 1])):
        linker = BoxIoULinker(threshold=0.1, same_category=same_category)
        assert linker.link(Boxes(*boxes, labels=[3, 5])) == [1, 2]
        assert linker.link(Boxes(*boxes, labels=[5, 3])) == expected
        assert linker.link(Boxes(*boxes, labels=[7, 7])) == ([1, 2] if not same_category else [3, 4])


def test_box_iou_linker_keeps_and_forgets():
    linker = BoxIoULinker(threshold=0.3, max_age=2)
    assert linker.link(Boxes((0, 0, 10, 10), (50, 0, 60, 10))) == [1, 2]
    assert linker.link(Boxes((51, 0, 61, 10), (2, 0, 12, 10))) == [2, 1]
    assert linker.link(Boxes()) == []
    assert linker.link(Boxes((2, 0, 12, 10))) == [1]  # one missed frame is within max_age
    for _ in range(3):
        linker.link(Boxes())
    assert linker.link(Boxes((2, 0, 12, 10))) == [3]
