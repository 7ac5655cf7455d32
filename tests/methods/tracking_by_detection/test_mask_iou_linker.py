"""Greedy mask IoU: against a literal form on pixels, and where boxes cannot tell objects apart."""

import numpy as np
import pytest
import torch

from maskprop.methods.tracking_by_detection.baselines import BoxIoULinker, MaskIoULinker
from maskprop.ops.masks import encode_mask
from tests.models.builders import CLASSES, HEIGHT, WIDTH, build_model, make_batch


class Masks:
    """A frame of (H, W) bool masks, with their boxes."""

    def __init__(self, *masks, labels=None):
        corners = [(np.argwhere(m).min(0), np.argwhere(m).max(0) + 1) for m in masks]
        boxes = [[*low[::-1], *high[::-1]] for low, high in corners]
        self.boxes = torch.tensor(boxes, dtype=torch.float32).view(-1, 4)
        self.rles = [encode_mask(m) for m in masks]
        self.labels = labels or [0] * len(masks)


def rectangle(x, y, width=10, height=10):
    mask = np.zeros((40, 60), dtype=bool)
    mask[y : y + height, x : x + width] = True
    return mask


def random_mask(rng):
    return rectangle(*rng.integers(0, 40, 2), *rng.integers(5, 20, 2)) | rectangle(*rng.integers(0, 30, 2), 3, 3)


def literal_ids(frames, threshold, max_age):
    """Pairs in order of descending IoU, pixel by pixel; ids not seen for more than max_age frames are gone."""
    last, newest, ids = {}, 0, []
    for t, masks in enumerate(frames):
        live = {i: mask for i, (seen, mask) in last.items() if t - seen <= max_age}
        pairs = sorted(
            (-(a & b).sum() / (a | b).sum(), row, track_id)
            for row, a in enumerate(masks)
            for track_id, b in live.items()
        )
        chosen = {}
        for negative, row, track_id in pairs:
            if -negative > threshold and row not in chosen and track_id not in chosen.values():
                chosen[row] = track_id
        for row, mask in enumerate(masks):
            if row not in chosen:
                newest += 1
                chosen[row] = newest
            last[chosen[row]] = t, mask
        ids.append([chosen[row] for row in range(len(masks))])
    return ids


@pytest.mark.parametrize('threshold, max_age', [(0.1, 2), (0.3, 0), (0.02, 5)])
def test_is_greedy_by_mask_iou(threshold, max_age):
    rng = np.random.default_rng(0)
    frames = [[random_mask(rng) for _ in range(count)] for count in (3, 4, 0, 2, 5, 1, 4, 0, 0, 3, 4)]
    linker = MaskIoULinker(threshold=threshold, max_age=max_age)
    assert [linker.link(Masks(*masks)) for masks in frames] == literal_ids(frames, threshold, max_age)


def test_tells_apart_what_shares_a_box():
    """Two crossing diagonal bars: their order is swapped in the second frame."""
    falling = np.abs(np.arange(40)[:, None] - np.arange(40)) < 4
    rising = falling[:, ::-1]
    for linker, expected in ((BoxIoULinker(), [1, 2]), (MaskIoULinker(), [2, 1])):
        assert linker.link(Masks(falling, rising)) == [1, 2]
        assert linker.link(Masks(rising, falling)) == expected


def test_keeps_and_forgets():
    linker = MaskIoULinker(threshold=0.3, max_age=2)
    assert linker.link(Masks(rectangle(0, 0), rectangle(40, 0))) == [1, 2]
    assert linker.link(Masks(rectangle(41, 0), rectangle(2, 0))) == [2, 1]
    assert linker.link(Masks()) == []
    assert linker.link(Masks(rectangle(2, 0))) == [1]  # one missed frame is within max_age
    for _ in range(3):
        linker.link(Masks())
    assert linker.link(Masks(rectangle(2, 0))) == [3]


@pytest.mark.parametrize('same_category, expected', [(False, [1, 2]), (True, [2, 1])])
def test_same_category(same_category, expected):
    linker = MaskIoULinker(threshold=0.1, same_category=same_category)
    masks = rectangle(10, 10), rectangle(13, 10)
    assert linker.link(Masks(*masks, labels=[3, 5])) == [1, 2]
    assert linker.link(Masks(*masks, labels=[5, 3])) == expected


def test_links_the_detections_of_a_stream():
    """A still video of a model of random weights: every detection keeps its id."""
    model = build_model(linker=dict(type='MaskIoULinker'), propagation_head=None).eval()
    model.detector.roi_head.test_cfg.score_thr = 0.0
    meta = make_batch(([1], [1]))[1][0].video_data_samples[0].metainfo
    image = torch.randn(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    stream = model.start_video()
    ids = [result.ids for _ in range(3) for result in stream.step(image, meta)]
    assert ids[0] == ids[1] == ids[2] == list(range(1, len(ids[0]) + 1)) and ids[0]
    stream.finish()
    assert stream.video_instances().to_results(1, list(range(CLASSES)))
