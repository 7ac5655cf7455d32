"""Features with support frames: the stream's ring against the definition, pairs in training, one pass a frame."""

from __future__ import annotations

import pytest
import torch

from maskprop.models.frame_pairs import pair_features
from tests.models.builders import HEIGHT, WIDTH, build_model, make_batch, make_sample

META = make_sample([], 0).metainfo
WINDOW, SUPPORT = 2, 2


def sampling_model(**kwargs):
    model = build_model(
        aggregator=dict(
            type='SpatiotemporalSampler',
            levels=(1, 3),
            in_channels=(32, 128),
            channels=8,
            num_layers=2,
            bottleneck=8,
            embed_channels=(8, 8, 8),
            window=WINDOW,
            num_support=SUPPORT,
        ),
        **kwargs,
    )
    for sampler in model.aggregator.samplers:  # so that it samples elsewhere than at its own place
        torch.nn.init.normal_(sampler.offset_conv.weight, std=0.1)
    return model


def images_of(count, seed=0):
    return torch.randn(count, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed))


def literal(model, images, t, near):
    """FPN features of frame t from backbone passes of its own."""
    levels = [model.detector.backbone(images[i][None]) for i in near]
    supports = tuple(torch.stack(level, 1) for level in zip(*levels, strict=True))
    return model.detector.neck(model.aggregator.aggregate(model.detector.backbone(images[t][None]), supports))


@pytest.mark.parametrize('length, batch', [(1, 1), (2, 1), (7, 1), (1, 3), (7, 3)])
@torch.no_grad()
def test_each_frame_has_its_window_and_one_backbone_pass(length, batch):
    model, images, passes, views = sampling_model().eval(), images_of(length), [], []
    features = model.start_features(batch)
    hook = model.detector.backbone.register_forward_hook(lambda _, inputs, __: passes.append(len(inputs[0])))
    ready = []
    for image in images:
        views += features.step(image[None], META)
        ready.append(len(views))
    views += features.finish()
    hook.remove()
    assert sum(passes) == len(views) == length
    assert len(passes) == -(-length // batch)
    assert ready == [max((t + 1) // batch * batch - WINDOW, 0) for t in range(length)]
    for t, view in enumerate(views):
        assert torch.equal(view.image[0], images[t])
        near = range(max(t - WINDOW, 0), min(t + WINDOW + 1, length))
        for ours, theirs in zip(view.feats, literal(model, images, t, near), strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    if length > 1:
        alone = literal(model, images, 0, [0])
        assert (alone[3] - views[0].feats[3]).abs().max() > 1e-3


@torch.no_grad()
def test_several_frames_at_once_are_as_one_by_one():
    model, images = build_model().eval(), images_of(5)
    expected = [model.detector.extract_feat(image[None]) for image in images]
    features = model.start_features(2)
    ready = [features.step(image[None], {**META, 'frame_id': t}) for t, image in enumerate(images)]
    assert [len(views) for views in ready] == [0, 2, 0, 2, 0]
    views = [view for some in ready for view in some] + features.finish()
    assert [view.meta['frame_id'] for view in views] == [0, 1, 2, 3, 4]
    for t, view in enumerate(views):
        assert torch.equal(view.image[0], images[t])
        for ours, theirs in zip(view.feats, expected[t], strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_on_a_cpu_features_have_a_cell_s_channels_side_by_side(monkeypatch):
    model, images = build_model().eval(), images_of(2)
    (view,) = model.start_features().step(images[:1], META)
    assert all(level.is_contiguous() for level in view.feats)  # of a small image
    monkeypatch.setattr('maskprop.ops.layout.SMALL_IMAGE', HEIGHT * WIDTH)
    (view,) = model.start_features().step(images[:1], META)
    pair, _ = pair_features(model.detector, None, images[None])
    for level in [*view.feats, *pair, model.propagation_head.encode_features(view.feats).motion]:
        assert level.is_contiguous(memory_format=torch.channels_last)


def test_a_batch_of_no_frames_is_refused():
    with pytest.raises(ValueError, match='frames_at_once=0: expected 1 or more'):
        build_model(frames_at_once=0)


@torch.no_grad()
def test_pairs_use_their_own_support_frames():
    model, images = sampling_model().eval(), images_of(12).view(2, 6, 3, HEIGHT, WIDTH)
    feats, frames = pair_features(model.detector, model.aggregator, images)
    assert frames == 2
    for sample in range(2):
        for t, near in ((0, (0, 2, 3)), (1, (1, 4, 5))):
            for ours, theirs in zip(feats, literal(model, images[sample], t, near), strict=True):
                torch.testing.assert_close(ours[2 * sample + t], theirs[0], atol=1e-5, rtol=1e-4)


def test_training_reaches_the_aggregator_and_losses_are_of_the_pair_alone():
    model = sampling_model().train()
    inputs, samples = make_batch(([1, 2], [1]), ([3], [3, 1]))
    inputs = torch.cat([inputs, images_of(8).view(2, 4, 3, HEIGHT, WIDTH)], 1)
    for track in samples:
        track.video_data_samples = track.video_data_samples + [make_sample([], 0)] * 4
    loss, _ = model.parse_losses(model.loss(inputs, samples))
    loss.backward()
    assert all(p.grad is not None for p in model.aggregator.parameters())
    assert model.aggregator.samplers[1].offset_conv.weight.grad.abs().sum() > 0
    with pytest.raises(ValueError, match='2 support frames each, 6 in all, but samples have 2: set num_support=2'):
        model.loss(inputs[:, :2], samples)


@torch.no_grad()
def test_a_stream_ends_with_the_frames_that_waited():
    """Results come in order and once each, whatever waits in the feature ring, in the clip, and for filling."""
    model, images = sampling_model(clip_radius=1, fill=True).eval(), images_of(7)
    stream = model.start_video()
    results = [r for image in images for r in stream.step(image[None], META)]
    assert [r.frame_index for r in results] == [0, 1, 2]  # 6 - window 2 - clip 1 - filling 1
    results += stream.finish()
    assert [r.frame_index for r in results] == list(range(7))
    assert stream.video_instances().length == 7


def test_an_aggregator_without_a_loss_is_refused():
    """Distributed training would wait for its gradients."""
    frozen = dict(frozen=('detector', 'propagation_head'))
    with pytest.raises(ValueError, match='leaves the aggregator without a loss: freeze it too'):
        sampling_model(**frozen)
    build_model(**frozen)
