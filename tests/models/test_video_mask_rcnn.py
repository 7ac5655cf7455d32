"""Training losses of the video model on every kind of frame pair, and its detector interface."""

import copy

import pytest
import torch

from maskprop.models.duplicates import group_duplicates
from maskprop.models.frame_pairs import FramePairs
from tests.models.builders import CLASSES, HEIGHT, WIDTH, build_model, known_frame, make_batch, make_detections

PAIRS = {
    'two frames, same objects': [([1, 2], [1, 2])],
    'one leaves, one enters': [([1, 2], [2, 3])],
    'all absent from the other': [([1, 2], [])],
    'no object at all': [([], [])],
    'mixed batch': [([1, 2], [1]), ([], [3])],
}


def total(losses):
    flat = [v for value in losses.values() for v in (value if isinstance(value, list) else [value])]
    return sum(v.mean() for v in flat if v.requires_grad)


@pytest.mark.slow
@pytest.mark.parametrize('detector', ['mask_rcnn', 'htc'])
@pytest.mark.parametrize('autocast', [False, True], ids=['fp32', 'bf16'])
@pytest.mark.parametrize('name', PAIRS)
def test_every_pair_trains(name, autocast, detector):
    """Finite losses, and gradients for every parameter (DDP needs no search for unused ones)."""
    model = build_model(detector).train()
    inputs, samples = make_batch(*PAIRS[name])
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
        losses = model.loss(inputs, samples)
        loss = total(losses)
    loss.backward()
    assert torch.isfinite(loss)
    assert 'loss_prop' in losses
    missing = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not missing
    bad = [n for n, p in model.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()]
    assert not bad


def test_instance_in_the_padding_trains():
    model = build_model().train()
    loss = total(model.loss(*make_batch(([1], [1]), in_padding=True)))
    assert torch.isfinite(loss)


def test_propagation_loss_is_the_mean_over_images_of_the_sum_over_instances():
    """Eq. 2 written out, with ground-truth masks as sources."""
    from maskprop.ops.soft_iou import soft_iou

    model = build_model(head=dict(mask_source='ground_truth')).eval()
    inputs, samples = make_batch(([1, 2], [2, 3]), ([5], [5]))
    head = model.propagation_head
    feats = model.detector.extract_feat(inputs.flatten(0, 1))
    flat = [s for t in samples for s in t.video_data_samples]
    pairs = FramePairs(detector=model.frame_detector, feats=feats, samples=flat, inputs=inputs)
    found = head.loss(pairs)['loss_prop']
    expected = 0
    for b, track in enumerate(samples):
        key, other = track.video_data_samples
        source = pairs.true_masks(head.stride)[2 * b]
        for frame, sample in enumerate((key, other)):
            codes = head.encode_features([level[2 * b : 2 * b + 2] for level in feats])
            masks = head(codes.frame(0), codes.frame(frame), source)[0]
            ids = sample.gt_instances.instances_ids.tolist()
            for row, i in enumerate(key.gt_instances.instances_ids.tolist()):
                if i in ids:
                    target = pairs.true_masks(head.stride)[2 * b + frame][ids.index(i)]
                    expected = expected + 1 - soft_iou(masks[row], target)
    torch.testing.assert_close(found, expected / 2)


def test_instances_are_matched_by_id():
    inputs, samples = make_batch(([4, 7, 9], [9, 4]))
    flat = samples[0].video_data_samples
    pairs = FramePairs(detector=None, feats=(), samples=flat, inputs=inputs)
    masks, (matched,) = pairs.true_masks(4)[1], pairs.matched_masks(4)
    assert torch.equal(matched[0], masks[1])
    assert torch.equal(matched[2], masks[0])
    assert not matched[1].any()


def test_pairs_compute_what_heads_ask_for_once():
    """Proposals, predicted masks, stride masks and matched instances, however many heads ask."""

    class Detector:
        def __init__(self):
            self.calls = []

        def propose(self, feats, metas):
            self.calls.append(f'propose {len(metas)}')
            return [torch.zeros(1, 4)] * len(metas)

        def masks_at(self, feats, boxes, labels):
            self.calls.append(f'masks_at {torch.is_grad_enabled()}')
            return [torch.rand(len(b), 28, 28) for b in boxes]

    inputs, samples = make_batch(([1, 2], [2, 3]), ([5], [5]))
    flat = [sample for track in samples for sample in track.video_data_samples]
    detector, feats = Detector(), (torch.rand(4, 3, 8, 8),)
    pairs = FramePairs(detector=detector, feats=feats, samples=flat, inputs=inputs)
    for _ in range(2):
        assert len(pairs.proposals) == 2
        assert torch.equal(pairs.key_feats[0], feats[0][::2]) and len(pairs.others) == 2
    first = [pairs.true_masks(4), pairs.matched_masks(4), pairs.predicted_masks(4), pairs.predicted_masks(8)]
    again = [pairs.true_masks(4), pairs.matched_masks(4), pairs.predicted_masks(4), pairs.predicted_masks(8)]
    assert all(a is b for a, b in zip(first, again, strict=True)) and first[2][0].shape == (2, 16, 24)
    pairs.predicted_masks(4, detach=False)
    assert detector.calls == ['propose 2', 'masks_at False', 'masks_at True']
    known = FramePairs(detector=None, feats=feats, samples=flat, inputs=inputs, proposals=[1, 2])
    assert known.proposals == [1, 2], "the detector's loss had them"


def test_detection_loss_equals_mmdet():
    """The same losses as the detector's own ``loss`` on images, with the same random samples."""
    model = build_model().train()
    inputs, samples = make_batch(([1, 2], [1, 2]))
    key = [samples[0].video_data_samples[0]]
    torch.manual_seed(3)
    expected = copy.deepcopy(model.detector).loss(inputs[:, 0], copy.deepcopy(key))
    torch.manual_seed(3)
    found, _ = model.frame_detector.loss(model.detector.extract_feat(inputs[:, 0]), copy.deepcopy(key))
    assert found.keys() == expected.keys()
    for name in found:
        torch.testing.assert_close(found[name], expected[name])


def test_rpn_positives_do_not_depend_on_the_category():
    model = build_model().train()
    inputs, samples = make_batch(([1, 2], [1, 2]))
    key = samples[0].video_data_samples[0]
    feats = model.detector.extract_feat(inputs[:, 0])
    losses = []
    for label in (0, 2):
        sample = copy.deepcopy(key)
        sample.gt_instances.labels.fill_(label)
        torch.manual_seed(0)
        losses.append(model.frame_detector.loss(feats, [sample])[0])
        assert sample.gt_instances.labels.eq(label).all(), 'the RoI head must keep its labels'
    torch.testing.assert_close(losses[0]['loss_rpn_cls'], losses[1]['loss_rpn_cls'])
    torch.testing.assert_close(losses[0]['loss_rpn_bbox'], losses[1]['loss_rpn_bbox'])


@pytest.mark.parametrize('detector', ['mask_rcnn', 'htc'])
def test_detections_equal_mmdet(detector):
    """Boxes, scores and pasted masks as the detector's own ``predict`` has them."""
    from pycocotools import mask as mask_utils

    from maskprop.ops.masks import paste_binary_masks

    model = build_model(detector).eval()
    model.detector.roi_head.test_cfg.score_thr = 0.0
    image = torch.randn(1, 3, HEIGHT, WIDTH)
    sample = make_batch(([1], [1]))[1][0].video_data_samples[0]
    with torch.no_grad():
        expected = model.detector.predict(image, [copy.deepcopy(sample)], rescale=True)[0].pred_instances
        found = model.frame_detector.detect(model.detector.extract_feat(image), [sample.metainfo])[0]
    assert len(expected) > 3
    torch.testing.assert_close(found.boxes, expected.bboxes)
    torch.testing.assert_close(found.scores, expected.scores)
    rles = paste_binary_masks(found.roi_masks, found.boxes, HEIGHT, WIDTH)
    masks = torch.from_numpy(mask_utils.decode(rles)).permute(2, 0, 1).bool()
    assert (masks != expected.masks).sum() == 0


def test_semantic_target_is_the_instances_classes():
    """HTC's target: each pixel the class of the smallest instance over it, or the background class."""
    from maskprop.models.frame_detector import _with_semantic_target

    model = build_model('htc')
    sample = make_batch(([1, 2], [1]))[1][0].video_data_samples[0]
    masks = sample.gt_instances.masks.masks
    masks[:] = 0
    masks[0, 5:40, 5:50] = 1  # the large one
    masks[1, 10:20, 10:20] = 1  # inside it
    sample.set_metainfo(dict(img_shape=(HEIGHT - 3, WIDTH - 5)))  # the rest is padding
    found = _with_semantic_target(model.detector, sample).gt_sem_seg.sem_seg[0]
    large, small = sample.gt_instances.labels.tolist()
    assert found.shape == (HEIGHT, WIDTH)
    assert found[15, 15] == small != large
    assert found[30, 30] == large
    assert found[0, 0] == found[HEIGHT - 4, WIDTH - 6] == CLASSES  # background
    assert (found[HEIGHT - 3 :] == 255).all() and (found[:, WIDTH - 5 :] == 255).all()  # what mmdet's HTC ignores
    assert 'gt_sem_seg' not in sample, "the caller's sample is left alone"


def test_mask_gradient_is_detached_by_default():
    for detach, expected in ((True, False), (False, True)):
        model = build_model(head=dict(detach_masks=detach)).train()
        model.loss(*make_batch(([1, 2], [1, 2])))['loss_prop'].backward()
        grads = [p.grad for p in model.detector.roi_head.mask_head.parameters()]
        assert any(g is not None and g.abs().sum() > 0 for g in grads) is expected


def test_frozen_detector_keeps_its_weights_and_statistics():
    model = build_model(frozen=('detector',)).train()
    losses = model.loss(*make_batch(([1, 2], [1, 2])))
    assert set(losses) == {'loss_prop'}
    assert not model.detector.backbone.bn1.training
    losses['loss_prop'].backward()
    assert all(p.grad is None for p in model.detector.parameters())


def test_group_duplicates_ignores_class():
    boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 11], [30, 0, 40, 10.0]])
    assert group_duplicates(boxes, torch.tensor([0.3, 0.9, 0.5]), 0.7).tolist() == [1, 1, 2]
    assert group_duplicates(boxes, torch.tensor([0.3, 0.9, 0.5]), None).tolist() == [0, 1, 2]


def test_merged_detections_keep_both_classes():
    model = build_model(merge_iou=0.7).eval()
    detections = make_detections(2)
    detections = detections._replace(
        boxes=detections.boxes[:1].repeat(2, 1), labels=torch.tensor([0, 2]), scores=torch.tensor([0.4, 0.6])
    )
    frame = known_frame(model, detections)
    assert len(frame) == 1
    assert frame.class_scores == [pytest.approx({0: 0.4, 2: 0.6})]


def test_no_box_has_no_mask():
    model = build_model('htc').eval()
    feats = model.detector.extract_feat(torch.randn(2, 3, HEIGHT, WIDTH))
    masks = model.frame_detector.masks_at(feats, [torch.zeros(0, 4)] * 2, [torch.zeros(0).long()] * 2)
    assert [len(m) for m in masks] == [0, 0]


def test_bad_keys_say_what_to_do():
    with pytest.raises(ValueError, match='ground_truth'):
        build_model(head=dict(mask_source='gt'))
    with pytest.raises(ValueError, match='both'):
        build_model(detect_on='all')
    with pytest.raises(ValueError, match='pairs of frames'):
        inputs, samples = make_batch(([1], [1]))
        build_model().train().loss(inputs[:, :1], samples)
