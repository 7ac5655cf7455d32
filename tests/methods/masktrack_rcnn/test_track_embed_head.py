"""The track head against the reference's numbers and, with mmdet's keys, against mmdet's head."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

import maskprop

maskprop.register_all()

from mmdet.models.task_modules import SamplingResult  # noqa: E402
from mmdet.models.task_modules.assigners import AssignResult  # noqa: E402
from mmdet.models.tracking_heads import RoIEmbedHead  # noqa: E402

from maskprop.methods.masktrack_rcnn import TrackEmbedHead  # noqa: E402

SHARED = Path(os.environ.get('MASKPROP_SHARED', Path(__file__).parents[4] / 'shared'))
CASES = sorted(p for p in (SHARED / 'objprop_goldens').glob('case_*.npz') if not p.stem.endswith('_state'))
SIZES = dict(num_fcs=2, in_channels=4, roi_feat_size=3, fc_out_channels=6)
MMDET = dict(last_relu=True, normalize=False, average='matched')


@pytest.mark.skipif(not CASES, reason='needs ../shared/objprop_goldens (or MASKPROP_SHARED)')
@pytest.mark.parametrize('case', CASES, ids=lambda case: case.stem)
def test_equals_the_reference(case):
    golden = {name: torch.from_numpy(value) for name, value in np.load(case).items()}
    state = np.load(case.with_name(f'{case.stem}_state.npz'))
    weights = {k.removeprefix('track_head.'): torch.from_numpy(state[k]) for k in state if k.startswith('track_')}
    channels, size = golden['track_x'].shape[1:3]
    width = len(weights['fcs.0.bias'])
    head = TrackEmbedHead(num_fcs=2, in_channels=channels, roi_feat_size=size, fc_out_channels=width)
    head.load_state_dict(weights)
    counts, ref_counts = golden['track_x_n'].tolist(), golden['track_ref_x_n'].tolist()
    with torch.no_grad():
        x = head.extract_feat(golden['track_x'], counts)
        ref = head.extract_feat(golden['track_ref_x'], ref_counts)
        tested = head.predict_by_feat(x, ref)
    close(torch.cat(x), golden['track_embed_x'])
    close(torch.cat(ref), golden['track_embed_ref'])
    for image, scores in enumerate(tested):
        close(scores, golden[f'track_score_test_{image}'])
    losses = head.match_loss(
        [golden[f'track_score_train_{image}'] for image in range(len(counts))],
        golden['track_ids'].split(counts),
        golden['track_id_weights'].split(counts),
    )
    close(losses['loss_match'].view(1), golden['track_loss_match'])
    close(losses['match_accuracy'].view(1), golden['track_match_acc'])


def close(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def sampled(assigned: list[int], objects: int) -> SamplingResult:
    """One RoI per entry, all inside the picture: the row of its object, or -1 for a negative one."""
    boxes = torch.tensor([[i, i, i + 5.0, i + 5] for i in range(max(len(assigned), objects))])
    assigned = torch.tensor(assigned, dtype=torch.long)
    result = AssignResult(objects, assigned + 1, torch.zeros(len(assigned)), assigned.clamp(min=0))
    positive, negative = (assigned >= 0).nonzero()[:, 0], (assigned < 0).nonzero()[:, 0]
    flags = torch.zeros(len(assigned), dtype=torch.uint8)
    return SamplingResult(positive, negative, boxes[: len(assigned)], boxes[:objects], result, flags)


# of each image: the object of every RoI, the ids of the objects of the key frame and of the other one
BATCHES = {
    'usual': [([0, 1, 1, -1, -1], [7, 9], [9, 4]), ([0, -1], [3], [3])],
    'no common object': [([0, -1], [7], [9])],
    'no object in the other frame': [([0, 0, -1], [7], [])],
    'no object in the key frame': [([-1, -1], [], [7]), ([0], [1], [1])],
}


def run(head, batch):
    generator = torch.Generator().manual_seed(3)
    counts, ref_counts = [len(a) for a, _, _ in batch], [len(r) for _, _, r in batch]
    feats = torch.rand(sum(counts), 4, 3, 3, generator=generator)
    ref_feats = torch.rand(sum(ref_counts), 4, 3, 3, generator=generator)
    ids = [torch.tensor(i, dtype=torch.int32) for _, i, _ in batch]
    ref_ids = [torch.tensor(r, dtype=torch.int32) for _, _, r in batch]
    results = [sampled(a, len(i)) for a, i, _ in batch]
    return head.loss(feats, ref_feats, counts, ref_counts, results, ids, ref_ids)


@pytest.mark.parametrize('name', BATCHES)
def test_mmdet_keys_give_mmdets_head(name):
    torch.manual_seed(0)
    theirs = RoIEmbedHead(**SIZES)
    ours = TrackEmbedHead(**SIZES, **MMDET)
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(run(ours, BATCHES[name])['loss_match'], run(theirs, BATCHES[name])['loss_match'])
    x, ref = torch.rand(3, 4, 3, 3), torch.rand(2, 4, 3, 3)
    torch.testing.assert_close(ours.predict(x, ref), theirs.predict(x, ref))
    assert not torch.allclose(
        TrackEmbedHead.predict_by_feat(TrackEmbedHead(**SIZES), *theirs(x, ref, [3], [2]))[0],
        theirs.predict(x, ref)[0],
    )


@pytest.mark.parametrize('name', [*BATCHES, 'nothing at all'])
def test_every_parameter_has_a_gradient(name):
    head = TrackEmbedHead(**SIZES)
    head.init_weights()
    batch = BATCHES.get(name, [([], [], [])])
    losses = run(head, batch)
    grads = torch.autograd.grad(losses['loss_match'], list(head.parameters()), allow_unused=True)
    assert all(g is not None and torch.isfinite(g).all() for g in grads)
    assert ('match_accuracy' in losses) is any(a >= 0 for assigned, _, _ in batch for a in assigned)


def test_loss_by_hand():
    """Two images: the positive RoIs' cross-entropy, summed, by the number of all sampled ones; then the mean."""
    head = TrackEmbedHead(**SIZES)
    logits = [torch.tensor([[0, 1.0], [0, 2], [0, 3]]), torch.tensor([[0, 4.0], [0, 5]])]
    targets = [torch.tensor([1, 0, 0]), torch.tensor([1, 0])]
    weights = [torch.tensor([1, 1, 0.0]), torch.tensor([1.0, 0])]
    first = (np.log1p(np.exp(-1)) + np.log1p(np.exp(2))) / 3
    second = np.log1p(np.exp(-4)) / 2
    losses = head.match_loss(logits, targets, weights)
    assert float(losses['loss_match']) == pytest.approx((first + second) / 2, rel=1e-5)
    assert float(losses['match_accuracy']) == pytest.approx(200 / 3)
    head.skip_single = True
    assert float(head.match_loss(logits, targets, weights)['loss_match']) == pytest.approx(first / 2, rel=1e-5)
    head.skip_single, head.average = False, 'matched'
    assert float(head.match_loss(logits, targets, weights)['loss_match']) == pytest.approx(
        (3 * first + 2 * second) / 2, rel=1e-5
    )


def test_initialised_as_the_reference():
    head = TrackEmbedHead(**{**SIZES, 'fc_out_channels': 512})
    head.init_weights()
    for fc in head.fcs:
        assert float(fc.weight.std()) == pytest.approx(0.01, rel=0.1)
        assert not fc.bias.any()


def test_bad_key_says_what_to_do():
    with pytest.raises(ValueError, match='sampled'):
        TrackEmbedHead(**SIZES, average='mean')
