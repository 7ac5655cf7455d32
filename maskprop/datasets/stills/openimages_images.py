"""One image of OpenImages: its boxes and masks as objects. Pictures are opened here, in worker processes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from maskprop.datasets.formats.pictures import INDEXED, open_picture
from maskprop.datasets.image_folders import image_header
from maskprop.datasets.stills.class_map import ClassMap
from maskprop.datasets.stills.openimages_tables import FLAGS, Mask
from maskprop.datasets.stills.records import Options, Still, clipped_box
from maskprop.datasets.ytvis_json import AnnotationError

_SAME_BOX = 0.7  # IoU from which a mask's box is a box of the other file
_SAME_SHAPE = 1.1  # ratio of aspect ratios up to which a mask is of the picture


class Folders:
    """A folder of files, or of folders of them, as the archives are unpacked."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise AnnotationError(f'{root}: no such folder')
        self._inside = ['', *sorted(f'{p.name}/' for p in self.root.iterdir() if p.is_dir())]

    def find(self, name: str) -> str | None:
        """Path of a file relative to the root, None if there is none."""
        for place, folder in enumerate(self._inside):
            if (self.root / folder / name).is_file():
                self._inside.insert(0, self._inside.pop(place))  # neighbours stand in one folder
                return folder + name
        return None


@dataclass
class ImageBoxes:
    """What the tables say of an image.

    Attributes:
        id: of the image. keys: MID of each of n boxes. corners: (n, 4) of x1, y1, x2, y2 in 0..1. flags: (n,) bits
            of FLAGS. masks: of the image.
        unknown: ids of unknown categories. whole: whether the classes shown are verified as a whole.
        turned: whether the rotation file has it.
    """

    id: str
    keys: list[str]
    corners: np.ndarray
    flags: np.ndarray
    masks: list[Mask]
    unknown: list[int]
    whole: bool
    turned: bool = False


class StillBuilder:
    """Makes a :class:`Still` of an image's rows; picklable, for worker processes."""

    def __init__(self, class_map: ClassMap, options: Options, images: Folders, masks: Folders | None) -> None:
        self.options, self.images, self.masks = options, images, masks
        ids = class_map.category_ids
        self._use = {str(key): entry.use for key, entry in class_map.classes.items()}
        self._category = {str(key): ids[e.target] for key, e in class_map.classes.items() if e.use != 'leave_out'}
        flag_uses = (options.groups, options.depictions, options.insides, options.machine_boxes)
        self._flag_use = dict(zip(FLAGS, flag_uses, strict=True))

    def __call__(self, image: ImageBoxes) -> Still:
        """The image's objects.

        Raises:
            AnnotationError: a mask can't be read.
        """
        still = Still(f'{image.id}.jpg', unknown=image.unknown)
        if fault := self._open(still, image):
            still.dropped = fault
            return still
        match = match_masks(image)
        for box in range(len(image.keys)):
            mask = match.pop(box, None)
            self._add(still, image.keys[box], image.corners[box], int(image.flags[box]), mask)
            if still.dropped:
                return still
        for mask in match.values():  # without a box of its own
            still.counts['masks without a box, taken as objects'] += 1
            self._add(still, mask[0], np.asarray(mask[1]), 0, mask)
        return still if still.dropped else still.settle(self.options)

    def _open(self, still: Still, image: ImageBoxes) -> str | None:
        """Sets name and size; why the image is left out."""
        if self.options.only_verified and not image.whole:
            return 'a class shown is not verified as a whole'
        name = self.images.find(still.file_name)
        if name is None:
            return 'no picture of it'
        header = image_header(self.images.root / name)
        if header is None:
            return 'a picture that cannot be read'
        still.file_name = name
        still.width, still.height, orientation = header
        if self.options.turned == 'leave_out' and (image.turned or orientation != 1):
            return 'turned (EXIF or the rotation file)'
        return None

    def _add(self, still: Still, key: str, corners: np.ndarray, flags: int, mask: Mask | None) -> None:
        uses = {self._use[key]} | {self._flag_use[flag] for bit, flag in enumerate(FLAGS) if flags >> bit & 1}
        if 'leave_out' in uses:
            if self._use[key] != 'leave_out':
                still.counts['objects left out by their flags'] += 1
            return
        rle = self._read_mask(still, mask) if mask else None
        crowd = 'ignore' in uses
        if rle is not None:
            box, area = coco_mask.toBbox(rle).tolist(), int(coco_mask.area(rle))
            rle = dict(size=[still.height, still.width], counts=rle['counts'].decode('ascii'))
            still.add(self._category[key], box, rle, area, crowd)
            return
        size = np.array([still.width, still.height, still.width, still.height])
        box = clipped_box((corners * size).tolist(), still.width, still.height)
        if box is None:
            still.counts['objects left out, a box under a pixel'] += 1
        else:
            still.add(self._category[key], box, None, None, crowd)

    def _read_mask(self, still: Still, mask: Mask) -> dict | None:
        """RLE at the picture's size; None where there is no usable mask. May set ``still.dropped``."""
        name = self.masks.find(mask[2]) if self.masks is not None else None
        if self.masks is None or name is None:
            still.counts['masks without a PNG, boxes only'] += 1
            return None
        with open_picture(self.masks.root / name) as picture:
            if picture.mode not in INDEXED:
                raise AnnotationError(f'{self.masks.root / name}: mode {picture.mode}; expected a binary PNG')
            width, height = picture.size
            shape = math.log(width * still.height / (height * still.width))
            if abs(shape) > math.log(_SAME_SHAPE):
                transposed = math.log(height * still.height / (width * still.width))
                if abs(transposed) < abs(shape):
                    still.dropped = 'turned against its masks'
                else:
                    still.counts['masks of another shape than the picture, boxes only'] += 1
                return None
            pixels = Image.fromarray(np.asarray(picture).astype(bool).astype(np.uint8))
        if pixels.size != (still.width, still.height):
            pixels = pixels.resize((still.width, still.height), Image.Resampling.NEAREST)
        rle = coco_mask.encode(np.asfortranarray(pixels))
        if not coco_mask.area(rle):
            still.counts['masks without a pixel, boxes only'] += 1
            return None
        return rle


def match_masks(image: ImageBoxes) -> dict[int, Mask]:
    """Box -> its mask: pairs of one class with IoU of .7 or more, the best first; the rest under negative numbers.

    The two files have no common key: BoxID is in the masks' file alone, whose coordinates are about the box's.
    """
    pairs = [
        (overlap(image.corners[box].tolist(), mask[1]), -box, -place)
        for place, mask in enumerate(image.masks)
        for box, key in enumerate(image.keys)
        if key == mask[0]
    ]
    match: dict[int, Mask] = {}
    done: set[int] = set()
    for iou, box, place in sorted(pairs, reverse=True):
        if iou >= _SAME_BOX and -box not in match and -place not in done:
            match[-box] = image.masks[-place]
            done.add(-place)
    match.update({-1 - place: mask for place, mask in enumerate(image.masks) if place not in done})
    return match


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """IoU of two boxes of corners x1, y1, x2, y2."""
    inner = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    outer = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner
    return inner / outer if outer > 0 else 0.0
