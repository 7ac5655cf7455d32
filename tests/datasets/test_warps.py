"""Pseudo-frames of still images: image, masks and boxes move together."""

from __future__ import annotations

import copy

import cv2
import numpy as np
import pytest

import maskprop

maskprop.register_all()

from mmdet.registry import TRANSFORMS  # noqa: E402
from mmdet.structures.mask import BitmapMasks  # noqa: E402

from maskprop.datasets.transforms import FrameTrajectory, MotionBlur, RandomPerspectiveAffine  # noqa: E402
from maskprop.datasets.transforms.warps import Warp, homography, line_kernel, warp_frame, warp_mask  # noqa: E402

SIZE = (60, 80)
STRONG = dict(prob=1.0, perspective=0.12, max_angle=40, max_shift=0.3, scale_range=(0.6, 1.6))


def still(seed: int, count: int = 3, size: tuple[int, int] = SIZE) -> dict:
    """A frame of ``count`` ellipses; the blue channel of the image shows the union of the masks."""
    rng = np.random.default_rng(seed)
    height, width = size
    masks = np.zeros((count, *size), dtype=np.uint8)
    for mask in masks:
        centre = tuple(int(v) for v in rng.uniform(0, 1, 2) * (width, height))
        axes = tuple(int(v) for v in rng.uniform(0.05, 0.25, 2) * height)
        cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    bitmaps = BitmapMasks(masks, height, width)
    image = np.repeat(255 * masks.max(0, initial=0)[..., None], 3, axis=2)
    return dict(
        img=image,
        img_shape=size,
        gt_masks=bitmaps,
        gt_bboxes=bitmaps.get_bboxes('hbox').numpy(),
        gt_bboxes_labels=np.arange(count),
        gt_instances_ids=10 + np.arange(count, dtype=np.int32),
        gt_ignore_flags=np.zeros(count, dtype=bool),
    )


def clip(seed: int, frames: int = 2, **kwargs) -> dict:
    """The same still ``frames`` times, as a broadcaster hands it on."""
    frame = still(seed, **kwargs)
    return {key: [copy.deepcopy(value) for _ in range(frames)] for key, value in frame.items()}


def literal_box(mask: np.ndarray) -> list[int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def check_frame(frame: dict) -> None:
    """Boxes are those of the masks, nothing empty is there, rows belong together, the image shows the masks."""
    masks = frame['gt_masks'].masks
    assert frame['img'].shape[:2] == masks.shape[1:] == tuple(frame['img_shape'])
    assert frame['gt_bboxes'].dtype == np.float32
    assert frame['gt_bboxes'].tolist() == [literal_box(mask) for mask in masks]
    assert (frame['gt_instances_ids'] == 10 + frame['gt_bboxes_labels']).all()
    assert len(masks) == len(frame['gt_instances_ids']) == len(frame['gt_ignore_flags'])
    shown = frame['img'][..., 0] > 127
    wanted = masks.max(0, initial=0).astype(bool)
    # overlapping objects each keep half of a pixel between them, so the union's border may differ
    border = cv2.dilate(wanted.astype(np.uint8), np.ones((3, 3))) - cv2.erode(
        wanted.astype(np.uint8), np.ones((3, 3))
    )
    assert (shown == wanted)[border == 0].all()


@pytest.mark.slow
def test_a_thousand_pseudo_frames_have_the_boxes_of_their_masks():
    np.random.seed(0)
    warp = RandomPerspectiveAffine(**STRONG)
    move = FrameTrajectory(short_sides=(45, 60, 75), window_sides=(30, 75))
    kept = 0
    for seed in range(250):
        for _ in range(2):
            frame = warp(still(seed))
            check_frame(frame)
            kept += len(frame['gt_masks'])
        frames = move(clip(seed))
        for i in range(2):
            check_frame({key: values[i] for key, values in frames.items()})
    assert 1000 < kept < 1500  # of 1500: some were pushed out


def test_a_warp_and_its_inverse_restore_a_mask():
    rng = np.random.default_rng(0)
    warp = RandomPerspectiveAffine(prob=1.0)
    for seed in range(100):
        mask = np.zeros((240, 320), dtype=np.uint8)
        cv2.ellipse(mask, (160, 120), tuple(int(v) for v in rng.uniform(20, 45, 2)), 30, 0, 360, 1, -1)
        np.random.seed(seed)
        matrix = homography(warp._draw(), mask.shape)
        there = warp_mask(mask, matrix, mask.shape)
        edges = [there[0], there[-1], there[:, 0], there[:, -1]]
        assert not any(edge.any() for edge in edges), 'the object has left the image'
        back = warp_mask(there, np.linalg.inv(matrix), mask.shape)
        assert (back & mask).sum() / (back | mask).sum() >= 0.97


def test_homography_of_known_warps():
    none = Warp(0.0, np.zeros(2), 1.0, np.zeros((4, 2)))
    assert np.allclose(homography(none, SIZE), np.eye(3), atol=1e-6)
    shift = homography(none._replace(shift=np.array([0.1, -0.05])), SIZE)
    assert np.allclose(shift, [[1, 0, 8], [0, 1, -3], [0, 0, 1]], atol=1e-6)
    turned = homography(none._replace(angle=90), (101, 101)) @ [60, 50, 1]
    assert np.allclose(turned, [50, 40, 1])  # anticlockwise: right of the centre goes to the top
    corners = np.array([[0.1, 0.2], [0.0, 0.0], [0.3, 0.1], [0.0, 0.05]])
    tilt = homography(none._replace(corners=corners), SIZE)
    for point, end in (((7.9, 11.8), (0, 0)), ((79 * 0.7, 59 * 0.9), (79, 59)), ((0, 59 * 0.95), (0, 59))):
        x, y, w = tilt @ [*point, 1]
        assert np.allclose((x / w, y / w), end, atol=1e-3)
    both = homography(none._replace(angle=30, corners=corners), SIZE)
    assert np.allclose(both, homography(none._replace(angle=30), SIZE) @ tilt, atol=1e-4)  # the tilt comes first


def test_an_object_pushed_out_is_absent_and_a_frame_may_be_empty():
    frame = warp_frame(still(0), np.array([[1.0, 0, 1000], [0, 1, 0], [0, 0, 1]]), SIZE)
    assert len(frame['gt_masks']) == len(frame['gt_instances_ids']) == 0 and frame['gt_bboxes'].shape == (0, 4)
    assert not frame['img'].any()
    assert 'gt_masks' not in warp_frame(dict(img=still(0)['img']), np.eye(3), SIZE)  # a test's frame


def test_draws_are_independent_or_shared():
    transform = dict(type='RandomPerspectiveAffine', prob=1.0)
    for shared in (False, True):
        broadcast = TRANSFORMS.build(
            dict(type='TransformBroadcaster', share_random_params=shared, transforms=[transform])
        )
        np.random.seed(3)
        first, second = broadcast(clip(1))['img']
        assert np.array_equal(first, second) == shared


@pytest.mark.parametrize('make', [RandomPerspectiveAffine, MotionBlur, FrameTrajectory], ids=lambda t: t.__name__)
def test_seeds_reproduce(make):
    def run(seed: int) -> np.ndarray:
        np.random.seed(seed)
        data = clip(2) if make is FrameTrajectory else still(2)
        image = make(**(dict(window_prob=0.0) if make is FrameTrajectory else dict(prob=1.0)))(data)['img']
        return np.array(image)

    assert np.array_equal(run(5), run(5)) and not np.array_equal(run(5), run(6))


def test_probability_of_a_warp():
    np.random.seed(0)
    transform = RandomPerspectiveAffine()
    drawn = [transform._draw() for _ in range(500)]
    assert 360 < sum(warp is not None for warp in drawn) < 440
    corners = np.array([warp.corners for warp in drawn if warp])
    assert abs(np.sqrt((corners**2).mean()) - 0.08) < 0.005 and corners.min() >= 0
    angles, shifts = zip(*((warp.angle, np.abs(warp.shift).max()) for warp in drawn if warp), strict=True)
    assert 19 < max(map(abs, angles)) <= 20 and 0.09 < max(shifts) <= 0.1


def angle_of(matrix: np.ndarray) -> float:
    """In degrees, anticlockwise on the screen."""
    return float(np.degrees(np.arctan2(matrix[0, 1], matrix[0, 0])))


def test_a_trajectory_turns_and_moves_one_way():
    np.random.seed(0)
    turning, moving, reversed_ = (
        FrameTrajectory(window_prob=0.0),
        FrameTrajectory(max_angle=0.0, window_prob=1.0),
        0,
    )
    for _ in range(50):
        matrices, size = turning.matrices(6, SIZE)
        angles = np.array([angle_of(matrix) for matrix in matrices])
        steps = np.diff(angles)
        assert size == SIZE and (np.abs(angles) <= 15).all() and ((steps > 0).all() or (steps < 0).all())
        reversed_ += steps[0] < 0
        centres = [np.linalg.lstsq(m[:2, :2] - np.eye(2), -m[:2, 2], rcond=None)[0] for m in matrices]
        assert np.ptp(centres, axis=0).max() < 1e-6 * SIZE[1]  # one centre of the clip, in the image's middle
        assert (np.abs(np.array(centres[0]) / (79, 59) - 0.5) <= 0.1 + 1e-6).all()

        matrices, (height, width) = moving.matrices(6, (480, 640))
        places = np.array(
            [-m[:2, 2] + (m[0, 0] - 1) / 2 for m in matrices]
        )  # the window's corner in the scaled image
        scale = matrices[0][0, 0]
        assert round(480 * scale) in (400, 500, 600) and width <= 600 and height <= 600
        assert (places >= -1e-6).all() and (places + (width, height) <= np.array([640, 480]) * scale + 1).all()
        across = np.diff(places, axis=0)
        assert ((across >= -1e-9).all(0) | (across <= 1e-9).all(0)).all()
        line = places[-1] - places[0]
        assert np.allclose(np.cross(across, line), 0, atol=1e-6)
    assert 10 < reversed_ < 40


def test_blur_keeps_what_is_in_the_middle():
    for length, direction in ((3, 0.0), (9, 0.7), (11, np.pi / 2), (11, 2.5)):
        kernel = line_kernel(length, direction)
        assert kernel.shape == (length, length) and np.isclose(kernel.sum(), 1)
        assert np.allclose(kernel, kernel[::-1, ::-1])  # symmetrical, so masks stay where they are
    frame = still(1)
    before = copy.deepcopy(frame)
    np.random.seed(0)
    blurred = MotionBlur(prob=1.0)(frame)
    assert not np.array_equal(blurred['img'], before['img'])
    assert np.array_equal(blurred['gt_masks'].masks, before['gt_masks'].masks)
    assert MotionBlur(prob=0.0)(still(1))['img'].tolist() == before['img'].tolist()


@pytest.mark.parametrize(
    'make,kwargs',
    [
        (RandomPerspectiveAffine, dict(prob=2)),
        (RandomPerspectiveAffine, dict(max_angle=-1)),
        (RandomPerspectiveAffine, dict(scale_range=(0, 1))),
        (MotionBlur, dict(kernel_sizes=(8,))),
        (MotionBlur, dict(prob=-0.1)),
        (FrameTrajectory, dict(max_angle=-1)),
        (FrameTrajectory, dict(window_prob=1.5)),
        (FrameTrajectory, dict(centre_range=(0.6, 0.4))),
        (FrameTrajectory, dict(short_sides=())),
        (FrameTrajectory, dict(window_sides=(600, 384))),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else next(iter(value)),
)
def test_bad_numbers(make, kwargs):
    with pytest.raises(ValueError, match=f'{next(iter(kwargs))}=.*expected'):
        make(**kwargs)
