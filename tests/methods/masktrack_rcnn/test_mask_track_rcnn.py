"""Training MaskTrack R-CNN and several heads at once: every pair, frozen parts, the RPN's classes, mmdet's own."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData

import maskprop

maskprop.register_all()

from mmdet.models.vis import MaskTrackRCNN  # noqa: E402
from mmdet.registry import MODELS  # noqa: E402

from maskprop.models.frame_pairs import FramePairs  # noqa: E402
from tests.models.builders import ATTENTION, CLASSES, HEIGHT, TRACK, WIDTH, build_model, make_batch  # noqa: E402
from tests.models.test_video_mask_rcnn import PAIRS, total  # noqa: E402

HEADS = dict(track_head=TRACK, attention_head=ATTENTION)
TRACK_ONLY = dict(track_head=TRACK, propagation_head=None)


def step(model, batch, seed=0):
    torch.manual_seed(seed)  # of the samplers
    losses = model.loss(*batch)
    total(losses).backward()
    return losses


@pytest.mark.parametrize('frozen', [(), ('detector',)], ids=['joint', 'frozen'])
@pytest.mark.parametrize('autocast', [False, True], ids=['fp32', 'bf16'])
@pytest.mark.parametrize('name', PAIRS)
def test_every_pair_trains(name, autocast, frozen):
    """Finite losses, and gradients for every parameter (DDP needs no search for unused ones)."""
    model = build_model(frozen=frozen, **HEADS).train()
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
        losses = step(model, make_batch(*PAIRS[name]))
    assert {'loss_prop', 'loss_match', 'loss_attention', 'loss_propagated_mask'} <= set(losses)
    assert ('loss_rpn_cls' in losses) is not frozen
    trained = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    assert not [n for n, grad in trained.items() if grad is None]
    assert all(torch.isfinite(grad).all() for grad in trained.values())
    assert torch.isfinite(total(losses))


def test_htc_trains_with_a_track_head():
    model = build_model('htc', **TRACK_ONLY, detect_on='both').train()
    losses = step(model, make_batch(*PAIRS['mixed batch']))
    assert torch.isfinite(losses['loss_match'])
    assert not [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]


def test_track_loss_by_hand():
    """The objects themselves and boxes beside them as proposals: each object is positive twice (it is added)."""
    model = build_model(**TRACK_ONLY).eval()
    head = model.track_head
    inputs, batch = make_batch(([1, 2], [2, 3]), ([5], [5]))
    samples = [sample for track in batch for sample in track.video_data_samples]
    feats = model.detector.extract_feat(inputs.flatten(0, 1))
    negative = torch.tensor([[0.0, 0, 4, 4], [90, 0, 95, 4], [0, 58, 4, 62]])
    proposals = [torch.cat([sample.gt_instances.bboxes, negative]) for sample in samples[::2]]
    pairs = FramePairs(
        detector=model.frame_detector, feats=feats, samples=samples, inputs=inputs, proposals=proposals
    )
    found = head.loss(pairs)['loss_match']

    def embed(index, boxes):
        level = [feat[index][None] for feat in feats]
        x = head.roi_extractor(level, torch.cat([boxes.new_zeros(len(boxes), 1), boxes], 1)).flatten(1)
        first, second = head.embed_head.fcs
        return second(first(x).clamp(min=0))

    expected = 0
    for b, targets in enumerate(([0, 1], [1])):  # object 1 is new, object 2 is the other frame's first
        key, other = samples[2 * b].gt_instances.bboxes, samples[2 * b + 1].gt_instances.bboxes
        logits = embed(2 * b, key) @ embed(2 * b + 1, other).T
        logits = torch.cat([torch.zeros(len(key), 1), logits], 1)
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(targets), reduction='sum')
        expected = expected + 2 * loss / (2 * len(key) + len(negative))
    torch.testing.assert_close(found, expected / 2)


def test_track_loss_reaches_backbone_and_track_head_only():
    model = build_model(**TRACK_ONLY).train()
    torch.nn.init.normal_(model.track_head.embed_head.fcs[1].weight, std=0.1)
    losses = model.loss(*make_batch(([1, 2], [2, 1])))
    losses['loss_match'].backward()
    for part, expected in (
        (model.track_head, True),
        (model.detector.backbone, True),
        (model.detector.neck, True),
        (model.detector.rpn_head, False),
        (model.detector.roi_head, False),
    ):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters()) is expected


def test_attention_loss_sees_the_key_frame_as_current():
    """Swapping the frames of a pair swaps their roles."""
    model = build_model(propagation_head=None, **HEADS).eval()
    inputs, samples = make_batch(([1], [1, 2]))
    key, other = samples[0].video_data_samples
    feats = model.detector.extract_feat(inputs[0])
    codes = model.attention_head.encode_features(feats)
    expected = model.attention_head.pair_losses(codes[:1], codes[1:], [key], [other], (HEIGHT, WIDTH))
    found = model.loss(inputs, samples)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


@pytest.mark.parametrize('frozen', [('detector',), ('detector', 'track_head')], ids=lambda names: '+'.join(names))
def test_frozen_parts_stay_bit_identical(frozen):
    """Weights, and the statistics of batch norms, over two steps of the other heads."""
    model = build_model(propagation_head=None, frozen=frozen, **HEADS).train()
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    for seed in range(2):
        optimizer.zero_grad()
        losses = step(model, make_batch(([1, 2], [1, 2])), seed)
        optimizer.step()
    assert ('loss_match' in losses) is ('track_head' not in frozen)
    after = model.state_dict()
    for name, value in before.items():
        if name.startswith(tuple(f'{part}.' for part in frozen)):
            assert torch.equal(value, after[name]), name
    for head in {'track_head', 'attention_head'} - set(frozen):
        assert any(not torch.equal(v, after[n]) for n, v in before.items() if n.startswith(head))


def test_bad_frozen_says_what_to_do():
    for frozen in ('detector', ['track_head'], ['backbone']):
        with pytest.raises(ValueError, match='propagation_head'):
            build_model(frozen=frozen)


# -- the RPN learns objects, whatever their class


def mmdet_model(mended=True, score_thr=0.05):
    cfg = Config.fromfile('configs/_base_/models/tiny_mask_rcnn.py').model
    cfg.detector.test_cfg.rcnn.score_thr = score_thr
    for head in (cfg.detector.roi_head.bbox_head, cfg.detector.roi_head.mask_head):
        head.num_classes = CLASSES
    track_head = copy.deepcopy(TRACK)
    track_head.type = 'RoITrackHead'
    track_head.embed_head.type = 'RoIEmbedHead'
    cfg.update(
        type='MendedMaskTrackRCNN' if mended else 'MaskTrackRCNN',
        track_head=track_head,
        tracker=dict(type='MaskTrackRCNNTracker'),
    )
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    return model.train()


def labelled(label):
    inputs, samples = make_batch(([1, 2], [2, 1]))
    for track in samples:
        track.set_metainfo(dict(key_frames_inds=[0], ref_frames_inds=[1]))
        for sample in track.video_data_samples:
            sample.gt_instances.labels.fill_(label)
    return inputs, samples


def rpn_losses(model, label):
    batch = labelled(label)
    torch.manual_seed(0)
    losses = model.loss(*batch)
    for track in batch[1]:
        for sample in track.video_data_samples:
            assert sample.gt_instances.labels.eq(label).all(), 'the RoI head must keep its labels'
    return [torch.stack(losses[name]).sum() for name in ('loss_rpn_cls', 'loss_rpn_bbox')]


@pytest.mark.parametrize('kind', ['ours', 'mended'])
def test_rpn_positives_do_not_depend_on_the_category(kind):
    model = mmdet_model() if kind == 'mended' else build_model(**TRACK_ONLY).train()
    model.eval()  # batch norms
    first, last = rpn_losses(model, 0), rpn_losses(model, CLASSES - 1)
    assert first[1] > 0, 'no positive anchor'
    torch.testing.assert_close(first, last, atol=0, rtol=0)


def test_mmdets_class_takes_other_categories_for_background():
    """What is mended; when this fails mmdet has done it. With all logits 5 a positive anchor costs next to 0."""
    model = mmdet_model(mended=False).eval()
    torch.nn.init.zeros_(model.detector.rpn_head.rpn_cls.weight)
    torch.nn.init.constant_(model.detector.rpn_head.rpn_cls.bias, 5.0)
    first, last = rpn_losses(model, 0)[0], rpn_losses(model, CLASSES - 1)[0]
    assert float(last.detach()) == pytest.approx(5.0067, abs=1e-3), 'every sampled anchor is background'
    assert first < last - 0.1


def test_mended_class_is_mmdets_for_category_0():
    losses = {}
    for mended in (False, True):
        model = mmdet_model(mended)
        assert isinstance(model, MaskTrackRCNN)
        torch.manual_seed(5)
        losses[mended] = model.loss(*labelled(0))
    assert losses[True].keys() == losses[False].keys()
    for name, expected in losses[False].items():
        torch.testing.assert_close(losses[True][name], expected)


def test_mended_class_trains_and_predicts():
    model = mmdet_model(score_thr=0.0)
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = step(model, labelled(1))
    optimizer.step()
    assert torch.isfinite(total(losses))
    assert not torch.equal(before['track_head.embed_head.fcs.0.weight'], model.track_head.embed_head.fcs[0].weight)
    inputs, samples = labelled(1)
    for t, sample in enumerate(samples[0].video_data_samples):
        sample.set_metainfo(dict(frame_id=t))
    with torch.no_grad():
        (found,) = model.eval().predict(inputs, samples)
    for sample in found.video_data_samples:
        tracks = sample.pred_track_instances
        assert isinstance(tracks, InstanceData)
        assert len(tracks) > 0
        assert tracks.masks.shape[1:] == (HEIGHT, WIDTH)
