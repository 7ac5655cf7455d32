"""OSMN's guides against PIL and numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from maskprop.methods.osmn.guides import (
    crop_guide,
    draw_perturbation,
    fit_blob,
    jitter_box,
    mask_box,
    perturb_blob,
    spatial_guide,
    turn_guide,
)


def make_object(height: int = 60, width: int = 90, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A (3, H, W) uint8 image, and the (H, W) bool mask of a lopsided object."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), dtype=bool)
    mask[10:45, 20:70] = True
    mask[10:30, 20:40] = rng.random((20, 20)) > 0.5
    return torch.from_numpy(rng.integers(0, 256, (3, height, width), dtype=np.uint8)), torch.from_numpy(mask)


@pytest.mark.parametrize('size', [32, 64, 224])
def test_crops_are_those_of_pil(size):
    image, mask = make_object()
    picture, label = crop_guide(image, mask, size)
    xmin, ymin, xmax, ymax = mask_box(mask)
    across, down = int(0.03 * (xmax - xmin)), int(0.03 * (ymax - ymin))
    assert (xmin, ymin, xmax, ymax) == (20, 10, 69, 44) and across == 1 and down == 1
    crop = np.pad(image.numpy()[:, ymin:ymax, xmin:xmax], ((0, 0), (down, down), (across, across)))
    bitmap = np.pad(mask.numpy()[ymin:ymax, xmin:xmax], ((down, down), (across, across)))
    expected = np.asarray(Image.fromarray(crop.transpose(1, 2, 0)).resize((size, size), Image.BILINEAR))
    assert np.abs(picture.permute(1, 2, 0).numpy().astype(int) - expected).max() <= 1
    nearest = Image.fromarray(bitmap.astype(np.uint8)).resize((size, size), Image.NEAREST)
    assert (label.numpy() == np.asarray(nearest).astype(bool)).all()


def test_an_object_of_one_pixel_has_a_guide():
    image, mask = make_object()
    mask = torch.zeros_like(mask)
    mask[59, 89] = True
    picture, label = crop_guide(image, mask, 32)
    assert label.all() and (picture == image[:, 59:, 89:]).all()


def test_blobs_are_medians():
    _, mask = make_object()
    blob = fit_blob(mask)
    y, x = np.nonzero(mask.numpy())
    centre = np.median(x), np.median(y)
    std = [1.4826 * np.median(np.abs(v - c)) for v, c in zip((x, y), centre, strict=True)]
    assert blob.centre.tolist() == pytest.approx(centre) and blob.std.tolist() == pytest.approx(std)
    assert min(std) > 5
    small = torch.zeros(9, 9, dtype=torch.bool)
    small[2, 3:5] = True
    assert fit_blob(small).centre.tolist() == [3.5, 2] and fit_blob(small).std.tolist() == [5, 5]
    assert fit_blob(small & False) is None


def test_spatial_guides_are_gaussians():
    blob = perturb_blob(fit_blob(make_object()[1]), torch.tensor([0.1, -0.2]), torch.tensor([0.8, 1.2]))
    guide = spatial_guide(blob, (60, 90))
    (cx, cy), (sx, sy) = blob.centre.tolist(), blob.std.tolist()
    y, x = np.mgrid[:60, :90]
    expected = np.exp(-0.5 * (((x - cx) / sx) ** 2 + ((y - cy) / sy) ** 2))
    np.testing.assert_allclose(guide.numpy(), expected, atol=1e-12)
    assert not spatial_guide(None, (6, 9)).any()


def test_perturbations_stay_in_their_ranges():
    torch.manual_seed(0)
    blob = fit_blob(make_object()[1])
    drawn = [draw_perturbation(blob) for _ in range(300)]
    shifts = torch.stack([(d.centre - blob.centre) / blob.std for d in drawn])
    scales = torch.stack([d.std / blob.std for d in drawn])
    assert shifts.abs().max() <= 0.2 and shifts.abs().amax(0).min() > 0.19
    assert 1 / 1.4 <= scales.min() < 0.75 and 1.36 < scales.max() <= 1.4


def test_jittered_boxes_are_in_the_picture_and_not_empty():
    torch.manual_seed(0)
    _, mask = make_object()
    boxes = torch.tensor([jitter_box(mask, 0.1) for _ in range(200)])
    assert (boxes - torch.tensor(mask_box(mask))).abs().amax(0).tolist() == [5, 3, 5, 3]
    corner = torch.zeros(60, 90, dtype=torch.bool)
    corner[59, 89] = True
    for box in [jitter_box(mask, 0.1) for mask in (corner, torch.ones(60, 90)) for _ in range(20)]:
        assert 0 <= box[0] < box[2] <= 90 and 0 <= box[1] < box[3] <= 60


def test_guides_are_turned_with_their_masks():
    image, mask = make_object(64, 64)
    mask[30, 5] = True
    same = turn_guide(image, mask, 0, flip=False)
    assert same[0].equal(image) and same[1].equal(mask)
    turned = turn_guide(image, mask, 90, flip=True)
    ways = [(torch.rot90(image, k, (1, 2)).flip(-1), torch.rot90(mask, k).flip(-1)) for k in (1, 3)]
    assert any(turned[0].equal(picture) and turned[1].equal(label) for picture, label in ways)
