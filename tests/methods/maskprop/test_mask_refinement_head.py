"""The refinement head: identity at the start, windows, chunks, losses, jitter, no instances, and it learns."""

from __future__ import annotations

import pycocotools.mask as mask_utils
import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope
from torch import nn

import maskprop

maskprop.register_all()
init_default_scope('mmdet')

from maskprop.methods.maskprop import MaskRefinementHead  # noqa: E402
from maskprop.ops.masks import paste_binary_masks, paste_soft_masks  # noqa: E402

HEIGHT, WIDTH, PATCH = 40, 60, 24
BOXES = torch.tensor([[10.0, 8, 26, 20], [40, 20, 60, 40], [0, 0, 7, 9], [30, 30, 31, 31]])


def make_head(trained: bool = False, **kwargs) -> MaskRefinementHead:
    torch.manual_seed(0)
    head = MaskRefinementHead(**{**dict(patch_size=PATCH, channels=6, num_blocks=2), **kwargs})
    head.init_weights()
    if trained:
        nn.init.normal_(head.predictor.weight)
    return head.eval()


def make_inputs(boxes: torch.Tensor = BOXES) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(1, 3, HEIGHT, WIDTH, generator=generator)
    return image, boxes, torch.rand(len(boxes), 14, 14, generator=generator)


def make_batch(*counts: int) -> tuple[torch.Tensor, list, list, list]:
    """Images, boxes, RoI masks, and as ground truth each box filled but for its first row."""
    boxes = [BOXES[:count] for count in counts]
    masks = []
    for found in boxes:
        truth = torch.zeros(len(found), HEIGHT, WIDTH, dtype=torch.bool)
        for row, (x1, y1, x2, y2) in enumerate(found.int().tolist()):
            truth[row, y1 + 1 : y2, x1:x2] = True
        masks.append(truth)
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(len(counts), 3, HEIGHT, WIDTH, generator=generator)
    return images, boxes, [torch.rand(n, 14, 14, generator=generator) for n in counts], masks


def test_untrained_head_returns_the_masks_given():
    """The first box, 16 pixels wide, has a window of 24: a patch of 24 pixels shows it pixel for pixel."""
    image, boxes, roi_masks = make_inputs()
    refined, windows = make_head().refine(image, boxes, roi_masks)
    assert windows[0].tolist() == [6, 2, 30, 26]
    given = paste_soft_masks(roi_masks, boxes, HEIGHT, WIDTH)[0, 2:26, 6:30]
    torch.testing.assert_close(refined[0], given.clamp(0.01, 0.99), atol=1e-5, rtol=0)


@pytest.mark.parametrize('scale', [1, 2])
def test_pasted_at_its_window_a_full_mask_fills_its_box(scale):
    """Over the border, for a box of one pixel, and in a video of another size than the network's input."""
    image, boxes, full = make_inputs()[0], BOXES, torch.ones(len(BOXES), 28, 28)
    refined, windows = make_head(patch_size=96).refine(image, boxes, full)
    size = (HEIGHT * scale, WIDTH * scale)
    rles = paste_binary_masks(refined, windows * scale, *size)
    assert rles == paste_binary_masks(full, boxes * scale, *size)
    x1, y1, x2, y2 = (boxes[0] * scale).int().tolist()
    assert mask_utils.decode(rles[0])[y1:y2, x1:x2].all()
    assert mask_utils.area(rles).tolist() == [area * scale**2 for area in (192, 400, 63, 1)]


def test_what_is_added_depends_on_image_and_mask():
    head = make_head(trained=True)
    patches, masks = torch.randn(2, 3, PATCH, PATCH), torch.rand(2, PATCH, PATCH)

    def added(patches: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return head(patches, masks).logit() - masks.clamp(0.01, 0.99).logit()

    for other in ((patches + 0.1, masks), (patches, 1 - masks)):
        assert (added(*other) - added(patches, masks)).abs().amax((1, 2)).min() > 1e-2


@pytest.mark.parametrize('norm_cfg', [None, dict(type='GN', num_groups=2)], ids=['none', 'GN'])
@pytest.mark.parametrize('count', [1, 7, 20])
def test_chunks_change_nothing(count, norm_cfg):
    generator = torch.Generator().manual_seed(3)
    corner = torch.rand(count, 2, generator=generator) * torch.tensor([WIDTH - 8.0, HEIGHT - 8.0])
    boxes = torch.cat([corner, corner + 1 + 12 * torch.rand(count, 2, generator=generator)], 1)
    image, boxes, roi_masks = make_inputs(boxes)
    whole, windows = make_head(trained=True, chunk=100, norm_cfg=norm_cfg).refine(image, boxes, roi_masks)
    parts, same_windows = make_head(trained=True, chunk=3, norm_cfg=norm_cfg).refine(image, boxes, roi_masks)
    assert whole.shape == (count, PATCH, PATCH)
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=0)
    assert torch.equal(windows, same_windows)


def test_no_instances():
    image, boxes, roi_masks = make_inputs()
    for none in (roi_masks[:0], roi_masks[:0, :1, :1]):  # the mask head gives (0, 1, 1) for an empty batch
        refined, windows = make_head().refine(image, boxes[:0], none)
        assert refined.shape == (0, PATCH, PATCH) and windows.shape == (0, 4)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision(dtype):
    """Weights and inputs in half precision, and fp32 weights under autocast: near the fp32 result, and in fp32."""
    image, boxes, roi_masks = make_inputs()
    head = make_head(trained=True)
    expected, _ = head.refine(image, boxes, roi_masks)
    with torch.autocast('cpu', dtype=dtype):
        autocast, _ = head.refine(image, boxes, roi_masks)
    cast, _ = head.to(dtype).refine(image.to(dtype), boxes, roi_masks.to(dtype))
    for refined in (autocast, cast):
        assert refined.dtype == torch.float32
        torch.testing.assert_close(refined, expected, atol=0.05, rtol=0)


def test_loss_of_the_untrained_head_is_that_of_the_masks_given():
    """By slices of the image: the first box's window is a patch pixel for pixel."""
    images, boxes, roi_masks, masks = make_batch(1)
    losses = make_head().mask_losses(images, boxes, roi_masks, masks)
    given = paste_soft_masks(roi_masks[0], boxes[0], HEIGHT, WIDTH)[0, 2:26, 6:30].clamp(0.01, 0.99)
    truth = masks[0][0, 2:26, 6:30].float()
    bce = -(truth * given.log() + (1 - truth) * (1 - given).log()).mean()
    intersection = (given * truth).sum()
    iou = intersection / (given.sum() + truth.sum() - intersection)
    torch.testing.assert_close(losses['loss_refine_bce'], bce, atol=1e-5, rtol=0)
    torch.testing.assert_close(losses['loss_refine_iou'], 1 - iou, atol=1e-5, rtol=0)


def test_loss_of_a_batch_is_the_mean_over_its_instances():
    head = make_head(trained=True)
    images, boxes, roi_masks, masks = make_batch(3, 0, 1)
    batch = head.mask_losses(images, boxes, roi_masks, masks)
    singles = [
        head.mask_losses(
            images[b : b + 1], [boxes[b][i : i + 1]], [roi_masks[b][i : i + 1]], [masks[b][i : i + 1]]
        )
        for b, i in ((0, 0), (0, 1), (0, 2), (2, 0))
    ]
    for name, loss in batch.items():
        torch.testing.assert_close(loss, torch.stack([s[name] for s in singles]).mean(), atol=1e-5, rtol=0)


@pytest.mark.parametrize('counts', [(2, 1), (0, 0)])
def test_gradients_reach_every_parameter(counts):
    head = make_head(trained=True)
    losses = head.mask_losses(*make_batch(*counts))
    sum(losses.values()).backward()
    grads = {name: p.grad.abs().sum() for name, p in head.named_parameters()}
    assert all(torch.isfinite(g) for g in grads.values())
    if sum(counts):
        assert all(g > 0 for g in grads.values()), grads
    else:
        assert not any(grads.values()) and not any(losses.values())


def test_no_gradient_goes_into_the_masks_given():
    images, boxes, roi_masks, masks = make_batch(2)
    leaf = roi_masks[0].requires_grad_()
    sum(make_head(trained=True).mask_losses(images, boxes, [leaf * 1], masks).values()).backward()
    assert leaf.grad is None


def test_losses_see_single_precision_under_autocast():
    head, seen = make_head(trained=True), []

    def spy(masks, targets):
        seen.append((masks.dtype, targets.dtype))
        return (masks - targets).abs().mean((1, 2))

    head.loss_bce = head.loss_iou = None
    head.__dict__.update(loss_bce=spy, loss_iou=spy)
    del head._modules['loss_bce'], head._modules['loss_iou']
    with torch.autocast('cpu', dtype=torch.bfloat16):
        head.mask_losses(*make_batch(2))
    assert seen == [(torch.float32, torch.float32)] * 2


def test_instances_beyond_the_limit_are_drawn():
    """Each drawn instance keeps its own box, RoI mask and ground truth; all are drawn at some time."""
    head = make_head(max_instances=3)
    fields = [torch.arange(2.0), torch.arange(2.0, 2.0), torch.arange(2.0, 7.0)]
    seen = set()
    for _ in range(40):
        first, second = head._draw(fields, [x + 100 for x in fields])
        assert [len(x) for x in first] == [len(x) for x in second] and sum(map(len, first)) == 3
        assert torch.equal(torch.cat(first) + 100, torch.cat(second))
        assert set(first[0].tolist()) <= {0, 1} and len(first[1]) == 0
        seen |= set(torch.cat(first).tolist())
    assert seen == set(range(7))


def test_jitter():
    torch.manual_seed(0)
    boxes = BOXES.repeat(500, 1)
    moved = make_head(box_jitter=0.2).jitter(boxes, (HEIGHT, WIDTH))
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    shift = (moved - boxes) / sides
    assert shift.abs().max() <= 0.2 + 1e-5
    inner = shift.view(500, 4, 4)[:, 0]  # the first box is away from the border: nothing is cut
    assert inner.amin() < -0.19 and inner.amax() > 0.19 and inner.mean(0).abs().max() < 0.03
    assert moved.min() == 0 and moved[:, 2].max() == WIDTH and moved[:, 3].max() == HEIGHT
    assert (moved[:, 2:] > moved[:, :2]).all()
    assert torch.equal(make_head(box_jitter=0.0).jitter(BOXES, (HEIGHT, WIDTH)), BOXES)


def test_it_learns_from_the_image_what_the_mask_lacks():
    """Bright rectangles, given as soft masks of 3 x 3 cells."""
    torch.manual_seed(0)
    image = -torch.ones(1, 3, HEIGHT, WIDTH)
    image[..., 10:19, 12:17] = image[..., 10:13, 17:25] = 1
    truth = image[:, 0] > 0
    boxes = torch.tensor([[12.0, 10, 25, 19]])
    coarse = F.adaptive_avg_pool2d(truth[:, None, 10:19, 12:25].float(), 3)[:, 0]
    head = make_head(max_instances=1, box_jitter=0.0).train()
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)

    def iou() -> float:
        refined, windows = head.refine(image, boxes, coarse)
        found = paste_soft_masks(refined, windows, HEIGHT, WIDTH) >= 0.5
        return float((found & truth).sum() / (found | truth).sum())

    before = iou()
    for _ in range(40):
        optimizer.zero_grad()
        sum(head.mask_losses(image, [boxes], [coarse], [truth]).values()).backward()
        optimizer.step()
    assert before < 0.92 and iou() > 0.97


@pytest.mark.parametrize(
    'key, message',
    [
        (dict(chunk=0), 'chunk=0 must be at least 1'),
        (dict(max_instances=0), 'max_instances=0'),
        (dict(context=0.9), 'context=0.9 must be at least 1'),
        (dict(box_jitter=0.5), 'box_jitter=0.5'),
    ],
    ids=str,
)
def test_bad_keys_are_refused(key, message):
    with pytest.raises(ValueError, match=message):
        MaskRefinementHead(**key)
