"""Frames whose pixels each belong to one object: what overlaps is decided here, for all formats of that kind."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from maskprop.datasets.formats.tracks import FrameObject, VideoInfo
from maskprop.datasets.json_files import AnnotationError
from maskprop.utils.files import replace_when_done


class LabelMaps:
    """Makes label maps of frames: a pixel's value is that of its object, 0 where there is none.

    Where objects overlap, the one of the higher score has the pixel; of equal scores, and without scores, the
    smaller one in the frame. How many pixels objects lost is warned of at the end (:meth:`warn`).
    """

    def __init__(self, where: Path) -> None:
        self.where = where
        self.lost = 0
        self.frames = 0

    def draw(self, info: VideoInfo, objects: Sequence[FrameObject], values: Mapping[int, int]) -> np.ndarray:
        """(H, W) uint16 of ``values``, which are by the objects' ids."""
        label_map = np.zeros((info.height, info.width), np.uint16)
        areas = {index: float(coco_mask.area(found.mask)) for index, found in enumerate(objects)}
        order = sorted(areas, key=lambda i: (1 if objects[i].score is None else objects[i].score, -areas[i]))
        lost = 0
        for index in order:
            mask = coco_mask.decode(objects[index].mask).astype(bool)
            lost += int((label_map[mask] > 0).sum())
            label_map[mask] = values[objects[index].id]
        self.lost += lost
        self.frames += lost > 0
        return label_map

    def warn(self) -> None:
        """Says what was lost, if anything was."""
        if self.lost:
            warnings.warn(
                f'{self.where}: objects overlap in {self.frames} frames, where this format has room for one: '
                f'{self.lost} pixels went to the object of the higher score, or the smaller one; coco, cvat and '
                'csv keep overlaps',
                stacklevel=3,
            )


def check_stems(info: VideoInfo) -> list[str]:
    """Names of the frames' pictures without suffix, each once.

    Raises:
        AnnotationError: two frames have one name.
    """
    stems = info.stems()
    if len(set(stems)) < len(stems):
        twice = next(stem for stem in stems if stems.count(stem) > 1)
        raise AnnotationError(
            f'video {info.name}: file_names: two frames are named {twice}, but each is to have its own picture of '
            'masks; give each frame its own name'
        )
    return stems


def save_png(path: Path, picture: Image.Image) -> None:
    """Writes a PNG and its folder."""
    with replace_when_done(path) as temporary:
        picture.save(temporary, 'PNG')
