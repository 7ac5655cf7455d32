"""The propagation branch: fast against literal, the paper's consequences, degenerate inputs."""

import sys
from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from torch.utils._python_dispatch import TorchDispatchMode

sys.path.insert(0, str(Path(__file__).parents[3] / 'tools/benchmarks'))

from clip_profile import WaitCounter, forms_of_a_gpu

from maskprop.methods.maskprop import MaskPropagationHead, mask_propagation_head
from maskprop.methods.maskprop.frame_code import FrameCode
from maskprop.structures import Frame

init_default_scope('mmdet')
CHANNELS, HEIGHT, WIDTH = 8, 10, 12
VARIANTS = [
    dict(normalizer='instances'),
    dict(normalizer='instances+background'),
    dict(normalizer='sigmoid', mask_channel=True),
    dict(normalizer='instances+background', match_channels=3, mask_channel=True, copy_gain=8.0),
]


def make_head(**kwargs):
    torch.manual_seed(0)
    head = MaskPropagationHead(
        in_channels=CHANNELS, channels=CHANNELS, offset_channels=6, dilations=(1, 3), feat_level=0, **kwargs
    )
    head.init_weights()
    return head


def random_offsets(head, scale=0.3):
    """Offset predictors are initialised at zero; move them away."""
    for conv in head.offset_convs:
        torch.nn.init.normal_(conv.weight, std=scale)
        torch.nn.init.uniform_(conv.bias, -2, 2)
    return head


def make_feats(frames=3):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(frames, CHANNELS, HEIGHT, WIDTH, generator=generator, requires_grad=True)


def run(head, feats, masks, literal):
    code = head.encode_features([feats], keep_features=True)
    return head(code.frame(0), code, masks, literal=literal)


@pytest.mark.parametrize('offsets', ['zero', 'random'])
@pytest.mark.parametrize('variant', VARIANTS, ids=str)
def test_fast_equals_literal(variant, offsets):
    head = make_head(**variant)
    if offsets == 'random':
        random_offsets(head)
    feats, masks = make_feats(), torch.rand(3, HEIGHT, WIDTH).requires_grad_()
    results = {}
    for literal in (True, False):
        out = run(head, feats, masks, literal)
        cotangent = torch.rand(out.shape, generator=torch.Generator().manual_seed(2))
        inputs = dict(head.named_parameters()) | dict(feats=feats, masks=masks)
        grads = torch.autograd.grad((out * cotangent).sum(), list(inputs.values()))
        results[literal] = out, dict(zip(inputs, grads, strict=True))
    torch.testing.assert_close(results[False][0], results[True][0], atol=2e-6, rtol=1e-5)
    for name, expected in results[True][1].items():
        scale = max(float(expected.abs().max()), 1e-2)  # a gradient that cancels is noise
        error = (results[False][1][name] - expected).abs().max() / scale
        assert error < 1e-4, f'gradient of {name} differs by {error:.1e} of its largest value'


def test_letter_gives_a_single_instance_no_gradient_and_background_does():
    for normalizer, expected in (('instances', True), ('instances+background', False)):
        head = random_offsets(make_head(normalizer=normalizer))
        out = run(head, make_feats(), torch.rand(1, HEIGHT, WIDTH), literal=False)
        (grad,) = torch.autograd.grad(out.sum(), head.deform_weights)
        assert bool((grad == 0).all()) is expected


def test_copy_init_copies():
    """Zero offsets and central taps: the masks come out where they were."""
    for match_channels in (None, 4):
        head = make_head(
            normalizer='instances+background', mask_channel=True, copy_gain=10.0, match_channels=match_channels
        )
        masks = torch.zeros(2, HEIGHT, WIDTH)
        masks[0, 2:5, 2:6] = 1
        masks[1, 6:9, 5:11] = 1
        out = run(head, 0.1 * make_feats(), masks, literal=False)
        assert (((out > 0.5) == masks.bool()).float().mean()) > 0.97


def test_weights_are_sane_before_init_weights():
    """A model that is built and not initialised must not compute with whatever the memory held."""
    filler = [torch.full((2, CHANNELS, CHANNELS, 3, 3), float('nan')) for _ in range(50)]
    del filler  # freed blocks of the same size, full of NaN
    for _ in range(20):
        head = MaskPropagationHead(in_channels=CHANNELS, channels=CHANNELS, dilations=(1, 3))
        bound = (CHANNELS * 9) ** -0.5
        assert head.deform_weights.abs().max() <= bound


def test_probabilities_share_a_cell():
    """Under both softmaxes the instances' probabilities of a cell sum to at most 1."""
    for normalizer in ('instances', 'instances+background'):
        head = random_offsets(make_head(normalizer=normalizer))
        out = run(head, make_feats(), torch.rand(4, HEIGHT, WIDTH), literal=False)
        assert out.sum(1).max() <= 1 + 1e-5


@pytest.mark.parametrize('variant', VARIANTS, ids=str)
def test_no_instance_reaches_every_parameter(variant):
    head = make_head(**variant)
    feats = make_feats(2)
    code = head.encode_features([feats])
    masks, targets = torch.zeros(0, HEIGHT, WIDTH), torch.zeros(2, 0, HEIGHT, WIDTH)
    loss = head.pair_losses(code, [masks], [targets]).sum()
    assert loss == 0
    grads = torch.autograd.grad(loss, list(head.parameters()), allow_unused=True)
    missing = [n for (n, _), g in zip(head.named_parameters(), grads, strict=True) if g is None]
    assert not missing, f'unused parameters would stall DDP: {missing}'


def test_absent_instance_has_no_loss_unless_penalised():
    feats, masks = make_feats(2), torch.rand(1, HEIGHT, WIDTH)
    targets = torch.zeros(2, 1, HEIGHT, WIDTH)
    for weight, expected in ((0.0, False), (1.0, True)):
        head = random_offsets(make_head(normalizer='sigmoid', absent_weight=weight))
        code = head.encode_features([feats])
        assert bool(head.pair_losses(code, [masks], [targets]).sum() > 0) is expected


@pytest.mark.parametrize('normalizer', ['instances', 'instances+background', 'sigmoid'])
@pytest.mark.parametrize('kind', ['one', 'none', 'empty mask', 'padding'])
def test_degenerate_instances_under_autocast(normalizer, kind):
    head = random_offsets(make_head(normalizer=normalizer, mask_channel=True))
    masks = torch.zeros(0 if kind == 'none' else 1, HEIGHT, WIDTH)
    if kind == 'one':
        masks[0, 2:5, 2:5] = 0.9
    if kind == 'padding':
        masks[0, -1, -1] = 1
    with torch.autocast('cpu', dtype=torch.bfloat16):
        code = head.encode_features([make_feats(2)])
        targets = (masks > 0.5).float().expand(2, -1, -1, -1)
        loss = head.pair_losses(code, [masks], [targets]).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in head.parameters() if p.grad is not None)


def loop_loss(head, source, targets, masks, target_masks):
    """L_prop of one image, written out."""
    propagated = head(source, targets, masks)
    present = target_masks.flatten(2).any(2)
    penalty = (propagated.mean((-2, -1)) * ~present).sum()
    return (head.loss_mask(propagated, target_masks) * present).sum() + head.absent_weight * penalty


@pytest.mark.parametrize('counts', [(2, 2, 2), (3, 1, 2), (0, 2, 1)], ids=str)
@pytest.mark.parametrize('normalizer', ['instances', 'instances+background', 'sigmoid'])
def test_losses_of_a_batch_are_those_of_its_images_one_by_one(normalizer, counts):
    """To float32's rounding, also where images have different numbers of instances, or none."""
    torch.manual_seed(4)
    head = random_offsets(make_head(normalizer=normalizer, absent_weight=0.5))
    feats = make_feats(2 * len(counts)).requires_grad_()
    masks = [torch.rand(n, HEIGHT, WIDTH).requires_grad_() for n in counts]
    targets = [(torch.rand(2, n, HEIGHT, WIDTH) > 0.6).float() for n in counts]
    targets[1][1, 0] = 0  # absent from the other frame
    reached = [feats, *(m for m in masks if len(m)), *head.parameters()]

    codes = head.encode_features([feats])
    found = head.pair_losses(codes, masks, targets)
    codes = head.encode_features([feats])
    expected = torch.stack(
        [
            loop_loss(head, codes.frame(2 * i), codes.frames(2 * i, 2 * i + 2), masks[i], targets[i])
            for i in range(len(counts))
        ]
    )
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    weights = torch.tensor([1.0, 2.0, 3.0])
    grads = [torch.autograd.grad((weights * loss).sum(), reached) for loss in (found, expected)]
    largest = max(g.abs().max().item() for g in grads[1])  # some are 0 but for rounding: a softmax has no bias
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6 * largest)


def make_frames(head, count, instances=2):
    feats = torch.rand(count, CHANNELS, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(3))
    blank = dict(boxes=None, rles=[], size=(0, 0), map_size=(0, 0))
    return [
        Frame(
            codes=dict(propagation_head=head.encode_features([f[None]])),
            masks=torch.rand(n, HEIGHT, WIDTH),
            class_scores=[{0: 1.0}] * n,
            **blank,
        )
        for f, n in zip(feats, [instances] * (count - 2) + [0, instances], strict=True)
    ]


@torch.no_grad()
@pytest.mark.parametrize('streams, at_once', [(1, 1), (2, 1), (1, 2), (1, 5)])
def test_stream_equals_forward(streams, at_once, monkeypatch):
    """Clips of a stream, whose blocks serve both orders of two frames, also where several streams share frames."""
    monkeypatch.setattr(mask_propagation_head, 'CELLS_AT_ONCE', at_once * HEIGHT * WIDTH)
    head, radius = random_offsets(make_head(normalizer='sigmoid')), 2
    head.block_conv.bias.normal_()
    frames = make_frames(head, 8)
    convolved = []
    monkeypatch.setattr(
        head, '_linear_block', lambda x: convolved.append(len(x)) or type(head)._linear_block(head, x)
    )
    for centre, source in enumerate(frames):
        clip = frames[max(centre - radius, 0) : centre + radius + 1]
        expected = head(
            source.codes['propagation_head'],
            FrameCode.as_targets([f.codes['propagation_head'] for f in clip]),
            source.masks,
        )
        del convolved[:]
        for _ in range(streams):
            found = head.propagate(source, clip)
            torch.testing.assert_close(found, expected, atol=2e-6, rtol=1e-5)
        if streams == 1 and 2 <= centre < 6:  # the pairs with later frames, and one frame's block of its own
            assert sum(convolved) == radius + 1
    assert sum(isinstance(key, int) for f in frames for key in f.memo) <= 2 * streams  # of those at the end alone


def clips_of(frames, radius=2):
    return [(f, frames[max(t - radius, 0) : t + radius + 1]) for t, f in enumerate(frames)]


@torch.no_grad()
@pytest.mark.parametrize('at_once', [2, 3, 9])
@pytest.mark.parametrize('cells', [1, 7, 100])
@pytest.mark.parametrize('channels', [None, 3])
def test_several_clips_at_once_equal_one_by_one(at_once, cells, channels, monkeypatch):
    """Also with a frame without instances, clips cut at the video's ends, and a chunk that spans two groups."""
    monkeypatch.setattr(mask_propagation_head, 'CELLS_AT_ONCE', cells * HEIGHT * WIDTH)
    head = random_offsets(make_head(normalizer='instances+background', match_channels=channels))
    head.block_conv.bias.normal_()
    alone, together = (clips_of(make_frames(head, 9)) for _ in range(2))
    for (one, _), (other, _) in zip(alone, together, strict=True):
        other.masks.copy_(one.masks)
    expected = [head.propagate(*clip) for clip in alone]
    parts = [together[start : start + at_once] for start in range(0, len(together), at_once)]
    found = [masks for part in parts for masks in head.propagate_many(part)]
    assert [m.shape for m in found] == [m.shape for m in expected] and found[4].mean() > 0.01
    for masks, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(masks, wanted, atol=2e-6, rtol=1e-5)
    left = [sorted(map(type, f.memo), key=str) for f, _ in together]
    assert left == [sorted(map(type, f.memo), key=str) for f, _ in alone]  # nothing is kept for longer


class OperatorCounter(TorchDispatchMode):
    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.total += 1
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def test_several_clips_at_once_take_fewer_calls_and_no_wait():
    """As a GPU would run them: dispatched operators a clip, of 8 at once against one by one."""
    head = random_offsets(make_head())
    counts = []
    for at_once in (1, 8):
        clips = clips_of(make_frames(head, 30), radius=6)
        head.propagate_many(clips[:12])
        with forms_of_a_gpu(), OperatorCounter() as operators, WaitCounter() as waits:
            for start in range(12, 20, at_once):
                head.propagate_many(clips[start : start + at_once])
        assert not waits.calls
        counts.append(operators.total / 8)
    assert counts[1] < 0.7 * counts[0] and counts[1] < 50, counts


def test_bad_keys_say_what_to_do():
    with pytest.raises(ValueError, match='instances\\+background'):
        make_head(normalizer='softmax')
    with pytest.raises(ValueError, match='mask_channel'):
        make_head(copy_gain=5.0)
    with pytest.raises(ValueError, match='match_channels'):
        MaskPropagationHead(in_channels=8, channels=4)


def test_offsets_are_a_residual_block_on_the_difference_of_features():
    """Written out (Section 4.2): convolution, ReLU, convolution, shortcut, ReLU, a predictor for each dilation."""
    head, feats = random_offsets(make_head()).eval(), make_feats(4).detach()
    with torch.no_grad():
        code = head.encode_features([feats])
        found = head.predict_offsets(code.frame(0), code)
        difference = feats[:1] - feats
        block = head.block_conv(head.motion_conv(difference).relu()) + head.motion_shortcut(difference)
        expected = torch.cat([conv(block.relu()) for conv in head.offset_convs], 1).unflatten(1, (-1, 2))
    assert expected.abs().max() > 0.5
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
