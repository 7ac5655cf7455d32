"""FEELVOS's head: what it trains on, and the objects of a video that it carries."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config

from maskprop.methods.feelvos.feelvos_head import FEELVOSHead, as_target, known_labels
from maskprop.methods.feelvos.hard_pixels import IGNORED, hard_share, hardest_pixel_loss
from maskprop.methods.feelvos.matching import make_reference, subsample_labels
from maskprop.methods.feelvos.object_tracker import FrameFeatures
from tests.models.builders import HEIGHT, WIDTH, build_model, known_frame, make_batch, make_detections, make_sample

TINY = dict(Config.fromfile('configs/feelvos/feelvos_tiny_synthetic.py').model.propagation_head)
BACKBONE = dict(
    type='ResNet',
    depth=18,
    base_channels=8,
    strides=(1, 2, 1, 1),
    dilations=(1, 1, 2, 4),
    out_indices=(0, 3),
    zero_init_residual=False,
)


def make_model(**options) -> torch.nn.Module:
    head = {**TINY, **options}
    linker = dict(type='PropagatedMaskLinker', threshold=0.1)
    return build_model(propagation_head=head, linker=linker, clip_radius=1)


def make_head(**options) -> FEELVOSHead:
    return make_model(**options).propagation_head.eval()


def make_code(seed: int = 0) -> FrameFeatures:
    features, embedding = torch.rand(2, 32, 16, 24, generator=torch.Generator().manual_seed(seed))
    return FrameFeatures(features, embedding[:16], (61, 93))


def make_labels(seed: int = 0, size: tuple[int, int] = (61, 93)) -> torch.Tensor:
    """A background with two objects, ids 1 and 4."""
    labels = torch.zeros(size, dtype=torch.long)
    labels[5:30, 8 + seed : 40 + seed] = 1
    labels[25:50, 50:80] = 4
    return labels


def triples():
    """Two samples of three frames; the second's reference shows nothing."""
    inputs, samples = make_batch(([1, 2], [2, 3]), ([], [5]))
    inputs = torch.cat([inputs, inputs[:, 1:].roll(2, -1)], 1)
    for sample in samples:
        sample.video_data_samples = [*sample.video_data_samples, sample.video_data_samples[1]]
    return inputs, samples


@pytest.mark.parametrize('backbone', [None, BACKBONE], ids=['of the FPN', 'of its own'])
@pytest.mark.parametrize('frames', [2, 3])
def test_every_parameter_has_a_gradient(backbone, frames):
    channels = dict(in_channels=64, low_channels=8) if backbone else {}
    model = make_model(backbone=backbone, **channels).train()
    model.requires_grad_(False).propagation_head.requires_grad_(True)
    inputs, samples = triples()
    for sample in samples:
        sample.video_data_samples = sample.video_data_samples[:frames]
    losses = model.loss(inputs[:, :frames], samples)
    losses['loss_feelvos'].backward()
    missing = [name for name, p in model.propagation_head.named_parameters() if p.grad is None or not p.grad.any()]
    assert losses['loss_feelvos'] > 0 and not missing
    assert int(model.propagation_head.steps) == 1


def test_a_batch_without_objects_has_gradients_of_zero():
    model = make_model().train()
    model.propagation_head.zero_grad()
    inputs, samples = make_batch(([], [5]))
    loss = model.loss(inputs, samples)['loss_feelvos']
    loss.backward()
    assert loss == 0 and all(p.grad is not None and not p.grad.any() for p in model.propagation_head.parameters())


def test_a_pair_is_a_triple_whose_reference_is_the_previous_frame():
    model = make_model().eval()  # no dropout, nothing drawn
    inputs, samples = make_batch(([1, 2], [2, 3]))
    pair = model.loss(inputs, samples)['loss_feelvos']
    samples[0].video_data_samples = [samples[0].video_data_samples[i] for i in (0, 0, 1)]
    assert pair > 0 and torch.isclose(model.loss(inputs[:, [0, 0, 1]], samples)['loss_feelvos'], pair)


def test_each_frame_of_a_triple_has_its_part():
    """The loss from the frames one by one: the first is the reference, the last is segmented."""
    model = make_model(max_reference_cells=None).eval()
    head = model.propagation_head
    torch.nn.init.normal_(head.object_head.logit.weight)  # else all logits are nearly equal
    inputs, samples = make_batch(([1, 2], [2, 3]))
    inputs = torch.cat(
        [inputs, torch.randn(1, 1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(3))], 1
    )
    frames = [make_sample([1, 2], 0), make_sample([1, 2], 0, frame=4), make_sample([2, 1], 5)]
    samples[0].video_data_samples = frames
    with torch.no_grad():
        found = model.loss(inputs, samples)['loss_feelvos']
        codes = [head.encode_features(*model.detector.extract_feat(inputs[:, t])[:2]) for t in range(3)]
        labels = torch.zeros(3, HEIGHT, WIDTH, dtype=torch.long)
        for frame, sample in zip(labels, frames, strict=True):
            masks = sample.gt_instances.masks.masks
            for row in sorted(range(2), key=lambda row: -masks[row].sum()):
                frame[torch.from_numpy(masks[row]).bool()] = sample.gt_instances.instances_ids[row].long() + 1
        logits, objects = head.train_logits(codes[2][0][0], [code[1][0] for code in codes], labels[0], labels[1])
        target = sum(row * (labels[2] == label) for row, label in enumerate(objects))
        full = F.interpolate(logits[None], (HEIGHT, WIDTH), mode='bilinear', align_corners=True)
    assert objects == [0, 2, 3]
    torch.testing.assert_close(found, F.cross_entropy(full, target[None]), atol=1e-4, rtol=1e-4)


def test_other_numbers_of_frames_are_refused():
    inputs, samples = triples()
    with pytest.raises(ValueError, match='propagation_head trains on 2 or 3 frames, but samples have 1'):
        for sample in samples:
            sample.video_data_samples = sample.video_data_samples[:1]
        make_model().loss(inputs[:, :1], samples)


def test_a_frozen_detector_is_not_run_for_a_head_with_its_own_backbone(monkeypatch):
    model = make_model(backbone=BACKBONE, in_channels=64, low_channels=8)
    model.frozen = ('detector',)
    monkeypatch.setattr(model.detector, 'extract_feat', None)
    assert model.loss(*triples())['loss_feelvos'] > 0


def test_training_and_test_give_the_same_logits():
    """The arg-min of training with all reference cells against the tracker's way."""
    head = make_head(max_reference_cells=None, min_reference_cells=1)
    first, before, now = (make_code(seed) for seed in range(3))
    reference, previous = make_labels(), make_labels(3)
    with torch.no_grad():
        logits, objects = head.train_logits(
            now.features, [code.embedding for code in (first, before, now)], reference, previous
        )
        cells = subsample_labels(reference, (16, 24)), subsample_labels(previous, (16, 24))
        known = make_reference(first.embedding, cells[0], [0, 1, 4])
        expected = head.segment(now, [known], before.embedding, cells[1], [0, 1, 4])
    assert objects == [0, 1, 4]
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)


def test_objects_with_few_reference_cells_are_left_out():
    head = make_head(min_reference_cells=10)
    labels = make_labels()
    labels[55:60, 3:6] = 7
    codes = [make_code(seed) for seed in range(3)]
    _, objects = head.train_logits(codes[2].features, [code.embedding for code in codes], labels, labels)
    assert objects == [0, 1, 4]


def test_targets():
    """Not in the reference: background; left out, or in the padding: ignored."""
    reference, current = torch.tensor([[0, 1, 4]]), torch.tensor([[0, 1, 4, 9, 4], [0, 0, 0, 0, 0]])
    known = known_labels([reference, current])[1]
    assert known.tolist() == [[0, 1, 4, 0, 4], [0] * 5]
    assert as_target(known, [0, 4], (1, 4)).tolist() == [[0, IGNORED, 1, 0, IGNORED], [IGNORED] * 5]


def test_hardest_pixels():
    """Of 10 pixels, 2 ignored: the hardest 5 hold ignored ones only where fewer than 5 have a loss."""
    generator = torch.Generator().manual_seed(0)
    logits, target = torch.randn(3, 2, 5, generator=generator), torch.arange(10).view(2, 5) % 3
    target[0, :2] = IGNORED
    losses = F.cross_entropy(logits[None], target[None], ignore_index=IGNORED, reduction='none').flatten()
    by_size = losses.sort(descending=True).values
    torch.testing.assert_close(hardest_pixel_loss(logits, target, 0.5), by_size[:5].mean())
    torch.testing.assert_close(hardest_pixel_loss(logits, target, 1.0), by_size.sum() / 8)
    assert [hard_share(step, 0.15, 100) for step in (0, 50, 100, 500)] == pytest.approx([1, 0.575, 0.15, 0.15])


def test_objects_share_no_pixel_and_an_ended_one_leaves_its_pixels():
    head = make_head()
    tracker = head.start_objects()
    labels = make_labels()
    tracker.begin(make_code(), torch.stack([labels == 1, labels == 4]), [1, 2])
    carried = tracker.step(make_code(1))
    assert carried.soft.shape == (2, 16, 24) and carried.final.shape == (2, 61, 93)
    assert carried.final.sum(0).max() <= 1
    assert (tracker.labels == 1).equal(carried.final[0])
    tracker.forget([1])
    assert tracker.ids == [2] and not (tracker.labels == 1).any()
    assert tracker.step(make_code(2)).final.shape == (1, 61, 93)


def test_an_object_between_the_cells_is_started_at_the_nearest_one():
    tracker = make_head().start_objects()
    mask = torch.zeros(1, 61, 93, dtype=torch.bool)
    mask[0, 30, 42] = True
    assert not subsample_labels(mask[0], (16, 24)).any()
    tracker.begin(make_code(), mask, [1])
    assert tracker._references[0].objects == [0, 1] and tracker._references[0].counts == [16 * 24 - 1, 1]


def test_a_later_object_knows_its_own_frame_and_the_background_of_both():
    tracker = make_head().start_objects()
    labels, codes = make_labels(), [make_code(seed) for seed in range(2)]
    tracker.begin(codes[0], (labels == 1)[None], [1])
    tracker.step(codes[1])
    before = tracker.labels
    tracker.begin(codes[1], (labels == 4)[None], [2])
    assert [reference.objects for reference in tracker._references] == [[0, 1], [0, 2]]
    assert tracker.labels.equal(before.masked_fill(labels == 4, 2))
    tracker.refresh(codes[1], (labels == 1)[None], [1])
    assert (tracker.labels == 1).equal(labels == 1)


def test_a_clip_keeps_the_sources_masks():
    model = make_model().eval()
    frames = [known_frame(model, make_detections(3, seed), torch.randn(1, 3, HEIGHT, WIDTH)) for seed in range(3)]
    found = model.propagation_head.propagate(frames[1], frames)
    assert found.shape == (3, 3, HEIGHT // 4, WIDTH // 4)
    assert found[1].equal(frames[1].masks) and 0 <= found.min() and found.max() <= 1


@pytest.mark.parametrize('output', ['propagated', 'detected'])
def test_a_video(output, monkeypatch):
    """Detections of the first frame, then none: they are carried, or gone."""
    model = make_model().eval()
    found = iter([make_detections(2), *[make_detections(0)] * 2])
    monkeypatch.setattr(type(model.frame_detector), 'detect', lambda *args: [next(found)])
    monkeypatch.setattr(type(model.propagation_head), 'segment', stay)
    stream = model.start_video(linker=dict(type='PropagatedMaskLinker', output=output))
    meta = make_batch(([], []))[1][0].video_data_samples[0].metainfo
    results = [r for t in range(3) for r in stream.step(torch.zeros(1, 3, HEIGHT, WIDTH), copy.deepcopy(meta))]
    results += stream.finish()
    assert len(results) == 3 and results[0].ids == [1, 2] and results[0].filled == [False] * 2
    if output == 'detected':
        assert results[1].ids == results[2].ids == []
    else:
        assert all(r.ids == [1, 2] and r.filled == [True] * 2 for r in results[1:])


def stay(head, code, references, previous, labels, objects) -> torch.Tensor:
    """Logits by which every object stays where it is."""
    return torch.stack([(labels == label).float() for label in objects])


@pytest.mark.parametrize('options', [dict(last_share=0), dict(radius=-1)])
def test_bad_values(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        make_model(**options)
