"""Thinning, tracklets and merging against the recursive form, slow literal forms, and cases made by hand."""

from __future__ import annotations

import sys
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou, nms

from maskprop.methods.ensemble_vis.merging import (
    Forest,
    Spans,
    embedding_distances,
    find_predecessors,
    rank,
    track_score,
)
from maskprop.methods.ensemble_vis.thinning import thin
from maskprop.methods.ensemble_vis.tracklets import Proposals, Tracklet, TrackletBuilder, match

sys.path.insert(0, str(Path(__file__).parents[3] / 'tools/benchmarks'))

from reference_merging import Piece, merge_by_recursion  # noqa: E402


@pytest.mark.parametrize('seed', range(12))
def test_tracks_are_those_of_the_recursion(seed):
    """Few frames and numbers: many ties of ends, starts and distances."""
    rng = np.random.default_rng(seed)
    count, length = int(rng.integers(2, 40)), int(rng.integers(4, 20))
    first = np.sort(rng.integers(0, length, count))
    last = np.minimum(first + rng.integers(0, 4, count), length - 1)
    # of whole numbers distances are exact, so ties are ties in both forms
    embeddings = rng.integers(0, 3 + 10 * (seed % 2), (count, 2)).astype(float)
    embeddings[0] += 20
    pieces = [Piece(*row) for row in zip(first.tolist(), last.tolist(), embeddings, strict=True)]
    spans = Spans(first, last)
    distances, largest = embedding_distances(embeddings)
    forest = Forest(find_predecessors(spans, distances), spans, distances, length)
    tracks = forest.cut()
    assert tracks == merge_by_recursion(pieces, length)
    assert sorted(k for track in tracks for k in track) == list(range(count))
    assert largest == max(np.linalg.norm(a - b) for a in embeddings for b in embeddings)


def test_the_second_nearest_is_taken_where_it_continues_the_nearest():
    """1 continues 0; of 2 the nearest is 0, then 1: it continues 1, which is further along the same chain."""
    spans = Spans(np.array([0, 2, 4]), np.array([1, 3, 5]))
    distances, _ = embedding_distances(np.array([[0.0], [3.0], [1.0]]))
    assert find_predecessors(spans, distances) == [-1, 0, 1]
    # 1 may not continue 0: then 2 takes the nearest
    allowed = np.ones((3, 3), dtype=bool)
    allowed[1, 0] = False
    assert find_predecessors(spans, distances, allowed) == [-1, -1, 0]


def test_without_distances():
    """One tracklet, or all alike: the released code fails."""
    for embeddings in (np.zeros((0, 3)), np.ones((1, 3)), np.ones((4, 3))):
        distances, largest = embedding_distances(embeddings)
        assert largest == 0 and distances.shape == (len(embeddings),) * 2 and not distances.any()
        spans = Spans(np.arange(len(embeddings)), np.arange(len(embeddings)))
        tracks = Forest(find_predecessors(spans, distances), spans, distances, 5).cut()
        assert sorted(sum(tracks, [])) == list(range(len(embeddings)))


def test_score_of_a_track_accumulates_its_lengths():
    tracklets = [Tracklet(0, 1, None, 0.5 * 2, 0, 0, 0.5), Tracklet(3, 5, None, 0.8 * 3, 0, 0, 0.8)]
    assert track_score(tracklets) == pytest.approx((0.5 * 2 + 0.8 * 5) / 2)
    assert rank([1.0, 3.0, 3.0, 2.0], 3) == [1, 2, 3]


def literal_thin(scores, ious, threshold) -> list[int]:
    kept: list[int] = []
    for row in range(len(scores)):
        overlaps = [ious[row][other] for other in kept]
        if not kept or max(overlaps) < threshold:
            kept.append(row)
        elif scores[row] > scores[other := kept[overlaps.index(max(overlaps))]]:
            kept.remove(other)
            kept.append(row)
    return kept


@pytest.mark.parametrize('seed', range(10))
def test_thinning_is_repeated_until_nothing_overlaps(seed):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(30, 2, generator=generator) * 50
    boxes = torch.cat([corner, corner + 20], 1)
    scores = torch.rand(30, generator=generator, dtype=torch.float64)
    ious = box_iou(boxes, boxes).numpy()
    expected, before = list(range(30)), None
    while expected != before:
        before = expected
        rows = literal_thin(scores[before].tolist(), ious[np.ix_(before, before)], 0.2)
        expected = [before[row] for row in rows]
        if len(expected) == len(before):  # only the order changed, or nothing
            break
    assert thin(scores.tolist(), ious, 0.2) == expected
    best = scores.argsort(descending=True)
    ordered = thin(scores[best].tolist(), ious[np.ix_(best, best)], 0.2)
    assert best[ordered].tolist() == nms(boxes, scores.float(), 0.2).tolist()


def test_assignment_is_made_before_the_threshold():
    similarity = np.array([[0.5, 0.45], [0.42, 0.04]])
    assert match(similarity, 0.05) == [(0, 1), (1, 0)]
    assert match(similarity, 0.05, 'greedy') == [(0, 0)]
    # the largest sum has a pair below the threshold, which is left out
    assert match(np.array([[0.5, 0.2], [0.2, 0.04]]), 0.05) == [(0, 0)]
    assert match(np.array([[0.05]]), 0.05) == []
    assert match(np.zeros((0, 3)), 0.05) == match(np.zeros((2, 0)), 0.05, 'greedy') == []


@pytest.mark.parametrize('seed', range(5))
def test_assignment_is_the_best_of_all(seed):
    similarity = np.random.default_rng(seed).random((4, 4))
    best = max(permutations(range(4)), key=lambda p: sum(similarity[i, j] for i, j in enumerate(p)))
    assert match(similarity, 0.0) == list(enumerate(best))


def follow(builder: TrackletBuilder, frames: list[tuple[int, list[list[float]]]]) -> list[list[int]]:
    """Ids of frames of (number of proposals, similarity with the frame before)."""
    ids = []
    for count, similarity in frames:
        proposals = Proposals([0.5] * count, [1] * count, [0] * count, None)
        ids.append(builder.step(proposals, np.array(similarity, dtype=float).reshape(len(similarity), count)))
    builder.finish()
    return ids


def test_numbers_follow_the_released_code():
    """Those that go on come first, though the second detection of the frame began."""
    frames = [(2, []), (2, [[0, 0], [0.9, 0]]), (1, [[0.0], [0.0]])]
    builder = TrackletBuilder()
    assert follow(builder, frames) == [[1, 2], [2, 3], [4]]
    assert builder.order == [2, 1, 3, 4] and not builder.lost
    letter = TrackletBuilder(letter=True)
    follow(letter, frames)
    assert letter.order == [2, 1, 3] and letter.lost == {4}, 'begun in the last frame'


def test_the_letter_loses_what_comes_before_the_first_match():
    frames = [(1, []), (1, [[0.0]]), (1, [[0.9]]), (1, [[0.9]])]
    builder = TrackletBuilder(letter=True)
    follow(builder, frames)
    assert builder.order == [2] and builder.lost == {1}
    # a frame without detections after it: nothing is lost
    kept = TrackletBuilder(letter=True)
    follow(kept, [(1, []), (0, [[]]), (1, []), (1, [[0.9]])])
    assert kept.order == [1, 2] and not kept.lost
