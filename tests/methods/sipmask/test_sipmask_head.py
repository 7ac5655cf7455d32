"""SipMask's head: its alignment, targets, losses and detections, each against another way to compute it."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

import maskprop

maskprop.register_all()

from mmdet.models.dense_heads import FCOSHead  # noqa: E402

from maskprop.engine.config import ConfigError  # noqa: E402
from maskprop.methods.sipmask.feature_align import FeatureAlign  # noqa: E402
from maskprop.methods.sipmask.point_assigner import PointAssigner  # noqa: E402
from maskprop.methods.sipmask.sipmask_head import SipMaskHead, paired_iou, widen  # noqa: E402
from maskprop.methods.sipmask.towers import join_levels  # noqa: E402
from tests.methods.sipmask.sipmask_model import build_sipmask  # noqa: E402
from tests.models.builders import CLASSES, HEIGHT, WIDTH, make_batch  # noqa: E402


def test_alignment_is_a_plain_convolution_without_offsets():
    align = FeatureAlign(8, 8, num_groups=4)
    torch.nn.init.zeros_(align.conv_offset.weight)
    feats = torch.randn(2, 8, 5, 6)
    expected = align.norm(F.conv2d(feats, align.conv_adaption.weight, padding=1)).relu()
    torch.testing.assert_close(align(feats, torch.randn(2, 4, 5, 6)), expected, atol=1e-5, rtol=1e-5)


def test_offsets_are_y_then_x():
    """Every tap moved down by the first distance: the same as the features moved up."""
    align = FeatureAlign(8, 8, num_groups=4)
    torch.nn.init.zeros_(align.conv_offset.weight)
    align.conv_offset.weight.data[0::2, 0] = 1  # dy of every group and tap
    feats = torch.randn(1, 8, 6, 6)
    shape = torch.zeros(1, 4, 6, 6)
    shape[:, 0] = 2
    found = align.conv_adaption(feats, align.conv_offset(shape))
    moved = F.pad(feats, (0, 0, 0, 2))[:, :, 2:]
    # but for the first row, whose upper taps are inside of the map now
    expected = F.conv2d(moved, align.conv_adaption.weight, padding=1)
    torch.testing.assert_close(found[:, :, 1:], expected[:, :, 1:], atol=1e-5, rtol=1e-5)


def test_initial_weights():
    model = build_sipmask()
    head, track_head = model.detector.bbox_head, model.track_head
    assert not head.feat_align.conv_offset.weight.any()
    normal = (
        head.feat_align.conv_adaption,
        head.conv_coefficients,
        head.basis_conv1,
        track_head.track_convs[0].conv,
    )
    assert all(0.009 < float(layer.weight.std()) < 0.011 for layer in normal)
    assert torch.allclose(head.conv_cls.bias.sigmoid(), torch.tensor(0.01))
    assert float(track_head.conv_embed.weight.std()) > 0.03, "PyTorch's own"


@pytest.mark.parametrize('counts', [(4, 0), (1, 6)])
def test_targets_are_those_of_mmdets_head(counts):
    strides, ranges = (8, 16, 32), ((-1, 32), (32, 64), (64, 1e8))
    assigner = PointAssigner(strides, ranges)
    theirs = FCOSHead(CLASSES, 32, strides=strides, regress_ranges=ranges, center_sampling=True)
    generator = torch.Generator().manual_seed(0)
    objects = []
    for count in counts:
        corners = torch.rand(count, 2, generator=generator) * 60
        boxes = torch.cat([corners, corners + 10 + 80 * torch.rand(count, 2, generator=generator)], 1)
        labels = torch.randint(0, CLASSES, (count,), generator=generator)
        objects.append(InstanceData(bboxes=boxes, labels=labels))
    points = assigner.points([(12, 16), (6, 8), (3, 4)], torch.zeros(1))
    labels, distances = theirs.get_targets(points, objects)
    rows, found = assigner.assign(points, [own.bboxes for own in objects])
    sizes = [len(level) for level in points]
    for image, own in enumerate(objects):
        expected = torch.cat([level.view(2, size)[image] for level, size in zip(labels, sizes, strict=True)])
        positive = rows[image] >= 0
        assert torch.equal(positive, expected < CLASSES)
        assert torch.equal(own.labels[rows[image, positive]], expected[positive])
        wanted = torch.cat([level.view(2, size, 4)[image] for level, size in zip(distances, sizes, strict=True)])
        torch.testing.assert_close(found[image, positive], wanted[positive])
        if len(own) > 1:
            assert positive.sum() > 5


def test_levels_are_joined_at_the_finest():
    levels = [torch.randn(1, 2, 8, 12), torch.randn(1, 2, 4, 6), torch.randn(1, 2, 2, 3)]
    joined = join_levels(levels)
    assert joined.shape == (1, 6, 8, 12)
    assert torch.equal(joined[:, :2], levels[0])
    expected = 0.75 * 0.75 * levels[1][..., 0, 0] + 0.25 * 0.75 * (levels[1][..., 0, 1] + levels[1][..., 1, 0])
    torch.testing.assert_close(joined[:, 2:4, 1, 1], expected + 0.25 * 0.25 * levels[1][..., 1, 1])


def detector_losses(objects=([1, 2], [2, 3]), model=None):
    model = (model or build_sipmask()).train()
    inputs, samples = make_batch(objects)
    feats = model.detector.extract_feat(inputs[0])
    return (
        model,
        feats,
        samples[0].video_data_samples,
        model.frame_detector.loss(feats, samples[0].video_data_samples),
    )


@pytest.mark.parametrize('objects', [([1, 2], [3]), ([], []), ([1], [])], ids=str)
def test_losses_reach_every_parameter(objects):
    model, _, _, (losses, boxes) = detector_losses(objects)
    assert set(losses) == {'loss_cls', 'loss_bbox', 'loss_centerness', 'loss_mask'}
    assert all(torch.isfinite(loss) and loss.dim() == 0 for loss in losses.values())
    assert [b.shape for b in boxes] == [(12 * 8 + 6 * 4 + 3 * 2, 4)] * 2 and not boxes[0].requires_grad
    sum(losses.values()).backward()
    assert [n for n, p in model.detector.named_parameters() if p.requires_grad and p.grad is None] == []


def test_box_losses_by_hand():
    """-log IoU of boxes with their last pixel, weighted by the centerness of the targets."""
    model, feats, samples, (losses, boxes) = detector_losses()
    head = model.detector.bbox_head
    found = head.flatten(*head(feats))
    rows, _ = head.assigner.assign(found.points, [s.gt_instances.bboxes for s in samples])
    points = torch.cat(found.points)
    total = weight_sum = entropy = 0.0
    for image, sample in enumerate(samples):
        for place in (rows[image] >= 0).nonzero()[:, 0].tolist():
            x, y = points[place].tolist()
            a = boxes[image][place].tolist()
            b = sample.gt_instances.bboxes[rows[image, place]].tolist()
            left, top, right, bottom = x - b[0], y - b[1], b[2] - x, b[3] - y
            weight = (min(left, right) / max(left, right) * min(top, bottom) / max(top, bottom)) ** 0.5
            width, height = (max(0, min(a[i + 2], b[i + 2]) - max(a[i], b[i]) + 1) for i in (0, 1))
            areas = [(c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)]
            iou = max(width * height / (sum(areas) - width * height), 1e-6)
            total -= weight * float(torch.tensor(iou).log())
            weight_sum += weight
            p = found.centerness[image, place].detach().sigmoid()
            entropy -= float(weight * p.log() + (1 - weight) * (1 - p).log())
    count = int((rows >= 0).sum())
    assert count > 8
    assert losses['loss_bbox'].item() == pytest.approx(total / weight_sum, rel=1e-4)
    assert losses['loss_centerness'].item() == pytest.approx(entropy / count, rel=1e-4)


def test_classification_counts_points_and_images():
    model, feats, samples, (losses, _) = detector_losses()
    head = model.detector.bbox_head
    found = head.flatten(*head(feats))
    rows, _ = head.assigner.assign(found.points, [s.gt_instances.bboxes for s in samples])
    p = found.logits.sigmoid()
    wanted = torch.zeros_like(p)
    for image, place in (rows >= 0).nonzero().tolist():
        wanted[image, place, samples[image].gt_instances.labels[rows[image, place]]] = 1
    focal = torch.where(wanted > 0, -0.25 * (1 - p) ** 2 * p.log(), -0.75 * p**2 * (1 - p).log())
    expected = focal.sum() / ((rows >= 0).sum() + 2)
    torch.testing.assert_close(losses['loss_cls'], expected, rtol=1e-4, atol=1e-6)


def test_the_mask_loss_moves_neither_boxes_nor_class_scores():
    model, _, _, (losses, _) = detector_losses()
    losses['loss_mask'].backward()
    head = model.detector.bbox_head
    untouched = (head.conv_cls, head.conv_reg, head.conv_centerness)
    assert all(layer.weight.grad is None or not layer.weight.grad.any() for layer in untouched)
    touched = (head.conv_coefficients, head.basis_conv1, head.basis_conv2, head.feat_align.conv_adaption)
    assert all(layer.weight.grad.any() for layer in touched)


def test_classes_do_not_move_boxes_by_the_alignment():
    model = build_sipmask()
    torch.nn.init.normal_(model.detector.bbox_head.feat_align.conv_offset.weight)
    _, _, _, (losses, _) = detector_losses(model=model)
    losses['loss_cls'].backward()
    head = model.detector.bbox_head
    assert head.conv_reg.weight.grad is None and head.feat_align.conv_offset.weight.grad.any()


@pytest.mark.parametrize('strides', [(4, 8, 16), (8, 16)])
def test_other_strides_are_refused(strides):
    with pytest.raises(ConfigError, match='expected 3 or more, from 8'):
        SipMaskHead(CLASSES, 32, strides=strides)


def test_widened_and_halved_boxes():
    boxes = torch.tensor([[0.0, 0, 4, 4]])
    assert widen(boxes).tolist() == [[0, 0, 5, 5]]
    # halved: sides of 3 and 3, of 3 and 2; the common part has 6 cells
    assert paired_iou(boxes, torch.tensor([[0.0, 0, 4, 2]])).item() == pytest.approx(6 / 9)


def test_detections_are_the_best_of_each_level_after_fast_nms():
    model = build_sipmask().eval()
    head = copy.deepcopy(model.detector.bbox_head)
    torch.manual_seed(0)
    for layer in (head.conv_cls, head.conv_reg, head.conv_centerness, head.conv_coefficients):
        torch.nn.init.normal_(layer.weight, std=0.3)
    head.conv_cls.bias.data.zero_()
    head.test_cfg = ConfigDict(nms_pre=7, score_thr=0.3, iou_threshold=0.5, top_k=9, max_per_img=12)
    feats = [torch.randn(1, 32, HEIGHT // s, WIDTH // s) for s in (8, 16, 32)]
    with torch.no_grad():
        outputs = head(feats)
        found = head.predict_by_feat(head.flatten(*outputs), [dict(img_shape=(HEIGHT - 3, WIDTH - 5))])[0]
    rows = []  # score, label, box, coefficients of every candidate
    for stride, logits, distances, centres, cofs in zip((8, 16, 32), *outputs[:4], strict=True):
        scores = (logits.sigmoid() * centres.sigmoid())[0].flatten(1)
        for place in scores.amax(0).argsort(descending=True)[:7].tolist():
            x, y = (v * stride + stride / 2 for v in (place % logits.shape[3], place // logits.shape[3]))
            left, top, right, bottom = distances[0].flatten(1)[:, place].tolist()
            corners = [
                (v, WIDTH - 6 if i % 2 == 0 else HEIGHT - 4)
                for i, v in enumerate((x - left, y - top, x + right, y + bottom))
            ]
            box = [min(max(v, 0), last) for v, last in corners]
            rows.append((scores[:, place], box, cofs[0].flatten(1)[:, place]))
    kept = []
    for label in range(CLASSES):
        ordered = sorted(rows, key=lambda row: -float(row[0][label]))[:9]
        for i, (scores, box, cofs) in enumerate(ordered):
            if all(overlap(box, other) <= 0.5 for _, other, _ in ordered[:i]) and scores[label] > 0.3:
                kept.append((float(scores[label]), label, box, cofs))
    kept = sorted(kept, key=lambda row: -row[0])[:12]
    places = [next(n for n, row in enumerate(rows) if row[2] is cofs) for *_, cofs in kept]
    assert len(kept) > 8 and max(places) >= 7, 'of more than one level'
    torch.testing.assert_close(found.scores, torch.tensor([row[0] for row in kept]))
    assert found.labels.tolist() == [row[1] for row in kept]
    torch.testing.assert_close(found.boxes, torch.tensor([row[2] for row in kept]), atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(found.coefficients, torch.stack([row[3] for row in kept]))


def overlap(a, b):
    width, height = (max(0.0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return width * height / max(sum(areas) - width * height, 1e-6)
