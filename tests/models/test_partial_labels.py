"""Objects without masks and classes that are not annotated: what has a loss, and what has not."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config

from maskprop.models.partial_labels import partial_losses
from tests.models.builders import CLASSES, MODELS, build_model, make_batch

PAIRS = (([1, 2], [1, 2]), ([3, 4], [3, 4]))


def losses_of(model: torch.nn.Module, batch: tuple) -> dict[str, torch.Tensor]:
    torch.manual_seed(5)  # RoIs are sampled
    losses = model.loss(*batch)
    return {name: sum(value) if isinstance(value, list) else value for name, value in losses.items()}


def frames_of(batch: tuple) -> list:
    return [frame for track in batch[1] for frame in track.video_data_samples]


def with_valid(batch: tuple, *maskless: int) -> tuple:
    """The batch with ``mask_valid``, False for the objects of these ids, whose masks are empty then."""
    batch = copy.deepcopy(batch)
    for frame in frames_of(batch):
        objects = frame.gt_instances
        objects.mask_valid = torch.tensor([i not in maskless for i in objects.instances_ids.tolist()])
        objects.masks.masks[~objects.mask_valid.numpy()] = 0
    return batch


def without(batch: tuple, *ids: int) -> tuple:
    """The batch without some objects."""
    batch = copy.deepcopy(batch)
    for frame in frames_of(batch):
        keep = [i not in ids for i in frame.gt_instances.instances_ids.tolist()]
        frame.gt_instances = frame.gt_instances[torch.tensor(keep)]
    return batch


@pytest.fixture(scope='module')
def batch():
    return make_batch(*PAIRS)


@pytest.mark.parametrize('detector', ['mask_rcnn', 'htc'])
def test_only_positives_with_a_mask_have_a_mask_loss(detector, batch, monkeypatch):
    model = build_model(detector).train()
    heads = model.detector.roi_head.mask_head
    seen = []

    def record(head, mask_preds, sampling_results, batch_gt_instances, rcnn_train_cfg):
        """Per positive: its loss, and the id of its object."""
        targets = head.get_targets(sampling_results, batch_gt_instances, rcnn_train_cfg)
        labels = torch.cat([result.pos_gt_labels for result in sampling_results])
        logits = mask_preds[torch.arange(len(labels)), labels]
        loss = F.binary_cross_entropy_with_logits(logits, targets, reduction='none').flatten(1).mean(1)
        pairs = zip(sampling_results, batch_gt_instances, strict=True)
        ids = [objects.instances_ids[result.pos_assigned_gt_inds] for result, objects in pairs]
        seen.append((loss.detach(), torch.cat(ids)))
        return original(head, mask_preds, sampling_results, batch_gt_instances, rcnn_train_cfg)

    owner = type(heads[0] if isinstance(heads, torch.nn.ModuleList) else heads)
    original = owner.loss_and_target
    monkeypatch.setattr(owner, 'loss_and_target', record)
    whole = losses_of(model, batch)
    monkeypatch.undo()
    partial = losses_of(model, with_valid(batch, 2, 3))
    names = [name for name in whole if name.endswith('loss_mask')]
    assert len(names) == len(seen) == (3 if detector == 'htc' else 1)
    weights = getattr(model.detector.roi_head, 'stage_loss_weights', [1])
    for name, weight, (loss, ids) in zip(names, weights, seen, strict=True):
        has_mask = (ids != 2) & (ids != 3)
        assert has_mask.any() and not has_mask.all()
        torch.testing.assert_close(whole[name].sum(), weight * loss.mean())
        torch.testing.assert_close(partial[name].sum(), weight * loss[has_mask].mean())
    same = [name for name in whole if 'mask' not in name and 'sem' not in name and 'prop' not in name]
    assert len(same) >= 4 and all(torch.equal(whole[name], partial[name]) for name in same)


@pytest.mark.parametrize('detector', ['mask_rcnn', 'htc'])
def test_nothing_changes_where_all_have_masks(detector, batch):
    model = build_model(detector).train()
    expected, found = losses_of(model, batch), losses_of(model, with_valid(batch))
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_batch_without_any_mask_trains_the_boxes(batch):
    model = build_model().train()
    losses = losses_of(model, with_valid(batch, 1, 2, 3, 4))
    assert losses['loss_mask'] == 0 and losses['loss_bbox'] > 0
    model.parse_losses(losses)[0].backward()
    missing = [name for name, p in model.detector.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []  # several processes wait for each gradient
    assert all(not p.grad.any() for p in model.detector.roi_head.mask_head.parameters())


def test_heads_on_pairs_never_see_an_object_without_a_mask(batch):
    heads = dict(
        frozen=('detector',),
        refinement_head=dict(type='MaskRefinementHead', patch_size=32, channels=8, num_blocks=1),
    )
    model = build_model(**heads).train()
    expected, found = losses_of(model, without(batch, 2, 3)), losses_of(model, with_valid(batch, 2, 3))
    assert expected.keys() == found.keys() and len(expected) >= 2
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert not torch.equal(expected['loss_prop'], losses_of(model, batch)['loss_prop'])


def test_the_semantic_map_leaves_boxes_without_a_mask_out(batch):
    from maskprop.models.frame_detector import _with_semantic_target

    detector = build_model('htc').detector
    sample = frames_of(with_valid(batch, 2))[0]
    semantic = _with_semantic_target(detector, sample).gt_sem_seg.sem_seg[0]
    x1, y1, x2, y2 = sample.gt_instances.bboxes[1].int().tolist()
    mask = torch.from_numpy(sample.gt_instances.masks.masks[0]).bool()
    box = torch.zeros_like(mask)
    box[y1:y2, x1:x2] = True
    assert (semantic[box & ~mask] == detector.roi_head.semantic_head.criterion.ignore_index).all()
    assert (semantic[mask] == sample.gt_instances.labels[0]).all()
    assert (semantic[~box & ~mask] == CLASSES).all()  # the background


def test_an_unknown_class_has_no_classification_loss_in_its_image(batch, monkeypatch):
    model = build_model().train()
    head = model.detector.roi_head.bbox_head
    batch = copy.deepcopy(batch)
    first, second = (track.video_data_samples[0] for track in batch[1])
    labels = first.gt_instances.labels.tolist()
    unknown = next(label for label in range(CLASSES) if label not in labels)
    first.set_metainfo(dict(unknown_labels=[unknown, labels[0]]))  # one that is there is known
    second.set_metainfo(dict(unknown_labels=[]))
    seen = []

    def record(self, cls_score, bbox_pred, rois, labels, *args, **kwargs):
        seen.append((cls_score, rois[:, 0], labels))
        return original(self, cls_score, bbox_pred, rois, labels, *args, **kwargs)

    original = type(head).loss
    monkeypatch.setattr(type(head), 'loss', record)
    found = losses_of(model, batch)['loss_cls']
    frames = frames_of(batch)
    for frame in frames:
        frame.set_metainfo(dict(unknown_labels=[]))
    known = losses_of(model, batch)['loss_cls']
    logits, images, labels = seen[1]
    others = [c for c in range(CLASSES + 1) if c != unknown]
    literal = F.cross_entropy(logits, labels, reduction='none')
    here = images == 0
    moved = labels[here] - (labels[here] > unknown).long()  # in the row without that column
    literal[here] = F.cross_entropy(logits[here][:, others], moved, reduction='none')
    torch.testing.assert_close(found, literal.mean())
    assert found < known


def test_an_unknown_class_gets_no_gradient(batch):
    model = build_model().train()
    batch = copy.deepcopy(batch)
    shown = {label for frame in frames_of(batch)[::2] for label in frame.gt_instances.labels.tolist()}
    batch = without(batch, *[i for i in (1, 2, 3, 4) if i % CLASSES == 2])
    assert shown == {0, 1, 2}
    for frame in frames_of(batch):
        frame.set_metainfo(dict(unknown_labels=[2]))
    losses_of(model, batch)['loss_cls'].backward()
    grad = model.detector.roi_head.bbox_head.fc_cls.weight.grad
    assert not grad[2].any() and grad[0].any() and grad[1].any() and grad[3].any()


def test_the_heads_are_as_before_also_after_an_error(batch):
    roi_head = build_model('htc').detector.roi_head
    samples = frames_of(with_valid(batch, 1))
    samples[0].set_metainfo(dict(unknown_labels=[0]))
    with pytest.raises(RuntimeError, match='stop'), partial_losses(roi_head, samples):
        assert all('loss_and_target' in vars(head) for head in (*roi_head.mask_head, *roi_head.bbox_head))
        raise RuntimeError('stop')
    assert not any('loss_and_target' in vars(head) for head in (*roi_head.mask_head, *roi_head.bbox_head))


def test_s0_takes_backbone_neck_and_rpn_of_a_detector_of_other_classes(tmp_path):
    """The layout of mmdet's OpenImages Faster R-CNN (601 classes, no masks), at the tests' size."""
    small = Config.fromfile('configs/_base_/models/tiny_mask_rcnn.py').model.detector
    boxes = copy.deepcopy(small)
    boxes.type = 'FasterRCNN'
    boxes.roi_head = {key: value for key, value in boxes.roi_head.items() if 'mask' not in key}
    boxes.roi_head.bbox_head.num_classes = 601
    torch.manual_seed(1)
    source = MODELS.build(boxes)
    torch.save(dict(state_dict=source.state_dict()), tmp_path / 'openimages.pth')
    torch.manual_seed(2)
    model = build_model()
    model.detector.init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'openimages.pth'))
    model.detector._is_init = False
    model.detector.init_weights()
    found, wanted = model.detector.state_dict(), source.state_dict()
    taken = [name for name in found if name.split('.')[0] in ('backbone', 'neck', 'rpn_head')]
    assert len(taken) > 100 and all(torch.equal(found[name], wanted[name]) for name in taken)
    assert found['roi_head.bbox_head.fc_cls.weight'].shape[0] == CLASSES + 1
