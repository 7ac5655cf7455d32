"""Folders of PNGs whose values, or colours, are objects: DAVIS, SAM 2, YouTube-VOS and many tools."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from maskprop.datasets.formats.label_maps import LabelMaps, check_stems, save_png
from maskprop.datasets.formats.tracks import Category, VideoFrames
from maskprop.datasets.json_files import AnnotationError
from maskprop.utils.files import write_json

IGNORED = 255  # pixels of no object that is to be learnt
CLASSES = 'classes.json'


def davis_palette() -> list[int]:
    """The palette of PASCAL VOC and DAVIS: bits of a value spread over red, green and blue."""
    palette = []
    for value in range(256):
        # three bits at a time, lowest first, become the highest of red, green and blue
        bits = [(value >> (3 * digit)) & 7 for digit in range(3)]
        palette += [sum((bit >> channel & 1) << (7 - d) for d, bit in enumerate(bits)) for channel in range(3)]
    return palette


def write_masks(out: Path, videos: Iterable[VideoFrames], categories: Sequence[Category]) -> list[Path]:
    """Writes OUT/VIDEO/FRAME.png, indexed with DAVIS's palette, and OUT/classes.json; streamed.

    A pixel's value is its object's number in the video, 0 is none. Where objects overlap, see :class:`LabelMaps`.
    Crowds become 255, which is ignored.

    Returns:
        The folder.

    Raises:
        AnnotationError: more than 254 objects in a video, or two frames of one name.
    """
    maps, palette, classes = LabelMaps(out), davis_palette(), {}
    for info, frames in videos:
        of_video: dict[str, str] = {}
        for stem, objects in zip(check_stems(info), frames, strict=True):
            values = {found.id: IGNORED if found.crowd else found.id for found in objects}
            if any(found.id >= IGNORED and not found.crowd for found in objects):
                raise AnnotationError(f'video {info.name}: more than 254 objects; use mots, coco, cvat or csv')
            of_video.update({str(found.id): found.category for found in objects if not found.crowd})
            picture = Image.fromarray(maps.draw(info, objects, values).astype('uint8')).convert('P')
            picture.putpalette(palette)
            save_png(out / info.name / f'{stem}.png', picture)
        classes[info.name] = of_video
    write_json(out / CLASSES, classes)
    maps.warn()
    return [out]
