"""SipMask-VIS's tracking branch and linking, against the reference's steps written out."""

from __future__ import annotations

import math

import pytest
import torch
from mmdet.registry import TASK_UTILS
from mmengine.config import Config

from maskprop.methods.sipmask.sipmask_losses import counts_in_masks
from maskprop.methods.sipmask.sipmask_track_head import match_targets, shift
from maskprop.models.frame_pairs import FramePairs
from maskprop.structures import Detections, Frame, FrameResult, PerInstance
from maskprop.tracking.video_instances import VideoInstances
from tests.methods.sipmask.sipmask_model import build_sipmask
from tests.models.builders import HEIGHT, WIDTH, make_batch, view_of

CONFIG = 'configs/sipmask/sipmask_r50_fpn_12e_ytvis2019.py'


def test_embeddings_are_read_at_the_cell_of_the_centre():
    head = build_sipmask().track_head
    embeds = torch.arange(96.0).view(1, 8, 12)
    boxes = torch.tensor(
        [[0.0, 0, 15.9, 15.9], [0, 0, 16, 16], [90, 60, 94, 62], [-90, -9, 0, 0], [500, 0, 600, 10]]
    )
    assert head.at_centres(embeds, boxes)[:, 0].tolist() == [0, 13, 7 * 12 + 11, 0, 11]


def test_targets_are_rows_of_the_other_frame_from_one():
    assert match_targets(torch.tensor([5, 2, 7]), torch.tensor([7, 9, 5])).tolist() == [3, 0, 1]
    assert match_targets(torch.tensor([5]), torch.zeros(0, dtype=torch.int32)).tolist() == [0]
    assert match_targets(torch.zeros(0, dtype=torch.int32), torch.tensor([5])).tolist() == []


def test_centres_move_by_shares_of_the_sides():
    moved = shift(torch.tensor([[10.0, 10, 30, 50]]), torch.tensor([[0.05, -0.05]]))
    assert moved.tolist() == [[11, 8, 31, 48]]


def pairs_of(model, objects):
    inputs, samples = make_batch(*objects)
    feats = model.detector.extract_feat(inputs.flatten(0, 1))
    frames = [frame for sample in samples for frame in sample.video_data_samples]
    return FramePairs(detector=model.frame_detector, feats=feats, samples=frames, inputs=inputs)


def literal_match_loss(head, pairs):
    """Point by point, as the reference loops."""
    embeds = head.embed(pairs.feats)
    sizes = [level.shape[-2:] for level in pairs.feats]
    points = torch.cat(head.assigner.points(sizes, pairs.feats[0]))
    losses = []
    for image, (key, other) in enumerate(zip(pairs.keys, pairs.others, strict=True)):
        key, other = key.gt_instances, other.gt_instances
        rows = head.assigner.assign(head.assigner.points(sizes, pairs.feats[0]), [key.bboxes])[0][0].tolist()
        own = []
        for place in range(len(points)):
            x1, y1, x2, y2 = pairs.proposals[image][place].tolist()
            if rows[place] < 0 or (x2 - x1) / 2 * ((y2 - y1) / 2) <= 1:
                continue
            cell = embeds[2 * image][
                :, min(max(math.floor((y1 + y2) / 16), 0), 7), min(max(math.floor((x1 + x2) / 16), 0), 11)
            ]
            logits = [torch.zeros(())]
            for x1, y1, x2, y2 in other.bboxes.tolist():
                logits.append(cell @ embeds[2 * image + 1][:, int((y1 + y2) / 16), int((x1 + x2) / 16)])
            ids = other.instances_ids.tolist()
            wanted = int(key.instances_ids[rows[place]])
            column = 1 + ids.index(wanted) if wanted in ids else 0
            own.append(torch.stack(logits).logsumexp(0) - logits[column])
        losses.append(torch.stack(own).mean() if own else torch.zeros(()))
    return torch.stack(losses).mean()


@pytest.mark.parametrize(
    'objects', [[([1, 2], [2, 3]), ([4], [5])], [([1, 2], []), ([], [3]), ([4], [4])]], ids=str
)
def test_match_loss_equals_the_literal_one(objects):
    model = build_sipmask().train()
    head = model.track_head
    head.jitter = 0
    torch.manual_seed(0)
    torch.nn.init.normal_(model.detector.bbox_head.conv_reg.weight, std=0.04)  # boxes above and below a cell
    pairs = pairs_of(model, objects)
    sizes = torch.cat([counts_in_masks(boxes) for boxes in pairs.proposals]).float().mean()
    assert 0.1 < sizes < 0.9
    losses = head.loss(pairs)
    expected = literal_match_loss(head, pairs)
    torch.testing.assert_close(losses['loss_match'], expected, rtol=1e-4, atol=1e-5)
    assert 0 <= float(losses['match_accuracy']) <= 100
    ours, theirs = (
        torch.autograd.grad(x, head.conv_embed.weight, retain_graph=True)[0]
        for x in (losses['loss_match'], expected)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-6)


def test_every_parameter_is_reached_without_objects():
    model = build_sipmask().train()
    losses = model.track_head.loss(pairs_of(model, [([], [])]))
    losses['loss_match'].backward()
    assert losses.keys() == {'loss_match'} and losses['loss_match'].item() == 0
    assert [n for n, p in model.track_head.named_parameters() if p.grad is None] == []


def test_the_head_can_be_trained_alone():
    model = build_sipmask(frozen=('detector',)).train()
    torch.nn.init.constant_(model.detector.bbox_head.conv_reg.bias, 2.0)  # boxes of some size
    losses = model.loss(*make_batch(([1, 2], [2, 3])))
    assert set(losses) == {'loss_match', 'match_accuracy'}


def test_embeddings_follow_the_instances():
    model = build_sipmask().eval()
    view = view_of(model, torch.randn(1, 3, HEIGHT, WIDTH))
    boxes = torch.tensor([[8.0, 8, 24, 24], [40, 16, 60, 50]])
    found = Detections(boxes, torch.ones(2), torch.zeros(2, dtype=torch.long), None)
    with torch.no_grad():
        code = model.track_head.encode(view, found)
        expected = model.track_head.embed(view.feats)[0][:, [2, 4], [2, 6]].T
    assert isinstance(code, PerInstance)
    torch.testing.assert_close(code.values, expected)


class LiteralTracker:
    """The reference's loop of one video in Python numbers."""

    def __init__(self):
        self.memory = []  # embedding, box, first label

    def link(self, embeds, boxes, labels, scores):
        """Ids from 0, None for those without a mask in the end."""
        known, best, ids = len(self.memory), {}, []
        for embed, box, label, score in zip(embeds, boxes, labels, scores, strict=True):
            logits = [0.0] + [sum(a * b for a, b in zip(embed, m[0], strict=True)) for m in self.memory[:known]]
            top = max(logits)
            normaliser = top + math.log(sum(math.exp(v - top) for v in logits))
            comp = [logits[0] - normaliser + math.log(score) + 10]
            for logit, (_, other, first) in zip(logits[1:], self.memory[:known], strict=True):
                comp.append(
                    logit - normaliser + math.log(score) + 2 * legacy_iou(box, other) + 10 * (label == first)
                )
            column = comp.index(max(comp))
            if not known or column == 0:
                ids.append(len(self.memory))
                self.memory.append((embed, box, label))
            elif column - 1 in best and comp[column] <= best[column - 1]:
                ids.append(None)
            else:
                best[column - 1] = comp[column]
                ids.append(column - 1)
        last = {track_id: row for row, track_id in enumerate(ids)}
        for track_id, row in last.items():
            if track_id is not None:
                self.memory[track_id] = (embeds[row], boxes[row], self.memory[track_id][2])
        return [
            track_id if last.get(track_id) == row and track_id is not None else None
            for row, track_id in enumerate(ids)
        ]


def legacy_iou(a, b):
    width, height = (max(0.0, min(a[i + 2], b[i + 2]) - max(a[i], b[i]) + 1) for i in (0, 1))
    areas = [(c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b)]
    return width * height / (sum(areas) - width * height)


@pytest.mark.parametrize('seed', range(4))
def test_the_configs_linker_is_the_literal_one(seed):
    linker = TASK_UTILS.build(Config.fromfile(CONFIG).model.linker)
    literal = LiteralTracker()
    generator = torch.Generator().manual_seed(seed)
    losers = 0
    for count in (0, 3, 5, 4, 6, 0, 5):
        corners = torch.rand(count, 2, generator=generator) * 40
        boxes = torch.cat([corners, corners + 20], 1)
        embeds = torch.randn(count, 3, generator=generator)
        labels = torch.randint(0, 2, (count,), generator=generator).tolist()
        scores = (0.1 + 0.8 * torch.rand(count, generator=generator)).tolist()
        frame = Frame(
            masks=torch.zeros(count, 1, 1),
            boxes=boxes,
            class_scores=[{label: score} for label, score in zip(labels, scores, strict=True)],
            rles=[{}] * count,
            size=(HEIGHT, WIDTH),
            map_size=(HEIGHT, WIDTH),
            codes=dict(track_head=PerInstance(embeds)),
        )
        expected = literal.link(embeds.tolist(), boxes.tolist(), labels, scores)
        losers += expected.count(None)
        assert linker.link(frame) == [None if i is None else i + 1 for i in expected]
    assert losers and len(literal.memory) > 3


def test_of_equally_frequent_labels_the_lowest():
    rle = dict(size=[1, 1], counts='1')
    for rule, category in (('majority_lowest', 1), ('majority', 2)):
        instances = VideoInstances(rule)
        for index, (label, score) in enumerate([(2, 0.9), (1, 0.5), (1, 0.6), (2, 0.8), (0, 1.0)]):
            result = FrameResult(index)
            result.add(1, label, score, rle)
            instances.add_frame(result)
        (result,) = instances.iter_results(0, range(9))
        assert result['category_id'] == category and result['score'] == pytest.approx(0.76)
