"""The refinement head in the video model: which masks it sees, and which ones are refined."""

from __future__ import annotations

import pytest
import torch
from pycocotools import mask as mask_utils

from tests.models.builders import HEIGHT, WIDTH, build_model, known_frame, make_batch, make_detections, make_sample

META = make_sample([], 0).metainfo
REFINEMENT = dict(type='MaskRefinementHead', patch_size=48, channels=8, num_blocks=1)


def refining(**kwargs):
    return build_model(refinement_head=REFINEMENT, clip_radius=1, merge_iou=None, **kwargs)


def run(model, frames, **overrides):
    stream = model.start_video(**overrides)
    return [r for frame in frames for r in stream.push(frame)] + stream.finish()


def test_trains_on_jittered_boxes_and_the_models_own_masks(monkeypatch):
    model = refining(frozen=('detector', 'propagation_head')).train()
    seen, loss = [], model.refinement_head.mask_losses
    monkeypatch.setattr(model.refinement_head, 'mask_losses', lambda *args: seen.append(args) or loss(*args))
    inputs, samples = make_batch(([1, 2], [1]), ([3], []))
    losses = model.loss(inputs, samples)
    assert set(losses) == {'loss_refine_bce', 'loss_refine_iou'}
    images, boxes, roi_masks, masks = seen[0]
    assert torch.equal(images, inputs[:, 0])  # key frames only
    keys = [track.video_data_samples[0].gt_instances for track in samples]
    for key, box, soft, truth in zip(keys, boxes, roi_masks, masks, strict=True):
        assert 0 < (box - key.bboxes).abs().max() < 10
        assert soft.shape[:2] == (len(key), 28) and not soft.requires_grad
        assert torch.equal(truth, key.masks.to_tensor(torch.bool, 'cpu'))
    model.parse_losses(losses)[0].backward()
    assert all(p.grad is not None for p in model.refinement_head.parameters())
    assert all(p.grad is None for p in model.detector.parameters())


def test_only_the_detections_final_masks_are_refined(monkeypatch):
    """A head that fills its window: the result shows it, what is propagated and linked doesn't."""
    model = refining().eval()
    monkeypatch.setattr(model.refinement_head, 'refine', lambda image, boxes, masks: (torch.ones(2, 8, 8), boxes))
    found = make_detections(2)._replace(boxes=torch.tensor([[8.0, 8, 40, 40], [50, 10, 80, 50]]))
    frames = [known_frame(model, found, torch.zeros(1, 3, HEIGHT, WIDTH)) for _ in range(3)]
    refined, plain = run(model, frames), run(model, frames, refine=False)
    assert [r.ids for r in refined] == [r.ids for r in plain]
    for result, before in zip(refined, plain, strict=True):
        areas = [int(mask_utils.area(m)) for m in result.masks]
        assert areas == pytest.approx([32 * 32, 30 * 40], abs=4)  # less the corners
        assert before.masks == frames[0].rles != result.masks
    without = build_model(clip_radius=1, merge_iou=None).eval()
    assert torch.equal(known_frame(without, found).masks, frames[0].masks)


def test_an_untrained_head_leaves_masks_as_they_are():
    model = refining().eval()
    smooth = torch.linspace(-1, 1, 28)
    disc = ((smooth[:, None] ** 2 + smooth**2).sqrt() < 0.8).float()
    found = make_detections(4)._replace(roi_masks=disc.expand(4, 28, 28))
    frame = known_frame(model, found, torch.randn(1, 3, HEIGHT, WIDTH))
    for ours, theirs in zip(frame.codes['refinement_head'].values, frame.rles, strict=True):
        assert mask_utils.iou([ours], [theirs], [0]) > 0.85


def test_costs_nothing_when_off(monkeypatch):
    model, calls = refining().eval(), []
    refine = model.refinement_head.refine
    monkeypatch.setattr(model.refinement_head, 'refine', lambda *args: calls.append(1) or refine(*args))
    for wanted in (True, False):
        model.start_video(refine=wanted).step(torch.randn(1, 3, HEIGHT, WIDTH), META)
        assert len(calls) == 1


def test_bad_combinations_are_refused():
    with pytest.raises(ValueError, match='refine=True needs a refinement_head'):
        build_model().eval().start_video(refine=True)
    with pytest.raises(ValueError, match='output_mask is "propagated"'):
        refining(output_mask='propagated').eval().start_video()
