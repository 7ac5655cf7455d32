"""Matching against the reference's numbers, and its greedy loop written out."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from maskprop.methods.masktrack_rcnn.track_matching import (
    final_holders,
    greedy_match,
    match_scores,
    pairwise_box_iou,
    update_memory,
)
from maskprop.ops.match_logits import match_logits

SHARED = Path(os.environ.get('MASKPROP_SHARED', Path(__file__).parents[4] / 'shared'))
CASES = sorted(p for p in (SHARED / 'objprop_goldens').glob('case_*.npz') if not p.stem.endswith('_state'))


@pytest.mark.skipif(not CASES, reason='needs ../shared/objprop_goldens (or MASKPROP_SHARED)')
@pytest.mark.parametrize('case', CASES, ids=lambda case: case.stem)
def test_equals_the_reference(case):
    golden = {name: torch.from_numpy(value) for name, value in np.load(case).items()}
    embeds = golden['track_embed_x'].split(golden['track_x_n'].tolist())
    references = golden['track_embed_ref'].split(golden['track_ref_x_n'].tolist())
    for image, (x, ref) in enumerate(zip(embeds, references, strict=True)):
        close(match_logits(x, ref, False), golden[f'track_score_train_{image}'])
        close(match_logits(x, ref, True), golden[f'track_score_test_{image}'])

    boxes, memory = golden['match_det_bboxes'], golden['match_prev_bboxes']
    labels, memory_labels = golden['match_det_labels'], golden['match_prev_labels']
    logits = match_logits(embeds[0], references[0], True)
    ious = pairwise_box_iou(boxes[:, :4], memory[:, :4], legacy=True)
    same = labels[:, None] == memory_labels
    scores = match_scores(logits, boxes[:, 4], ious, same)
    objects = greedy_match(scores)
    close(logits.log_softmax(1), golden['match_logprob'])
    close(ious, golden['match_ious'])
    close(same.float(), golden['match_label_delta'])
    close(scores, golden['match_comp_scores'])
    assert objects == golden['match_det_obj_ids'].tolist()
    close(update_memory(memory, boxes, objects), golden['match_mem_bboxes_after'])
    new = [taken if taken >= len(memory) else -1 for taken in objects]
    assert torch.equal(update_memory(memory_labels, labels, new), golden['match_mem_labels_after'])


def close(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_scores_by_hand():
    """One object, one detection: half its probability, score 1/e, IoU .5, another label; and the new object."""
    logits = torch.zeros(1, 2)
    det_scores = torch.tensor([float(np.exp(-1))])
    scores = match_scores(logits, det_scores, torch.tensor([[0.5]]), torch.tensor([[False]]))
    half = np.log(0.5)
    close(scores, torch.tensor([[half - 1 + 10, half - 1 + 1]], dtype=torch.float32))
    scores = match_scores(
        logits,
        det_scores,
        torch.tensor([[0.5]]),
        torch.tensor([[True]]),
        score_weight=2,
        iou_weight=4,
        label_weight=1,
    )
    close(scores, torch.tensor([[half - 2 + 1, half - 2 + 2 + 1]], dtype=torch.float32))


def test_legacy_boxes_are_a_pixel_larger():
    boxes, others = torch.tensor([[0.0, 0, 9, 9]]), torch.tensor([[5.0, 0, 14, 9]])
    close(pairwise_box_iou(boxes, others, legacy=True), torch.tensor([[50 / 150]]))
    close(pairwise_box_iou(boxes, others, legacy=False), torch.tensor([[36 / 126]]))


def literal_greedy(scores: np.ndarray) -> list[int]:
    """The loop as OBJPROP_FACTS tells it."""
    known = scores.shape[1] - 1
    best, ids, count = np.full(known, -np.inf), [], known
    for row in scores:
        column = int(np.argmax(row))
        if column == 0:
            ids.append(count)
            count += 1
            continue
        ids.append(-1)
        if row[column] > best[column - 1]:
            ids[-1] = column - 1
            best[column - 1] = row[column]
    return ids


@pytest.mark.parametrize('seed', range(20))
def test_greedy_equals_the_loop(seed):
    scores = torch.rand(12, 5, generator=torch.Generator().manual_seed(seed))
    assert greedy_match(scores) == literal_greedy(scores.numpy())


def test_greedy_by_hand():
    """Object 0 is wanted three times: taken, overtaken by a higher score, and missed by a lower one."""
    scores = torch.tensor([[0, 5.0, 0], [9, 0, 0], [0, 7, 0], [0, 6, 0], [0, 0, 1], [8, 0, 0]])
    objects = greedy_match(scores)
    assert objects == [0, 2, 0, -1, 1, 3]
    assert final_holders(objects) == [False, True, True, False, True, True]
    values = torch.arange(10.0, 16)
    assert update_memory(torch.tensor([0.0, 1]), values, objects).tolist() == [12, 14, 11, 15]


def test_equal_scores_go_to_the_first():
    assert greedy_match(torch.tensor([[0, 5.0], [0, 5.0]])) == [0, -1]


def test_a_loser_that_comes_last_leaves_no_trace_in_the_memory():
    assert update_memory(torch.tensor([3.0]), torch.tensor([7.0, 8]), [0, -1]).tolist() == [7]


def test_products_keep_their_precision_under_autocast():
    """Raw products of many channels: bf16 would round them by whole units."""
    embeds, memory = 10 * torch.randn(4, 1024), 10 * torch.randn(3, 1024)
    expected = match_logits(embeds, memory, normalize=False)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        torch.testing.assert_close(match_logits(embeds, memory, normalize=False), expected, rtol=0, atol=0)


def test_nothing_known_or_nothing_found():
    logits = match_logits(torch.rand(2, 4), torch.zeros(0, 4), True)
    scores = match_scores(logits, torch.tensor([0.5, 0.9]), torch.zeros(2, 0), torch.zeros(2, 0))
    assert greedy_match(scores) == [0, 1]
    assert greedy_match(torch.zeros(0, 3)) == []
    assert update_memory(torch.ones(2, 3), torch.zeros(0, 3), []).tolist() == [[1, 1, 1]] * 2
