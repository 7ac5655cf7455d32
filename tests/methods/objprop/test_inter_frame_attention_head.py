"""The inter-frame attention head: its losses and masks written out object by object, and what can be missing."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope

from maskprop.methods.objprop import InterFrameAttentionHead
from maskprop.methods.objprop.inter_frame_attention import spatial_weight
from tests.models.builders import CLASSES, HEIGHT, WIDTH, make_sample

init_default_scope('mmdet')
IN_CHANNELS, CHANNELS, SIZE = 5, 6, (HEIGHT, WIDTH)


def make_head(**kwargs):
    torch.manual_seed(0)
    head = InterFrameAttentionHead(
        num_classes=CLASSES, in_channels=IN_CHANNELS, channels=CHANNELS, num_mask_convs=2, **kwargs
    )
    head.init_weights()
    return head


def make_feats(frames=2, seed=0):
    """P2 to P6; the head uses the first four."""
    generator = torch.Generator().manual_seed(seed)
    strides = (4, 8, 16, 32, 64)
    shapes = [(frames, IN_CHANNELS, HEIGHT // s, -(-WIDTH // s)) for s in strides]
    return [torch.randn(shape, generator=generator) for shape in shapes]


def resize(x, size):
    return F.interpolate(x[None], size, mode='bilinear', align_corners=False)[0]


def literal_maps(head, current, reference, box, weight=None):
    """Object and background, (h, w) each, of one box between (C, h, w) codes, by the full affinity matrix."""
    height, width = current.shape[1:]
    affinity = (reference.flatten(1).T @ current.flatten(1)).softmax(0)  # [reference, current]
    if weight is not None:
        affinity = affinity * weight
    x1, y1, x2, y2 = (int(v // head.stride) for v in box)
    grid = torch.zeros(height, width)
    grid[y1:y2, x1:x2] = 1
    return [(g.flatten() @ affinity).view(height, width) for g in (grid, 1 - grid)]


def literal_masks(head, current, objects, background):
    """Two-channel logits (2, H, W) of the attention, and the mask logits (classes, H, W)."""
    pixels = [side * head.stride for side in current.shape[1:]]
    logits = resize(torch.stack([background, objects]), pixels)
    attention = resize(logits.softmax(0)[1:], current.shape[1:])
    x = (current * attention)[None]
    for conv in head.mask_convs:
        x = conv.conv(x).relu()
    masks = head.conv_logits(head.upsample(x).relu())[0]
    return logits, resize(masks, pixels)


PAIRS = {
    'same objects': ([1, 2], [1, 2]),
    'one left, one came': ([1, 2], [2, 3]),
    'all left': ([4], [1, 2]),
    'empty current frame': ([], [2]),
    'empty reference frame': ([1], []),
    'nothing': ([], []),
}


def make_pairs(*names):
    current = [make_sample(PAIRS[name][0], seed=7, frame=1) for name in names]
    reference = [make_sample(PAIRS[name][1], seed=i) for i, name in enumerate(names)]
    return current, reference


@pytest.mark.parametrize('reduction', ['mean', 'sum'])
@pytest.mark.parametrize('stride', [8, 16])
@pytest.mark.parametrize('names', [list(PAIRS), ['all left'], ['same objects']], ids=str)
def test_loss_is_the_literal_one(names, stride, reduction):
    weights = dict(attention_loss_weight=2.0, mask_loss_weight=3.0)
    head = make_head(stride=stride, reduction=reduction, spatial_sigma=2.0, **weights)
    current, reference = (head.encode_features(make_feats(len(names), seed)) for seed in (1, 2))
    samples = make_pairs(*names)
    attention_losses, mask_losses = [], []
    for b, (now, then) in enumerate(zip(*samples, strict=True)):
        ids = now.gt_instances.instances_ids.tolist()
        for i, box in zip(then.gt_instances.instances_ids.tolist(), then.gt_instances.bboxes, strict=True):
            # no spatial weight in training
            maps = literal_maps(head, current[b], reference[b], box.tolist())
            logits, masks = literal_masks(head, current[b], *maps)
            target = torch.zeros(SIZE, dtype=torch.long)
            if i in ids:
                row = ids.index(i)
                x1, y1, x2, y2 = now.gt_instances.bboxes[row].int().tolist()
                target[y1:y2, x1:x2] = 1
                truth = torch.from_numpy(now.gt_instances.masks.masks[row]).float()
                channel = masks[now.gt_instances.labels[row]]
                mask_losses.append(F.binary_cross_entropy_with_logits(channel, truth))
            loss = F.cross_entropy(logits[None], target[None], reduction='none')
            attention_losses.append(loss.mean() if reduction == 'mean' else loss.sum())
    found = head.pair_losses(current, reference, *samples, SIZE)
    expected = dict(
        loss_attention=2 * torch.stack(attention_losses).mean(),
        loss_propagated_mask=3 * torch.stack(mask_losses).mean() if mask_losses else torch.tensor(0.0),
    )
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('autocast', [False, True], ids=['fp32', 'bf16'])
@pytest.mark.parametrize('name', PAIRS)
def test_every_pair_reaches_every_parameter(name, autocast):
    head = make_head().train()
    samples = make_pairs(name)
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
        codes = head.encode_features(make_feats(2))
        losses = head.pair_losses(codes[:1], codes[1:], *samples, SIZE)
    sum(losses.values()).backward()
    assert set(losses) == {'loss_attention', 'loss_propagated_mask'}
    assert all(torch.isfinite(loss) for loss in losses.values())
    for parameter_name, parameter in head.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name


def test_box_within_a_cell_trains():
    """Its map is empty: all is background, nothing is NaN."""
    head = make_head().train()
    now, then = make_pairs('same objects')
    then[0].gt_instances.bboxes = torch.tensor([[1.0, 1, 6, 7], [0, 0, 0, 0]])
    codes = head.encode_features(make_feats(2))
    losses = head.pair_losses(codes[:1], codes[1:], now, then, SIZE)
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in head.parameters())


def test_masks_smaller_than_the_input_are_padded():
    head = make_head()
    now, then = make_pairs('same objects')
    codes = head.encode_features(make_feats(2))
    expected = head.pair_losses(codes[:1], codes[1:], now, then, SIZE)
    cropped = copy.deepcopy(now)
    masks = cropped[0].gt_instances.masks
    ys, xs = masks.masks.any(0).nonzero()
    cropped[0].gt_instances.masks = type(masks)(
        masks.masks[:, : ys.max() + 1, : xs.max() + 1], ys.max() + 1, xs.max() + 1
    )
    torch.testing.assert_close(head.pair_losses(codes[:1], codes[1:], cropped, then, SIZE), expected)


HISTORY = [
    (torch.tensor([[10.0, 8, 40, 33], [30, 20, 90, 60]]), torch.tensor([0, 2])),
    (torch.zeros(0, 4), torch.zeros(0, dtype=torch.long)),
    (torch.tensor([[12.0, 9, 41, 34]]), torch.tensor([1])),
    (torch.tensor([[3.0, 3, 5, 5]]), torch.tensor([1])),  # an empty map
]


@pytest.mark.parametrize(
    'weight', [dict(), dict(spatial_sigma=3.0), dict(spatial_sigma=3.0, spatial_row='fraction')]
)
@pytest.mark.parametrize('stride', [8, 16])
def test_masks_of_a_history_are_the_literal_ones(stride, weight, monkeypatch):
    from maskprop.methods.objprop import inter_frame_attention_head

    monkeypatch.setattr(inter_frame_attention_head, 'OBJECTS_PER_CALL', 3)
    head = make_head(stride=stride, **weight).eval()
    with torch.no_grad():
        current = head.encode_features(make_feats(1, 1))[0]
        references = head.encode_features(make_feats(len(HISTORY), 2))
        boxes, labels = zip(*HISTORY, strict=True)
        found = head.probabilities(head.propagate_objects(current, references, boxes, labels))
        matrix = None
        if weight:
            row = weight.get('spatial_row', 'index')
            matrix = spatial_weight(*current.shape[1:], 3.0, row)
        expected = [
            literal_masks(head, current, *literal_maps(head, current, reference, box.tolist(), matrix))[1][label]
            for reference, (bs, ls) in zip(references, HISTORY, strict=True)
            for box, label in zip(bs, ls, strict=True)
        ]
    torch.testing.assert_close(found, torch.stack(expected).sigmoid())


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_codes_keep_the_models_dtype(dtype):
    head = make_head().eval().to(dtype)
    with torch.no_grad():
        codes = head.encode_features([level.to(dtype) for level in make_feats(2)])
        assert codes.dtype == dtype
        assert codes.shape == (2, CHANNELS, HEIGHT // 8, WIDTH // 8)
        boxes, labels = HISTORY[0]
        masks = head.probabilities(head.propagate_objects(codes[0], codes[1:], [boxes], [labels]))
    assert masks.dtype == torch.float32
    assert masks.shape == (2, HEIGHT, WIDTH)
    assert torch.isfinite(masks).all()


def test_nothing_to_propagate():
    head = make_head().eval()
    codes = head.encode_features(make_feats(2))
    nothing = torch.zeros(0, 4), torch.zeros(0, dtype=torch.long)
    logits = head.propagate_objects(codes[0], codes[1:], *([x] for x in nothing))
    assert head.probabilities(logits).shape == (0, HEIGHT, WIDTH)


def test_initialised_as_the_released_code():
    head = make_head()
    for index, module in enumerate(head.convs):
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.weight.eq(1).all() and module.bias.eq(1).all(), index
    wide = InterFrameAttentionHead(num_classes=3, in_channels=32, channels=64, num_mask_convs=1)
    wide.init_weights()
    for layer in (wide.convs[0], wide.convs[3], wide.mask_convs[0].conv, wide.upsample):
        fan_out = layer.weight[:, 0].numel()
        assert layer.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.1)
        assert layer.bias.eq(0).all()


def test_bad_keys_say_what_to_do():
    with pytest.raises(ValueError, match="'mean', 'sum'"):
        make_head(reduction='average')
    with pytest.raises(ValueError, match='fraction'):
        make_head(spatial_row='floor')
