"""A second instance for clips that have only one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from mmdet.structures.mask import BitmapMasks

from maskprop.datasets.transforms.annotations import FilterVideoAnnotations


@TRANSFORMS.register_module()
class PasteLoneObject(BaseTransform):
    """A clip with one object gets a copy of it beside it: another instance of the same class (STEm-Seg's code).

    Its place is between two ``TransformBroadcaster``, after the frames are loaded. In each frame the copy is
    shifted anew, so it jitters. It lies over everything else, and is on that side on which the object does
    not touch the image's border, if it touches one. A clip whose object touches both sides stays as it is, and so
    does one with several objects, or none; crowds don't count.

    Args:
        shift: to the side, least and most, in widths of the object's box.
        lift: up or down, in heights of the box.
        limit: of both, in sides of the image.
        flip_prob: of a copy that is mirrored, the same in all frames.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        shift: Sequence[float] = (0.75, 1.0),
        lift: Sequence[float] = (0.0, 0.25),
        limit: float = 0.3,
        flip_prob: float = 0.5,
    ) -> None:
        for name, pair in (('shift', shift), ('lift', lift)):
            if len(pair) != 2 or not 0 <= pair[0] <= pair[1]:
                raise ValueError(f'{name}={pair}: expected (least, most), 0 or more')
        if limit <= 0 or not 0 <= flip_prob <= 1:
            raise ValueError(f'limit={limit}, flip_prob={flip_prob}: expected above 0, and a probability')
        self.shift, self.lift = (shift[0], shift[1]), (lift[0], lift[1])
        self.limit, self.flip_prob = limit, flip_prob

    def transform(self, results: dict) -> dict:
        """Every key of ``results`` is a list with one entry a frame."""
        frames = [dict(zip(results, values, strict=True)) for values in zip(*results.values(), strict=True)]
        rows = [np.flatnonzero(np.asarray(frame['gt_ignore_flags']) == 0) for frame in frames]
        ids = {int(i) for frame, own in zip(frames, rows, strict=True) for i in frame['gt_instances_ids'][own]}
        if len(ids) != 1:
            return results
        present = [(frame, int(own[0])) for frame, own in zip(frames, rows, strict=True) if len(own)]
        masks = [frame['gt_masks'].masks[row] for frame, row in present]
        left, right = (any(mask[:, column].any() for mask in masks) for column in (0, -1))
        if left and right:
            return results
        side = 1 if left else -1 if right else int(np.random.choice((-1, 1)))
        flipped = np.random.rand() < self.flip_prob
        new_id = 1 + max(int(i) for frame in frames for i in frame['gt_instances_ids'])
        for frame, row in present:
            self._paste(frame, row, side, flipped, new_id)
        results.update({key: [frame[key] for frame in frames] for key in results})
        return results

    def _paste(self, frame: dict, row: int, side: int, flipped: bool, new_id: int) -> None:
        """Add the copy to a frame, in place."""
        masks = frame['gt_masks'].masks
        height, width = masks.shape[1:]
        y, x = np.nonzero(masks[row])
        box = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1])
        right, down = self._offset(box[2:] - box[:2], np.array([width, height]), side)
        to_x, to_y = (box[0] + box[2] - 1 - x if flipped else x) + right, y + down
        inside = (to_x >= 0) & (to_x < width) & (to_y >= 0) & (to_y < height)
        if not inside.any():
            return
        copy = np.zeros_like(masks[:1])
        copy[0, to_y[inside], to_x[inside]] = 1
        image = frame['img'].copy()
        image[to_y[inside], to_x[inside]] = frame['img'][y[inside], x[inside]]
        frame['img'] = image
        frame['gt_masks'] = BitmapMasks(np.concatenate([masks * (1 - copy), copy]), height, width)
        frame['gt_bboxes'] = frame['gt_masks'].get_bboxes('hbox').numpy()
        for key, value in (
            ('gt_bboxes_labels', frame['gt_bboxes_labels'][row]),
            ('gt_instances_ids', new_id),
            ('gt_ignore_flags', False),
        ):
            frame[key] = np.append(frame[key], np.array([value], dtype=frame[key].dtype))
        FilterVideoAnnotations()(frame)

    def _offset(self, size: np.ndarray, image: np.ndarray, side: int) -> tuple[int, int]:
        """Pixels right and down, of a box and an image of (width, height)."""
        shares = np.array([side * np.random.uniform(*self.shift), np.random.uniform(*self.lift)])
        shares[1] *= np.random.choice((-1, 1))
        right, down = np.clip(shares * size, -self.limit * image, self.limit * image)
        return int(round(right)), int(round(down))

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(shift={self.shift}, lift={self.lift}, limit={self.limit}, '
            f'flip_prob={self.flip_prob})'
        )
