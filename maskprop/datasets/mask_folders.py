"""From folders of indexed mask pictures, as DAVIS and annotation tools write them, to YouTube-VIS annotations."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from maskprop.datasets.image_folders import IMAGE_SUFFIXES, exif_orientation, list_images, natural_key
from maskprop.datasets.synthetic.writer import encode_track
from maskprop.datasets.ytvis_json import AnnotationError

IGNORED = 255  # pixels of no object that is to be learnt
INDEXED = ('P', 'L', '1')  # modes of PIL whose values are 0..255
LEAST_RINGS = 3  # so many values without an inside are edges that were smoothed, not objects
Progress = Callable[[int, int], None]


def annotations_from_masks(
    images: Path,
    masks: Path,
    classes: Mapping[str, Any] | None = None,
    binary: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Annotations in YouTube-VIS format of every folder in ``images``.

    Args:
        images: a folder for each video, with its frames in natural order (2.jpg before 10.jpg).
        masks: folders of the same names, with a PNG for each annotated frame, of the frame's name and size:
            indexed or grey, a pixel's value is the number of its object in the video, 0 is background and 255
            ignored. Frames without one are left out, with a warning: null would say that nothing is visible. A
            frame without objects has a PNG of zeros.
        classes: class of each object, ``{video: {number: class}}``, or ``{video: class}`` where all objects of a
            video have one; None: everything is an ``'object'``.
        binary: every pixel above 0 is of object 1, as in DAVIS 2016.
        progress: called with the videos done and their number.

    Raises:
        AnnotationError: there are no videos or frames; a video has no masks; a picture can't be read; a frame is
            turned by EXIF; a mask is of another size than its frame, has colours, or belongs to no frame; an
            object has no class; all values are 0 or 255, or the edges of objects of 255 were smoothed, but
            ``binary`` is not set.
    """
    folders = [path for path in images.iterdir() if path.is_dir() and not path.name.startswith('.')]
    folders.sort(key=natural_key)
    if not folders:
        raise AnnotationError(f'{images}: no folders in it; expected one for each video, with its frames')
    videos, annotations = [], []
    for number, folder in enumerate(folders, start=1):
        video, tracks = _read_video(folder, masks / folder.name, binary)
        videos.append(dict(id=number, **video))
        shape = {key: video[key] for key in ('height', 'width', 'length')}
        for index, track in tracks.items():
            name = _class_of(classes, folder.name, index)
            record = dict(video_id=number, category_id=name, iscrowd=0, **shape, **encode_track(track))
            annotations.append(dict(id=len(annotations) + 1, **record))
        if progress:
            progress(number, len(folders))
    names = sorted({record['category_id'] for record in annotations})
    for record in annotations:
        record['category_id'] = names.index(record['category_id']) + 1
    categories = [dict(id=number, name=name) for number, name in enumerate(names, start=1)]
    return dict(info={}, videos=videos, annotations=annotations, categories=categories)


def _read_video(folder: Path, masks: Path, binary: bool) -> tuple[dict, dict[int, list]]:
    """The video's record, and for each object its masks: bool (H, W) arrays, None where there is none."""
    frames = list_images(folder)
    if not frames:
        raise AnnotationError(f'{folder}: no pictures in it ({", ".join(IMAGE_SUFFIXES)})')
    if not masks.is_dir():
        raise AnnotationError(f'{masks}: no such folder, but there is a video {folder}')
    stems = {path.stem for path in frames}
    of_frame = {path.stem: path for path in sorted(masks.iterdir()) if path.suffix.lower() == '.png'}
    stray = [path for stem, path in of_frame.items() if stem not in stems]
    if stray:
        raise AnnotationError(f'{stray[0]}: {folder} has no frame of that name')
    if not of_frame:
        raise AnnotationError(f'{masks}: no PNG in it')
    width, height = _size(frames[0])
    for frame in frames:
        if _size(frame) != (width, height):
            raise AnnotationError(f'{frame}: another size than {frames[0].name}, which is {width}x{height}')
    frames = _with_masks(frames, of_frame, masks)
    tracks: dict[int, list] = {}
    values: set[int] = set()
    grey = _GreyValues()
    for position, frame in enumerate(frames):
        mask, indexed = _read_mask(of_frame[frame.stem], (width, height))
        if binary:
            mask = (mask > 0).astype(np.uint8)
        elif not indexed:
            grey.add(mask)
        found = set(np.unique(mask).tolist())
        values |= found
        for index in found - {0, IGNORED}:
            tracks.setdefault(index, [None] * len(frames))[position] = mask == index
    grey.check(masks)
    if not tracks and IGNORED in values:
        found = f'no object, values are {sorted(values)}'
        raise AnnotationError(f'{masks}: {found}: pass --binary if that is one object')
    if not tracks:
        warnings.warn(f'{masks}: no object in any frame; the video is kept without annotations', stacklevel=3)
    names = [f'{folder.name}/{path.name}' for path in frames]
    return dict(width=width, height=height, length=len(frames), file_names=names), dict(sorted(tracks.items()))


def _with_masks(frames: list[Path], of_frame: Mapping[str, Path], masks: Path) -> list[Path]:
    """The frames that have a mask; warns of the others."""
    bare = [frame for frame in frames if frame.stem not in of_frame]
    if bare:
        found = f'no PNG for {len(bare)} of {len(frames)} frames, the first: {bare[0].name}'
        fix = 'they are left out. A frame without objects needs a PNG of zeros'
        warnings.warn(f'{masks}: {found}; {fix}', stacklevel=4)
    return [frame for frame in frames if frame.stem in of_frame]


class _GreyValues:
    """Tells smoothed edges from numbers of objects, in the grey pictures of one video.

    A smoothed edge is a set of rings, each of its own grey: values without an inside, that is without a pixel
    whose eight neighbours have the same value. Indexed pictures are not interpolated as a rule.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(256, np.int64)
        self.with_inside: set[int] = set()

    def add(self, mask: np.ndarray) -> None:
        """mask: (H, W) uint8."""
        self.counts += np.bincount(mask.ravel(), minlength=256)
        window = np.ones((3, 3), np.uint8)
        self.with_inside |= set(np.unique(mask[cv2.erode(mask, window) == cv2.dilate(mask, window)]).tolist())

    def check(self, masks: Path) -> None:
        """Refuses edges around 255; warns of those around numbers, which tiny objects resemble."""
        objects = [value for value in np.flatnonzero(self.counts).tolist() if value not in (0, IGNORED)]
        rings = [value for value in objects if value not in self.with_inside]
        around_255 = self.counts[IGNORED] > max((self.counts[value] for value in objects), default=0)
        shown = f'{", ".join(map(str, rings[:8]))}{", ..." if len(rings) > 8 else ""}'
        fix = 'write numbers of objects without interpolation (indexed PNGs are taken as they are)'
        if rings and rings == objects and around_255:
            raise AnnotationError(
                f'{masks}: values {shown} are only edges, and the most frequent after 0 is 255 (ignored), as '
                f'where masks were smoothed: pass --binary if that is one object, or {fix}'
            )
        if len(rings) >= LEAST_RINGS:
            found = f'values {shown} are only edges, as where masks were smoothed'
            warnings.warn(f'{masks}: {found}; {fix}', stacklevel=4)


@contextlib.contextmanager
def open_picture(path: Path) -> Iterator[Image.Image]:
    """PIL's picture, which is read inside.

    Raises:
        AnnotationError: it can't be read.
    """
    try:
        with Image.open(path) as picture:
            yield picture
    except AnnotationError:
        raise
    except Exception:  # Pillow's parsers raise anything on damaged files
        raise AnnotationError(f'{path}: not a picture that can be read; the file may be damaged') from None


def _size(path: Path) -> tuple[int, int]:
    """(width, height) of a frame."""
    with open_picture(path) as picture:
        if exif_orientation(picture) != 1:
            raise AnnotationError(
                f'{path}: turned by its EXIF orientation, which image readers obey or not, so that masks may not '
                'fit. Write the frames upright'
            )
        return picture.size


def _read_mask(path: Path, size: tuple[int, int]) -> tuple[np.ndarray, bool]:
    """(H, W) uint8, and whether the picture is an indexed one."""
    with open_picture(path) as picture:
        if picture.mode not in INDEXED:
            raise AnnotationError(
                f'{path}: a picture of mode {picture.mode}; expected an indexed or grey PNG of 8 bits, whose '
                'values are numbers of objects'
            )
        if picture.size != size:
            found = '{}x{}'.format(*picture.size)
            raise AnnotationError(f'{path}: {found}, but the frames are {size[0]}x{size[1]}')
        return np.asarray(picture).astype(np.uint8), picture.mode == 'P'


def _class_of(classes: Mapping[str, Any] | None, video: str, index: int) -> str:
    if classes is None:
        return 'object'
    found = classes.get(video)
    name = found.get(str(index)) if isinstance(found, Mapping) else found
    if not isinstance(name, str):
        raise AnnotationError(f'classes: none for object {index} of the video {video}')
    return name
