"""Targets of clips: what bilinear reduction keeps, ids over frames, padding, ignored objects."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

from maskprop.methods.stem_seg.clip_targets import central_cells, clip_targets, reduce_targets


def test_cells_are_those_of_bilinear_reduction_rounded_down():
    masks = torch.rand(3, 2, 24, 32, generator=torch.Generator().manual_seed(0)) < 0.8
    reduced = F.interpolate(masks.float(), scale_factor=0.25, mode='bilinear', align_corners=False)
    assert torch.equal(central_cells(masks), reduced.long().bool())
    assert central_cells(masks).any()


def frame(ids: list[int], labels: list[int], masks: list[np.ndarray], ignored: list[np.ndarray]) -> DetDataSample:
    def instances(bitmaps, **fields):
        return InstanceData(masks=BitmapMasks(bitmaps, 16, 24), **fields)

    sample = DetDataSample()
    sample.gt_instances = instances(masks, labels=torch.tensor(labels), instances_ids=torch.tensor(ids))
    sample.ignored_instances = instances(ignored)
    return sample


def box(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros((16, 24), dtype=np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


def test_objects_are_followed_by_their_ids():
    frames = [
        frame([7, 3], [1, 4], [box(0, 0, 8, 8), box(4, 4, 12, 12)], []),
        frame([3, 9], [4, 0], [box(8, 8, 16, 24), box(0, 0, 2, 2)], [box(0, 12, 4, 16)]),
    ]
    targets = clip_targets(frames, (32, 32), 'cpu')
    assert targets.masks.shape == (2, 2, 8, 8)  # 9 has no cell
    first, second = targets.masks
    assert first[0, :2, :2].all() and first.sum() == 4 and not first[1].any()
    assert second[0, 1:3, 1:3].all() and second[1, 2:4, 2:6].all() and second.sum() == 4 + 8
    assert targets.classes[0, 0, 0] == 2 and targets.classes[0, 1, 1] == 5  # of both the higher class
    assert targets.ignored[1, 0, 3] and targets.ignored.sum() == 1


def test_no_objects():
    targets = clip_targets([frame([], [], np.zeros((0, 16, 24)), []) for _ in range(2)], (32, 32), 'cpu')
    assert targets.masks.shape == (0, 2, 8, 8)
    assert targets.classes.dtype == torch.long and not targets.classes.any()


def test_objects_without_a_cell_have_their_place_in_no_list():
    masks = torch.zeros(3, 1, 8, 8, dtype=torch.bool)
    masks[0, 0, :4, :4] = masks[2, 0, 4:, 4:] = masks[1, 0, 0, 0] = True
    targets = reduce_targets(masks, torch.tensor([2, 1, 0]), masks[0])
    assert targets.masks.flatten(1).tolist() == [[True, False, False, False], [False, False, False, True]]
    assert targets.classes.flatten().tolist() == [3, 0, 0, 1]
