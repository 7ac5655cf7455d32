"""Masks carried by flow: on scenes whose motion is known, with given flows and with DIS."""

import copy
import math

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import TASK_UTILS

from maskprop.methods.flow.flow_propagator import FlowPropagator
from tests.methods.flow.flow_scenes import STRIDE, boxes_mask, make_frame, plain, texture
from tests.models.builders import HEIGHT, WIDTH

TOLERANCE = (0.01, 0.5)


def iou(a, b):
    a, b = a >= 0.5, b >= 0.5
    return float((a & b).sum() / (a | b).sum())


def test_backward_flow_by_hand():
    """12 px a frame to the right are 3 cells: frame 2 shows the mask 3 cells further right than frame 1."""
    masks = boxes_mask((16, 16, 20, 12), (40, 8, 12, 30))
    source, target = make_frame(plain(1), masks), make_frame(plain(2), masks[:0])
    propagator = FlowPropagator(flow=dict(type='ShiftFlow', direction=(12.0, 0.0)))
    carried = propagator.propagate(source, [target])
    assert carried.shape == (1, 2, HEIGHT // STRIDE, WIDTH // STRIDE)
    expected = torch.zeros_like(source.masks)
    expected[..., 3:] = source.masks[..., :-3]
    torch.testing.assert_close(carried[0], expected)
    back = propagator.propagate(make_frame(plain(2), masks), [source])
    torch.testing.assert_close(back[0, ..., :-3], source.masks[..., 3:])


@pytest.mark.parametrize('consistency', [TOLERANCE, None])
def test_what_comes_into_the_picture_is_empty(consistency):
    """The object touches the left border and moves right; the new columns show nothing of the source."""
    masks = boxes_mask((0, 16, 20, 12))
    source, target = make_frame(plain(1), masks), make_frame(plain(2), masks[:0])
    propagator = FlowPropagator(dict(type='ShiftFlow', direction=(12.0, 0.0)), consistency=consistency)
    carried = propagator.propagate(source, [target])[0]
    assert carried[..., :3].max() == 0
    torch.testing.assert_close(carried[..., 3:], source.masks[..., :-3])


@pytest.mark.parametrize('chained', [False, True])
def test_the_source_itself_and_frames_without_instances(chained):
    masks = boxes_mask((16, 16, 20, 12))
    frames = [make_frame(plain(n), masks) for n in range(3)]
    propagator = FlowPropagator(flow=dict(type='ShiftFlow', direction=(9.0, 0.0)), chained=chained)
    source = frames[1]
    source.masks = torch.rand_like(source.masks)
    carried = propagator.propagate(source, frames)
    assert torch.equal(carried[1], source.masks)
    assert not torch.equal(carried[0], source.masks)
    again = propagator.propagate(source.select([0]), frames)  # another Frame of the same image
    assert torch.equal(again, carried)
    propagator.estimator.pairs.clear()
    empty = propagator.propagate(make_frame(plain(7), masks[:0]), frames)
    assert empty.shape == (3, 0, HEIGHT // STRIDE, WIDTH // STRIDE)
    assert propagator.estimator.pairs == []


def test_chained_is_direct_on_constant_motion():
    masks = boxes_mask((32, 20, 20, 16), (50, 10, 14, 30))
    frames = [make_frame(plain(n), masks) for n in range(7)]
    results = {}
    for chained in (False, True):
        propagator = FlowPropagator(dict(type='ShiftFlow', direction=(3.0, 1.5)), chained=chained)
        results[chained] = propagator.propagate(frames[3], frames)
        steps = {abs(a - b) for a, b in propagator.estimator.pairs}
        assert steps == ({1} if chained else {1, 2, 3})
    torch.testing.assert_close(results[True], results[False], atol=1e-5, rtol=0)


def test_a_chain_starts_at_the_first_target_where_the_source_is_not_among_them():
    masks = boxes_mask((32, 20, 20, 16))
    frames = [make_frame(plain(n), masks) for n in range(4)]
    chained = FlowPropagator(flow=dict(type='ShiftFlow', direction=(4.0, 0.0)), chained=True)
    carried = chained.propagate(frames[0], frames[1:])
    for number, found in enumerate(carried, start=1):
        torch.testing.assert_close(found[..., number:], frames[0].masks[..., :-number], atol=1e-5, rtol=0)


def test_a_chain_stays_broken_where_one_step_was_not_to_be_trusted():
    """Frame 1 is empty of what frames 0 and 2 share: a chain through it must not find the mask again."""
    frames = [make_frame(plain(n), boxes_mask((32, 20, 20, 16))) for n in range(3)]
    propagator = FlowPropagator(flow=dict(type='ShiftFlow', direction=(0.0, 0.0)), chained=True)
    propagator.propagate(frames[0], frames)
    hidden = propagator._motion(frames[1], frames[0])
    hidden.visible[:] = False
    assert propagator.propagate(frames[0], frames)[1:].max() == 0


def moving_scene(angle, scale, size=128):
    """A textured picture and its map by a rotation and zoom about its centre: images, and an object's masks."""
    matrix = cv2.getRotationMatrix2D((size / 2, size / 2), angle, scale)
    image = texture(size, size).permute(1, 2, 0).numpy()
    mask = np.zeros((size, size), np.uint8)
    cv2.ellipse(mask, (75, 60), (34, 16), 30, 0, 360, 1, -1)
    moved = [
        cv2.warpAffine(a, matrix, (size, size), flags=f, borderMode=cv2.BORDER_REFLECT)
        for a, f in ((image, cv2.INTER_LINEAR), (mask, cv2.INTER_NEAREST))
    ]
    images = [torch.from_numpy(a).permute(2, 0, 1).contiguous() for a in (image, moved[0])]
    return [make_frame(a, torch.from_numpy(m)[None].bool()) for a, m in zip(images, (mask, moved[1]), strict=True)]


@pytest.mark.parametrize('angle, scale', [(12, 1.0), (0, 1.15), (-9, 0.9)])
@pytest.mark.parametrize('short_side', [None, 96, 192])
def test_dis_follows_rotation_and_zoom(angle, scale, short_side):
    first, second = moving_scene(angle, scale)
    propagator = FlowPropagator(short_side=short_side)
    for source, target in ((first, second), (second, first)):
        carried = propagator.propagate(source, [target])[0, 0]
        assert iou(carried, target.masks[0]) > 0.93
        assert iou(carried, target.masks[0]) > iou(source.masks[0], target.masks[0]) + 0.04


def test_chained_dis_reaches_further_than_one_flow():
    """4 px a frame over 6 frames: 24 px are more than the search finds on so small and fine a picture."""
    scene = texture(HEIGHT * 2, WIDTH * 3)
    frames = []
    for n in range(7):
        image = scene[:, 20 : 20 + HEIGHT, 100 - 4 * n : 100 - 4 * n + WIDTH].contiguous()
        frames.append(make_frame(image, boxes_mask((4 + 4 * n, 20, 16, 24))))
    chained, direct = (FlowPropagator(chained=c).propagate(frames[0], frames) for c in (True, False))
    assert min(iou(found[0], frame.masks[0]) for found, frame in zip(chained, frames, strict=True)) > 0.9
    assert iou(direct[1, 0], frames[1].masks[0]) > 0.9
    assert iou(direct[-1, 0], frames[-1].masks[0]) < 0.1


@TASK_UTILS.register_module()
class LayerFlow:
    """The exact flow of a scene of two layers: where the first image's blue is above 0, its object's; else 0."""

    def __init__(self, step):
        self.step = step

    def estimate(self, first, second):
        flow = torch.zeros(len(first), 2, *first.shape[-2:])
        direction = second[:, 0, 0, 0].float() - first[:, 0, 0, 0].float()
        flow[:, 0] = (first[:, 2] > 0) * direction[:, None, None] * self.step
        return flow


def layered(number, box):
    """A frame of a still background with a moving box, marked in blue; the corner's red says when."""
    image = torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8)
    image[0] = number
    mask = boxes_mask(box)
    image[2][mask[0]] = 255
    return make_frame(image, mask)


def test_uncovered_background_is_masked_out_only_by_consistency():
    """The background that the object uncovers looks back at the object: a ghost of the mask at its old place."""
    source, target = layered(1, (16, 16, 24, 24)), layered(2, (56, 16, 24, 24))
    flow = dict(type='LayerFlow', step=40.0)
    ghost = FlowPropagator(flow, consistency=None).propagate(source, [target])[0]
    torch.testing.assert_close(ghost, torch.maximum(source.masks, target.masks))
    clean = FlowPropagator(flow).propagate(source, [target])[0]
    torch.testing.assert_close(clean, target.masks)


def test_tolerances_are_the_keys():
    """An object that seems to move 4 px there and 1 px back: |3|^2 against a (4^2 + 1^2) + b."""

    @TASK_UTILS.register_module(force=True)
    class UnevenFlow:
        def estimate(self, first, second):
            forward = (second[:, 0, 0, 0] > first[:, 0, 0, 0])[:, None, None, None]
            flow = torch.zeros(len(first), 2, *first.shape[-2:])
            flow[:, :1] = torch.where(forward, 1.0, -4.0)
            return flow

    masks = boxes_mask((32, 16, 24, 24))
    source, target = make_frame(plain(1), masks), make_frame(plain(2), masks)
    for consistency, seen in {(0.0, 8.9): False, (0.0, 9.1): True, (0.5, 0.4): False, (0.5, 0.6): True}.items():
        propagator = FlowPropagator(dict(type='UnevenFlow'), consistency=consistency)
        assert bool(propagator.propagate(source, [target]).max() > 0) == seen, consistency


def test_dis_masks_out_what_passes_behind_a_bar():
    """A textured disc goes further behind a still textured bar, and the ground where it was comes out."""
    rows, columns = torch.arange(128)[:, None], torch.arange(192)
    ground, disc, bar = texture(128, 192), texture(128, 192, seed=1), texture(128, 192, seed=2)

    def frame(centre):
        inside = (rows - 64) ** 2 + (columns - centre) ** 2 < 26**2
        front = (columns >= 96) & (columns < 128)
        image = torch.where(inside, disc.roll(centre, 2), ground)
        image = torch.where(front.expand(128, -1), bar, image)
        return make_frame(image.contiguous(), (inside & ~front)[None])

    source, target = frame(66), frame(74)
    uncovered = (source.masks[0] > 0.5) & (target.masks[0] < 0.5)
    checked, unchecked = (
        FlowPropagator(consistency=c).propagate(source, [target])[0, 0] for c in (TOLERANCE, None)
    )
    assert iou(checked, target.masks[0]) > 0.9 > iou(unchecked, target.masks[0])
    assert checked[uncovered].mean() < 0.05 < 0.5 < unchecked[uncovered].mean()
    assert checked[:, 24:32].max() < 0.5  # the bar


def test_padding_is_not_looked_at():
    """A picture of 56x80 in 64x96 pixels: its flow is that of the picture alone, whatever the padding holds."""
    first, second = moving_scene(6, 1.0)
    results = []
    for filling in (0, 200):
        frames = []
        for frame in (first, second):
            image = torch.full((3, HEIGHT, WIDTH), filling, dtype=torch.uint8)
            image[:, :56, :80] = frame.image[:, 30:86, 30:110]
            frames.append(make_frame(image, boxes_mask((20, 16, 30, 20)), shown=(56, 80)))
        results.append(FlowPropagator().propagate(frames[0], frames[1:]))
    assert torch.equal(*results)
    assert results[0].max() > 0.9


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(consistency=0.5), 'expected'),
        (dict(consistency=(0.1,)), r'expected \(a, b\)'),
        (dict(consistency=(0.1, -1)), r'expected \(a, b\)'),
        (dict(short_side=0), 'must be 1 or more'),
    ],
)
def test_bad_keys_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        FlowPropagator(**options)


def test_frames_without_images_are_named():
    frame = make_frame(plain(0), boxes_mask((16, 16, 20, 12)))
    bare = copy.copy(frame)
    bare.image = None
    with pytest.raises(ValueError, match=r'needs Frame\.image'):
        FlowPropagator().propagate(frame, [bare])


def test_resized_images_keep_their_shape():
    frame = make_frame(plain(0), boxes_mask((16, 16, 20, 12)))
    picture = FlowPropagator(short_side=32)._picture(frame, (HEIGHT, WIDTH))
    assert picture.shape == (3, 32, math.ceil(WIDTH / 2)) and picture.dtype == torch.uint8


@pytest.mark.parametrize('chained', [False, True])
def test_frames_without_images_are_refused(chained):
    """Not taken for one and the same frame: that would copy the masks without a word."""
    frames = [make_frame(plain(n), boxes_mask((16, 16, 20, 12))) for n in (1, 2)]
    frames[0].image = frames[1].image = None
    with pytest.raises(ValueError, match="needs={'image'}"):
        FlowPropagator(flow=dict(type='DISFlow'), chained=chained).propagate(frames[0], frames)
