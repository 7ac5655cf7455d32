"""OSMN's networks, what it trains on, and the objects of a video that it carries."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
import torchvision
from mmengine.config import Config

from maskprop.methods.osmn.losses import balanced_loss
from maskprop.methods.osmn.network import SegmentationNet, modulated_widths, upsample
from maskprop.methods.osmn.object_tracker import exclusive
from maskprop.methods.osmn.osmn_head import OSMNHead, load_vgg
from tests.models.builders import HEIGHT, WIDTH, build_model, known_frame, make_batch, make_detections

TINY = dict(Config.fromfile('configs/osmn/osmn_tiny_synthetic.py').model.propagation_head)
WIDTHS = (4, 5, 6, 7, 8)


def make_model(**options) -> torch.nn.Module:
    head = {**TINY, 'guide_size': 32, **options}
    linker = dict(type='PropagatedMaskLinker', output='propagated', threshold=0.1)
    return build_model(propagation_head=head, linker=linker, clip_radius=1)


def make_head(**options) -> OSMNHead:
    head = make_model(**options).propagation_head.eval()
    torch.manual_seed(1)
    torch.nn.init.normal_(head.visual.fcs[-1].weight, std=0.1)  # else every guide says the same
    return head


def make_code(head: OSMNHead, seed: int = 0, size: tuple[int, int] = (47, 75)):
    image = torch.randint(0, 256, (1, 3, *size), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    with torch.no_grad():
        return head.encode_images(image)


def make_masks(*columns: int, size: tuple[int, int] = (47, 75)) -> torch.Tensor:
    masks = torch.zeros(len(columns), *size, dtype=torch.bool)
    for mask, column in zip(masks, columns, strict=True):
        mask[10:30, column : column + 20] = True
    return masks


def test_with_factors_of_1_and_addends_of_0_it_is_vgg():
    net = SegmentationNet(WIDTHS)
    images = torch.randn(1, 3, 47, 75)
    seen = []
    hook = net.side_convs[-1].register_forward_hook(lambda _, args, out: seen.append(args[0]))
    widths = modulated_widths(WIDTHS)
    assert widths == [6, 6, 6, 7, 7, 7, 8, 8, 8]
    shapes = [(1, 18, 12, 19), (1, 21, 6, 10), (1, 24, 3, 5)]
    logits = net(net.shared(images), torch.ones(1, sum(widths)), [torch.zeros(s) for s in shapes], (47, 75))
    hook.remove()
    x = images
    for index, stage in enumerate(net.stages):
        x = F.max_pool2d(F.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2), value=-torch.inf), 2) if index else x
        for conv in stage:
            x = conv(x).relu()
    torch.testing.assert_close(seen[0], x)
    assert logits.shape == (1, 47, 75)


def test_modulation_comes_after_the_relu_and_none_follows():
    torch.manual_seed(4)  # in some nets no value is large enough
    net = SegmentationNet(WIDTHS)
    shared = net.shared(30 * torch.randn(1, 3, 32, 32))
    seen = []
    hook = net.side_convs[1].register_forward_hook(lambda _, args, out: seen.append(args[0]))
    factors = torch.ones(1, sum(modulated_widths(WIDTHS)))
    factors[:, 12:18] = -2  # of conv3_3
    addends = [torch.zeros(1, 3 * c, s, s) for c, s in zip(WIDTHS[2:], (8, 4, 2), strict=True)]
    addends[0][:, 12:] = 0.25
    net(shared, factors, addends, (32, 32))
    hook.remove()
    assert seen[0].max() <= 0.25 and seen[0].min() < 0


@pytest.mark.parametrize(('stride', 'size'), [(2, (47, 75)), (4, (47, 75)), (16, (52, 84))])
def test_upsampling_is_a_dense_transposed_convolution_cut_in_the_middle(stride, size):
    maps = torch.randn(2, 3, *(-(-side // stride) for side in size))
    kernel = torch.zeros(3, 3, 2 * stride, 2 * stride)
    for y in range(2 * stride):
        for x in range(2 * stride):
            weight = (1 - abs(y - stride + 0.5) / stride) * (1 - abs(x - stride + 0.5) / stride)
            kernel[range(3), range(3), y, x] = weight
    dense = F.conv_transpose2d(maps, kernel, stride=stride)
    top, left = ((have - want) // 2 for have, want in zip(dense.shape[-2:], size, strict=True))
    found = upsample(maps, stride, size)
    torch.testing.assert_close(found, dense[..., top : top + size[0], left : left + size[1]])
    assert found.shape[-2:] == size


def test_the_loss_is_balanced_over_the_batch():
    logits, targets = torch.randn(2, 4, 5), (torch.rand(2, 4, 5) > 0.7).float()
    targets[1] = 0
    positive, total = int(targets.sum()), targets.numel()
    expected = 0.0
    for x, y in zip(logits.flatten().tolist(), targets.flatten().tolist(), strict=True):
        p = 1 / (1 + torch.tensor(-x).exp().item())
        loss = -torch.tensor(p if y else 1 - p).log().item()
        expected += loss * ((total - positive) / total if y else positive / total)
    assert float(balanced_loss(logits, targets)) == pytest.approx(expected, rel=1e-4)
    assert balanced_loss(logits, torch.zeros_like(targets)) == 0
    valid = torch.zeros(2, 4, 5, dtype=torch.bool)
    valid[:1] = True
    torch.testing.assert_close(balanced_loss(logits, targets, valid), balanced_loss(logits[:1], targets[:1]))


def test_exclusive_masks():
    scores = torch.tensor([[[0.4, 0.6, 0.7, 0.5]], [[0.3, 0.8, 0.7, 0.2]]])
    assert exclusive(scores).int().tolist() == [[[0, 0, 1, 0]], [[0, 1, 0, 0]]]


@pytest.mark.slow
def test_torchvisions_weights_give_its_features():
    torch.manual_seed(0)
    features = torchvision.models.vgg16(weights=None).features.eval()
    state = {f'features.{key}': value for key, value in features.state_dict().items()}
    head = OSMNHead(fc_width=4, guide_size=32)
    state |= {'classifier.0.weight': torch.randn(4, 512), 'classifier.0.bias': torch.randn(4)}
    state |= {'classifier.3.weight': torch.randn(4, 4), 'classifier.3.bias': torch.randn(4)}
    load_vgg(head, state)
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        x = features(image).flatten(1)
        x = F.linear(x, state['classifier.0.weight'], state['classifier.0.bias']).relu()
        x = F.linear(x, state['classifier.3.weight'], state['classifier.3.bias']).relu()
        seen = []
        hook = head.visual.fcs[-1].register_forward_pre_hook(lambda _, args: seen.append(args[0].flatten(1)))
        head.visual.eval()(image)
        hook.remove()
        torch.testing.assert_close(seen[0], x, atol=1e-4, rtol=1e-4)
        shared = features[:10](image)
        torch.testing.assert_close(head.segmentation.shared(image).pooled, shared)


def test_objects_are_segmented_alike_one_by_one_and_together():
    head = make_head(objects_at_once=2)
    code, masks = make_code(head), make_masks(5, 25, 50)
    guides = torch.rand(3, 47, 75)
    with torch.no_grad():
        factors = head.visual_factors(code.image, masks)
        together = head.segment(code, factors, guides)
        alone = [head.segment(code, factors[i : i + 1], guides[i : i + 1]) for i in range(3)]
    assert (factors[0] - factors[1]).abs().max() > 1e-3
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('frames', [1, 2, 3])
def test_every_parameter_has_a_gradient(frames):
    model = make_model().train()
    torch.nn.init.normal_(model.propagation_head.visual.fcs[-1].weight, std=0.1)
    model.requires_grad_(False).propagation_head.requires_grad_(True)
    inputs, samples = make_batch(([1, 2], [2, 3]), ([3], [3]))
    inputs = torch.cat([inputs, inputs[:, 1:]], 1)[:, :frames]
    for sample in samples:
        sample.video_data_samples = [*sample.video_data_samples, sample.video_data_samples[1]][:frames]
    loss = model.loss(inputs, samples)['loss_osmn']
    loss.backward()
    missing = [name for name, p in model.propagation_head.named_parameters() if p.grad is None or not p.grad.any()]
    assert loss > 0 and not missing


def test_a_batch_without_objects_has_gradients_of_zero():
    model = make_model().train()
    loss = model.loss(*make_batch(([], [5])))['loss_osmn']
    loss.backward()
    assert loss == 0 and all(p.grad is not None for p in model.propagation_head.parameters())


@pytest.mark.parametrize(
    ('options', 'drawn'), [(dict(), [0, 1]), (dict(max_objects=1), [1]), (dict(min_share=0.05), [0])]
)
def test_which_objects_are_trained_on(options, drawn):
    """Of an object of 20x24 pixels and one of 8x10, in a frame of 64x96."""
    model = make_model(min_box_share=0.0, **options)
    inputs, samples = make_batch(([1, 2], [1]))
    first = samples[0].video_data_samples[0].gt_instances
    first.masks.masks[1] = 0
    first.masks.masks[1, :8, :10] = 1
    from maskprop.models.frame_pairs import FramePairs

    pairs = FramePairs(detector=None, feats=(), samples=samples[0].video_data_samples, inputs=inputs)
    found = model.propagation_head._drawn_objects(pairs.samples, pairs)
    areas = [int(masks[0].sum()) for masks in found]
    if options.get('max_objects'):
        assert len(found) == 1
    else:
        assert sorted(areas, reverse=True) == [[480, 80][row] for row in drawn]
    for masks in found:
        assert masks[1].any() == (int(masks[0].sum()) == 480)  # the small one is absent from the other frame


def test_each_object_has_its_own_mask_and_keeps_what_it_looks_like():
    head = make_head()
    tracker = head.start_objects()
    code = make_code(head)
    tracker.begin(code, make_masks(5, 30), [1, 2])
    factors = tracker._factors
    carried = tracker.step(make_code(head, 1))
    assert carried.soft.shape == carried.final.shape == (2, 47, 75)
    assert tracker._masks.equal(carried.soft > 0.5) and tracker._factors.equal(factors)
    tracker.begin(make_code(head, 1), make_masks(50), [3])
    tracker.refresh(code, make_masks(12), [2])
    assert tracker._masks[1].equal(make_masks(12)[0])
    tracker.forget([1])
    assert tracker.ids == [2, 3] and tracker._masks[0].equal(make_masks(12)[0])
    assert tracker.step(code).final.shape == (2, 47, 75)


def test_the_guide_of_an_empty_mask_is_zero():
    head = make_head()
    tracker = head.start_objects()
    code = make_code(head)
    tracker.begin(code, make_masks(5), [1])
    tracker.refresh(code, make_masks(5) & False, [1])
    with torch.no_grad():
        expected = head.segment(code, tracker._factors, torch.zeros(1, 47, 75)).sigmoid()
    torch.testing.assert_close(tracker.step(code).soft, expected)


def test_images_are_resized_at_test():
    """The masks are then at that size, of the network's whole input."""
    model = make_model(input_size=(32, 64)).eval()
    frame = known_frame(model, make_detections(2), torch.randn(1, 3, HEIGHT, WIDTH))
    code = frame.codes['propagation_head']
    assert code.size == (32, 64) and code.shared.pooled.shape[-2:] == (8, 16)
    found = model.propagation_head.propagate(frame, [frame, known_frame(model, make_detections(2))])
    assert found.shape == (2, 2, HEIGHT // 4, WIDTH // 4) and found[0].equal(frame.masks)


def test_the_image_is_as_it_was_before_it_was_normalised():
    head = make_head(input_mean=(10.0, 20.0, 30.0), input_std=(2.0, 3.0, 4.0))
    image = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8)
    shape = (3, 1, 1)
    normalised = (image.float() - torch.tensor([10.0, 20, 30]).view(shape)) / torch.tensor([2.0, 3, 4]).view(shape)
    assert head._pixels(normalised).equal(image)


@pytest.mark.parametrize('options', [dict(guide_size=40), dict(reduction='max')])
def test_bad_values(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        OSMNHead(widths=WIDTHS, fc_width=4, **options)
